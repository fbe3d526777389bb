"""How a daemon is, as /proc and its log tell."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.integration.daemon import Daemon

QUIET: Final = 80.0
"""Seconds in which whatever callers left behind is gone: the daemon gives memory back once a minute."""
_FAULTS: Final = ("daemon.fault", "library.failure", "library.message", "store.failed")


@dataclass(frozen=True, slots=True)
class Vitals:
    """Resident memory in bytes, and open descriptors."""

    memory: int
    descriptors: int


def vitals(daemon: Daemon) -> Vitals:
    """Take them now."""
    return Vitals(daemon.memory().now, len(list(Path(f"/proc/{daemon.pid}/fd").iterdir())))


def at_rest(daemon: Daemon, most: Vitals) -> Vitals:
    """Take them once neither is above `most`, or when that has not come about in `QUIET` seconds."""
    end = time.monotonic() + QUIET
    while True:
        now = vitals(daemon)
        calm = now.descriptors <= most.descriptors and now.memory <= most.memory
        if calm or time.monotonic() > end:
            return now
        time.sleep(0.1)


def faults(daemon: Daemon) -> list[str]:
    """Give what the log says went wrong inside."""
    return [
        f"its log: {event['event']}: {event['message']}\n{event.get('traceback', '')}"
        for event in daemon.events()
        if event["event"] in _FAULTS
    ]
