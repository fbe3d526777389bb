"""How far every transfer is, now: kept in memory, looked at when somebody wants to know, never stored."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from pushd.job import TransferState
from pushd.telemetry.events import JOB_PROGRESS, TRANSFER_PROGRESS, Event

if TYPE_CHECKING:
    from pushd.push.ports.emit import Emit

_REPORT = 30.0
"""Seconds between two lines about one job: enough to see that it moves, far from what floods a journal."""
_LOOK = 3.0
"""Seconds between two looks at how far jobs are, and so between two lines about one that is quick."""


class Meter:
    """Bytes in a second, over the last few of them."""

    __slots__ = ("_at", "_counts")

    _SECONDS = 5

    def __init__(self) -> None:
        self._counts = [0] * (self._SECONDS + 1)
        self._at = 0

    def add(self, count: int, now: float) -> None:
        """Count bytes that were sent at `now`, seconds on any clock that does not go back."""
        self._turn(int(now))
        self._counts[self._at % len(self._counts)] += count

    def rate(self, now: float) -> int:
        """Bytes a second over the last five whole seconds before `now`."""
        self._turn(int(now))
        return (sum(self._counts) - self._counts[self._at % len(self._counts)]) // self._SECONDS

    def _turn(self, second: int) -> None:
        for passed in range(self._at + 1, min(second, self._at + len(self._counts)) + 1):
            self._counts[passed % len(self._counts)] = 0
        if second - self._at > len(self._counts):
            self._counts = [0] * len(self._counts)
        self._at = max(self._at, second)


@dataclass(slots=True, eq=False)
class Progress:
    """One transfer of one delivery.

    Attributes:
        uid: whose job it is.
        trace: the id of the job's trace.
        done: bytes the registry is known or believed to hold.
        sent: bytes that went over the wire, retries included.
        version: of the board when this was last touched.
        started: when it was given a place, on the event loop's clock; None before.
        meter: its pace.
    """

    job_id: str
    delivery_id: int
    destination: str
    digest: str
    size: int
    registry: str = ""
    uid: int = 0
    trace: str | None = None
    state: TransferState = TransferState.PENDING
    done: int = 0
    sent: int = 0
    version: int = 0
    started: float | None = None
    meter: Meter = field(default_factory=Meter)
    _event: Event | None = None
    _told: int = 0

    def event(self) -> Event:
        """Give the event that tells how it stands: the same one to all who ask before it changes again."""
        if self._event is None or self._told != self.version:
            self._told = self.version
            self._event = Event(
                TRANSFER_PROGRESS,
                datetime.now(UTC),
                self.job_id,
                self.delivery_id,
                {
                    "digest": self.digest,
                    "destination": self.destination,
                    "registry": self.registry,
                    "size": self.size,
                    "done": self.done,
                    "sent": self.sent,
                    "state": str(self.state),
                },
                uid=self.uid,
                trace=self.trace,
            )
        return self._event


class Board:
    """All transfers of the deliveries that run.

    Attributes:
        version: grows with every change; a reader who remembers it is told only what changed since.
        sent: bytes sent since the daemon started, by registry.
    """

    def __init__(self) -> None:
        self.version = 0
        self.sent: dict[str, int] = {}
        self._meters: dict[str, Meter] = {}
        # In the order of their last change: what is new since a version is at the end.
        self._entries: OrderedDict[tuple[int, str], Progress] = OrderedDict()
        self._entered = anyio.Event()

    def enter(self, entry: Progress) -> Progress:
        """Put a transfer on the board."""
        self._entries[entry.delivery_id, entry.digest] = entry
        self.touch(entry)
        self._entered.set()
        return entry

    async def filled(self) -> None:
        """Wait until there is a transfer."""
        while not self._entries:
            self._entered = anyio.Event()
            await self._entered.wait()

    def touch(self, entry: Progress) -> None:
        """Mark a transfer as changed."""
        self.version += 1
        entry.version = self.version
        key = entry.delivery_id, entry.digest
        if key in self._entries:
            self._entries.move_to_end(key)

    def count(self, entry: Progress, length: int, now: float) -> None:
        """Count bytes of a transfer that went over the wire at `now`."""
        entry.sent += length
        entry.done += length
        entry.meter.add(length, now)
        self.sent[entry.registry] = self.sent.get(entry.registry, 0) + length
        self._meters.setdefault(entry.registry, Meter()).add(length, now)
        self.touch(entry)

    def rate(self, registry: str, now: float) -> int:
        """Bytes a second that go to a registry."""
        return self._meters[registry].rate(now) if registry in self._meters else 0

    def clear(self, delivery_id: int) -> None:
        """Take a delivery off the board: what it came to is in the store."""
        for key in [key for key in self._entries if key[0] == delivery_id]:
            del self._entries[key]

    def find(self, delivery_id: int, digest: str) -> Progress | None:
        """Give one transfer, if its delivery runs."""
        return self._entries.get((delivery_id, digest))

    def since(self, version: int, *, job_id: str | None = None, uid: int | None = None) -> list[Progress]:
        """Give the transfers that changed after `version`, of one job, of one user's jobs, or all; the latest last."""
        found = []
        for entry in reversed(self._entries.values()):
            if entry.version <= version:
                break
            if job_id in (None, entry.job_id) and uid in (None, entry.uid):
                found.append(entry)
        found.reverse()
        return found


@dataclass(slots=True)
class _Told:
    """What was told of a job last: when, on the loop's clock, and how far it was."""

    at: float
    sent: int = 0
    tenth: int = 0


async def report(board: Board, emit: Emit, interval: float = _REPORT, look: float = _LOOK) -> None:
    """Tell how far each job that runs is: once in `interval` seconds, and at each tenth of it; until cancelled.

    What takes less than `look` seconds, between which the board is looked at, is told by its end alone. While it is
    empty it is not looked at.
    """
    told: dict[str, _Told] = {}
    pause = min(look, interval)
    while True:
        await board.filled()
        await anyio.sleep(pause)
        now = anyio.current_time()
        jobs: defaultdict[str, list[Progress]] = defaultdict(list)
        for entry in board.since(0):
            jobs[entry.job_id].append(entry)
        told = {job_id: told.get(job_id) or _Told(now - pause) for job_id in jobs}
        for job_id, entries in jobs.items():
            done, size = sum(entry.done for entry in entries), sum(entry.size for entry in entries)
            last, tenth = told[job_id], done * 10 // size if size else 0
            if now - last.at < interval and tenth <= last.tenth:
                continue
            sent = sum(entry.sent for entry in entries)
            rate = max(0, round((sent - last.sent) / (now - last.at)))
            facts = {"done": done, "size": size, "sent": sent, "rate": rate}
            emit(Event(JOB_PROGRESS, datetime.now(UTC), job_id, fields=facts, trace=entries[0].trace))
            told[job_id] = _Told(now, sent, max(tenth, last.tenth))
