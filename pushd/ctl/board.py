"""What is known of a job while one looks on: the events so far, folded into a value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pushd.job import DeliveryState, TransferState

if TYPE_CHECKING:
    from pushd.job import Job

Event = Mapping[str, Any]

Samples = tuple[tuple[datetime, int], ...]
"""When how many more bytes were sent, in the last seconds."""

_WINDOW = timedelta(seconds=10)
_STATES = {
    "delivery.succeeded": DeliveryState.SUCCEEDED,
    "delivery.superseded": DeliveryState.SUPERSEDED,
    "delivery.failed": DeliveryState.FAILED,
    "delivery.cancelled": DeliveryState.CANCELLED,
    "delivery.paused": DeliveryState.PAUSED,
}
_OF_THE_JOB = {
    "job.resumed": ({DeliveryState.PAUSED}, DeliveryState.QUEUED),
    "job.retried": ({DeliveryState.FAILED, DeliveryState.CANCELLED}, DeliveryState.QUEUED),
}
"""What happens to all destinations of a job that are in one state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """One blob on its way to one destination; sizes in bytes.

    Attributes:
        done: what the registry is known to hold.
        sent: what went over the wire.
        resumed: what an earlier attempt had left at the registry, and was not sent again.
        samples: its pace.
    """

    digest: str
    size: int
    state: TransferState = TransferState.PENDING
    done: int = 0
    sent: int = 0
    resumed: int = 0
    samples: Samples = ()

    def rate(self, now: datetime) -> float:
        """Bytes sent in a second, over the last ten."""
        return _rate(self.samples, now)

    def left(self, now: datetime) -> float | None:
        """Seconds until it is there if it goes on like this; None when it does not move."""
        rate = self.rate(now)
        return (self.size - self.done) / rate if rate > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One destination.

    Attributes:
        planned: blobs and bytes it needs, once the daemon knows.
        until: when a held delivery is tried again.
        reason: the code of what it was held for last.
        ready: whether it waits for the others, with everything there but its tag.
        blobs: those that were heard of, by digest.
    """

    destination: str
    state: DeliveryState = DeliveryState.QUEUED
    planned: tuple[int, int] | None = None
    until: datetime | None = None
    reason: str | None = None
    ready: bool = False
    blobs: Mapping[str, Blob] = field(default_factory=dict)

    @property
    def moving(self) -> tuple[Blob, ...]:
        """The blobs whose bytes move now; none when the delivery does not run."""
        if self.state is not DeliveryState.RUNNING:
            return ()
        return tuple(blob for blob in self.blobs.values() if blob.state is TransferState.RUNNING)

    @property
    def done(self) -> int:
        """Bytes the registry is known to hold."""
        return sum(blob.done for blob in self.blobs.values())

    @property
    def resumed(self) -> int:
        """Bytes that earlier attempts had left at the registry."""
        return sum(blob.resumed for blob in self.blobs.values())

    def count(self, state: TransferState) -> int:
        """How many blobs are in this state."""
        return sum(blob.state is state for blob in self.blobs.values())

    @property
    def landed(self) -> int:
        """How many blobs the repository holds."""
        return sum(blob.state.landed for blob in self.blobs.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One job.

    Attributes:
        size: bytes of the whole image, the best guess for a destination not planned yet.
        lanes: its destinations by the deliveries' ids.
        sent: its pace.
    """

    job_id: str
    size: int
    lanes: Mapping[int, Lane]
    sent: Samples = ()

    @classmethod
    def of(cls, job: Job) -> Board:
        """Begin with a job before any event of it was heard: the events tell everything from its beginning."""
        lanes = {delivery.id: Lane(destination=delivery.destination) for delivery in job.deliveries}
        return cls(job_id=job.id, size=job.size, lanes=lanes)

    @property
    def total(self) -> int:
        """Bytes all destinations need; one that has ended needs no more than it has."""
        return sum(
            lane.done if lane.state.terminal else max(lane.done, lane.planned[1] if lane.planned else self.size)
            for lane in self.lanes.values()
        )

    @property
    def done(self) -> int:
        """Bytes all destinations have."""
        return sum(lane.done for lane in self.lanes.values())

    def rate(self, now: datetime) -> float:
        """Bytes sent in a second, over the last ten."""
        return _rate(self.sent, now)

    def left(self, now: datetime) -> float | None:
        """Seconds until everything is there if it goes on like this; None when nothing moves."""
        rate = self.rate(now)
        return (self.total - self.done) / rate if rate > 0 else None

    def after(self, event: Event) -> Board:
        """Give what is known once `event` was heard. Events this version does not know change nothing."""
        if event["event"] in _OF_THE_JOB:
            before, after = _OF_THE_JOB[event["event"]]
            lanes = {
                number: replace(lane, state=after, until=None) if lane.state in before else lane
                for number, lane in self.lanes.items()
            }
            return replace(self, lanes=lanes)
        number = event.get("delivery")
        lane = self.lanes.get(number) if isinstance(number, int) else None
        if lane is None or not isinstance(number, int):
            return self
        name = event["event"]
        if name in ("transfer.started", "transfer.progress", "transfer.finished"):
            return self._moved(number, lane, event)
        changed = _changed(lane, name, event)
        return self if changed is lane else replace(self, lanes={**self.lanes, number: changed})

    def _moved(self, number: int, lane: Lane, event: Event) -> Board:
        digest = str(event["digest"])
        before = lane.blobs.get(digest)
        if before is not None and before.state.landed and event["event"] != "transfer.finished":
            return self  # progress has no number, and may come behind what has one
        blob = _blob(before or Blob(digest=digest, size=event.get("size", 0)), event)
        lanes = {**self.lanes, number: replace(lane, blobs={**lane.blobs, digest: blob})}
        # What was sent before this blob was first heard of was not sent just now.
        news = blob.sent - before.sent if before else 0
        if news > 0:
            at = datetime.fromisoformat(event["at"])
            blob = replace(blob, samples=_with(blob.samples, at, news))
            lanes = {**self.lanes, number: replace(lane, blobs={**lane.blobs, digest: blob})}
            return replace(self, lanes=lanes, sent=_with(self.sent, at, news))
        return replace(self, lanes=lanes)


def _with(samples: Samples, at: datetime, news: int) -> Samples:
    return (*(sample for sample in samples if sample[0] > at - _WINDOW), (at, news))


def _rate(samples: Samples, now: datetime) -> float:
    recent = [(at, count) for at, count in samples if at > now - _WINDOW]
    if not recent:
        return 0.0
    seconds = max(1.0, (now - recent[0][0]).total_seconds())
    return sum(count for _, count in recent) / seconds


def _blob(blob: Blob, event: Event) -> Blob:
    resumed = event.get("resumed")
    if isinstance(resumed, bool) or not isinstance(resumed, int):  # whether at all: how much is not known yet
        resumed = blob.resumed
    if event["event"] == "transfer.started":
        return replace(blob, state=TransferState.RUNNING, done=resumed, resumed=resumed)
    try:
        state = TransferState(event.get("state", "running"))
    except ValueError:
        state = TransferState.RUNNING
    done, sent = event.get("done", blob.done), event.get("sent", blob.sent)
    if state is TransferState.RUNNING and not blob.sent and not resumed:
        resumed = max(0, done - sent)  # there and not sent: it was there before
    return replace(blob, state=state, done=blob.size if state.landed else done, sent=sent, resumed=resumed)


def _changed(lane: Lane, name: str, event: Event) -> Lane:
    if name == "delivery.started":
        return replace(lane, state=DeliveryState.RUNNING, until=None, ready=False)
    if name == "delivery.ready":
        return replace(lane, state=DeliveryState.HELD, until=None, reason=None, ready=True)
    if name == "delivery.planned":
        return replace(lane, planned=(event.get("blobs", 0), event.get("size", 0)), blobs={})
    if name == "delivery.held":
        until = event.get("until")
        return replace(
            lane,
            state=DeliveryState.HELD,
            until=datetime.fromisoformat(until) if isinstance(until, str) else None,
            reason=event.get("code"),
        )
    if name == "delivery.requeued":
        return replace(lane, state=DeliveryState.QUEUED)
    return replace(lane, state=_STATES[name]) if name in _STATES else lane
