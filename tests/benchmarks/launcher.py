"""Runs programs and tells what they cost: from a small process of its own, started early.

The peak of memory that is reported of a child is never less than that of the process it was started from, so that is
not the suite. One JSON document a line on standard input asks for a batch, one on standard output answers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def run(batch: dict[str, Any]) -> dict[str, Any]:
    """Run the commands of a batch, at most `together` at a time.

    Args:
        batch: `commands`, `together`, `environment`, `output` (a file for what they print), `cores` (or null for all).

    Returns:
        `wall` and `cpu` in seconds, of all; `memory` in bytes, of the largest; `codes`, in order.
    """
    if batch["cores"] is not None:
        os.sched_setaffinity(0, batch["cores"])
    output = os.open(batch["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    actions = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
    waiting = list(enumerate(batch["commands"]))[::-1]
    running: dict[int, int] = {}
    codes = [0] * len(waiting)
    cpu, memory = 0.0, 0
    start = time.perf_counter()
    while waiting or running:
        while waiting and len(running) < batch["together"]:
            number, command = waiting.pop()
            running[os.posix_spawnp(command[0], command, batch["environment"], file_actions=actions)] = number
        pid, status, usage = os.wait4(-1, 0)
        codes[running.pop(pid)] = os.waitstatus_to_exitcode(status)
        cpu += usage.ru_utime + usage.ru_stime
        memory = max(memory, usage.ru_maxrss << 10)
    wall = time.perf_counter() - start
    os.close(output)
    return {"wall": wall, "cpu": cpu, "memory": memory, "codes": codes}


if __name__ == "__main__":
    everywhere = os.sched_getaffinity(0)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)  # noqa: T201 (its answer)
        os.sched_setaffinity(0, everywhere)
