"""A daemon that has nothing to do."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.images import Push, one
from tests.benchmarks.measuring import cpu_of
from tests.benchmarks.serving import serving
from tests.integration.daemon import Daemon

if TYPE_CHECKING:
    from pathlib import Path

_MINUTE = 60.0
_SETTLED = 8.0
"""Seconds after a push in which there still is something to do: its connections end, and deadlines are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """What it used.

    Attributes:
        cpu: seconds of CPU in a minute.
        memory: bytes resident.
        seconds: for which it was looked at.
    """

    cpu: float
    memory: int
    seconds: float


def measure(directory: Path, seconds: float) -> Idle:
    """Look at a daemon for so many seconds, after one push."""
    directory.mkdir()
    daemon = Daemon(directory)
    try:
        daemon.start()
        (image,) = one(directory / "image", [300])
        with serving("sink") as sink:
            push = Push(image, sink.addresses)
            assert daemon.wait(daemon.submit(push.source, *push.destinations))["state"] == "succeeded"
        time.sleep(min(_SETTLED, seconds))
        before = cpu_of(daemon.pid)
        time.sleep(seconds)
        cpu = cpu_of(daemon.pid) - before
        memory = daemon.memory().now
        daemon.close()
    finally:
        daemon.discard()
    return Idle(cpu=cpu * _MINUTE / seconds, memory=memory, seconds=seconds)
