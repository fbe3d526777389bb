"""What a push must cost at the least: `least.py`, from outside."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.cores import Cores, confined
from tests.benchmarks.serving import serving
from tests.integration.daemon import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.benchmarks.measuring import Launcher

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """CPU seconds for a GiB.

    Attributes:
        sha256: of hashing, in pieces of 1 MiB.
        send: of writing to a socket on loopback, in pieces of 1 MiB.
        read: of reading a file from the page cache, in pieces of 1 MiB.
    """

    sha256: float
    send: float
    read: float

    @property
    def sum(self) -> float:
        """All three."""
        return self.sha256 + self.send + self.read


def measure(launcher: Launcher, directory: Path, size: int) -> Floor:
    """Measure it where the client runs, sending to where the sink runs.

    Args:
        launcher: what runs programs.
        directory: for a file of 64 MiB at most, which is read again and again.
        size: bytes of each.
    """
    file = directory / "floor"
    if not file.exists():
        with file.open("wb") as written:
            for _ in range(min(size, 64 * _PIECE) // _PIECE):
                written.write(os.urandom(_PIECE))
    output = directory / "floor.json"
    output.unlink(missing_ok=True)
    cores = Cores.apart()
    with ExitStack() as stack:
        with confined(cores.registry):
            sink = stack.enter_context(serving("sink"))
        command: Sequence[str | Path] = [
            sys.executable,
            "-m",
            "tests.benchmarks.least",
            file,
            sink.addresses[0],
            str(size),
        ]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        launcher.run([command], output=output, environment=environment, cores=cores.client)
    return Floor(**json.loads(output.read_text()))
