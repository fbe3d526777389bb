"""Submits many jobs and waits until all have ended: what a program that uses the daemon would do.

    python -m tests.benchmarks.submitter SOCKET FILE

The file has a job a line, as the API takes it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from tests.load.speaking import Line, in_turn

_LINES = 16
_PAUSE = 0.02
"""Seconds between two looks at the queue, at the least."""
_SHARE = 0.02
"""The same as a share of the time so far: looking costs the daemon something, and must not become what is measured."""


async def main() -> None:
    """Do it."""
    socket, file = Path(sys.argv[1]), Path(sys.argv[2])
    start = time.monotonic()
    await in_turn(socket, map(json.loads, file.read_text().splitlines()), lines=_LINES)  # noqa: ASYNC240 (nothing else runs yet)
    line = await Line.to(socket)
    while any((await line.ask("GET", "/v1/status")).json["queue"].values()):  # noqa: ASYNC110 (another process's)
        await asyncio.sleep(max(_PAUSE, (time.monotonic() - start) * _SHARE))
    line.close()


if __name__ == "__main__":
    asyncio.run(main())
