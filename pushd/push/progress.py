"""How far every transfer is, now: kept in memory, looked at when somebody wants to know, never stored."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from pushd.job import TransferState
from pushd.telemetry.events import JOB_PROGRESS, Event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushd.push.ports import Emit

_REPORT = 30.0
"""Seconds between two lines about one job: enough to see that it moves, far from what floods a journal."""


@dataclass(slots=True)
class Progress:
    """One transfer of one delivery.

    Attributes:
        done: bytes the registry is known or believed to hold.
        sent: bytes that went over the wire, retries included.
        version: of the board when this was last touched.
    """

    job_id: str
    delivery_id: int
    destination: str
    digest: str
    size: int
    state: TransferState = TransferState.PENDING
    done: int = 0
    sent: int = 0
    version: int = 0


class Board:
    """All transfers of the deliveries that run.

    Attributes:
        version: grows with every change; a reader who remembers it is told only what changed since.
        sent: bytes sent since the daemon started, by registry.
    """

    def __init__(self) -> None:
        self.version = 0
        self.sent: dict[str, int] = {}
        self._entries: dict[tuple[int, str], Progress] = {}

    def enter(self, entry: Progress) -> Progress:
        """Put a transfer on the board."""
        self._entries[entry.delivery_id, entry.digest] = entry
        self.touch(entry)
        return entry

    def touch(self, entry: Progress) -> None:
        """Mark a transfer as changed."""
        self.version += 1
        entry.version = self.version

    def clear(self, delivery_id: int) -> None:
        """Take a delivery off the board: what it came to is in the store."""
        for key in [key for key in self._entries if key[0] == delivery_id]:
            del self._entries[key]

    def find(self, delivery_id: int, digest: str) -> Progress | None:
        """Give one transfer, if its delivery runs."""
        return self._entries.get((delivery_id, digest))

    def since(self, version: int, *, job_id: str | None = None) -> Iterator[Progress]:
        """Give the transfers that changed after `version`."""
        for entry in tuple(self._entries.values()):
            if entry.version > version and job_id in (None, entry.job_id):
                yield entry


async def report(board: Board, emit: Emit, interval: float = _REPORT) -> None:
    """Tell, once in `interval` seconds, how far each job that runs is; until cancelled."""
    before: dict[str, int] = {}
    while True:
        await anyio.sleep(interval)
        jobs: defaultdict[str, list[Progress]] = defaultdict(list)
        for entry in board.since(0):
            jobs[entry.job_id].append(entry)
        sent = {job_id: sum(entry.sent for entry in entries) for job_id, entries in jobs.items()}
        for job_id, entries in jobs.items():
            facts = {
                "done": sum(entry.done for entry in entries),
                "size": sum(entry.size for entry in entries),
                "sent": sent[job_id],
                "rate": max(0, round((sent[job_id] - before.get(job_id, 0)) / interval)),
            }
            emit(Event(JOB_PROGRESS, datetime.now(UTC), job_id, fields=facts))
        before = sent
