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


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """CPU seconds for a GiB.

    Attributes:
        sha256: of hashing, in pieces of 1 MiB.
        send: of writing to a socket on loopback, in pieces of 1 MiB.
        read: of reading a file from the page cache, in pieces of 1 MiB.
        together: of reading, hashing and sending the image of (a), piece by piece, in one bare loop: unlike those
            three, which have their bytes at hand, it meets each of them for the first time, as any push does.
    """

    sha256: float
    send: float
    read: float
    together: float

    @property
    def sum(self) -> float:
        """The three by themselves."""
        return self.sha256 + self.send + self.read


def measure(launcher: Launcher, directory: Path, layers: Sequence[Path], size: int) -> Floor:
    """Measure it where the client runs, sending to where the sink runs.

    Args:
        launcher: what runs programs.
        directory: for what is found.
        layers: of the image of (a).
        size: bytes of each measurement but the last.
    """
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
            sink.addresses[0],
            str(size),
            *layers,
        ]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        launcher.run([command], output=output, environment=environment, cores=cores.client)
    return Floor(**json.loads(output.read_text()))
