"""The fuzz by hand: `python -m tests.fuzz --requests 100000 --seed 7`."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.campaign import CONFIG, run
from tests.integration.daemon import Daemon

if TYPE_CHECKING:
    from tests.fuzz.campaign import Result

_SHOWN = 20
"""Problems that are printed."""


def main() -> int:
    """Run it: 0 when the daemon took it all, 1 when it did not."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Ask the daemon for what makes no sense, and see that it stays well."
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="draws what is asked")
    asked = parser.parse_args()
    again = f"{parser.prog} --requests {asked.requests} --seed {asked.seed}"
    _tell(f"this run: {again}")
    directory = Path(tempfile.mkdtemp(prefix="pushd-fuzz-"))
    daemon = Daemon(directory)
    try:
        daemon.start(CONFIG)
        result = run(
            daemon, directory, seed=asked.seed, requests=asked.requests, warm_up=min(20_000, asked.requests // 5 + 1000)
        )
        daemon.close()
    finally:
        daemon.discard()
    _report(result)
    if result.problems:
        _tell(f"the evidence is in {directory}")
    else:
        shutil.rmtree(directory)
    _tell(f"the same again: {again}")
    return 1 if result.problems else 0


def _report(result: Result) -> None:
    rows = {
        "requests": result.requests,
        "seconds": f"{result.seconds:.1f}",
        "requests a second": f"{result.requests / result.seconds:.0f}",
        "memory, KiB, before and after": f"{result.before.memory >> 10} {result.after.memory >> 10}",
        "descriptors, before and after": f"{result.before.descriptors} {result.after.descriptors}",
        **{f"shots, {kind}": count for kind, count in sorted(result.kinds.items())},
        **{f"answers, {status}": count for status, count in sorted(result.statuses.items())},
        "problems": len(result.problems),
    }
    for name, value in rows.items():
        _tell(f"{name:32} {value:>16}")
    for problem in result.problems[:_SHOWN]:
        _tell(f"PROBLEM: {problem}")
    if len(result.problems) > _SHOWN:
        _tell(f"and {len(result.problems) - _SHOWN} more")


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a command for people)


if __name__ == "__main__":
    sys.exit(main())
