"""The engine as the API sees it, without an engine: jobs that end when the test says so."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio

from pushd.errors import Code, RequestError
from pushd.job import Delivery, DeliveryState, Job, JobState, Transfer, TransferState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from pushd.job import JobSpec
    from pushd.telemetry.events import Event

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Submitted:
    """What the API handed over."""

    spec: JobSpec
    uid: int
    key: str | None
    fingerprint: bytes


@dataclass
class FakeJobs:
    """Fulfils `pushd.api.ports.Jobs`.

    Attributes:
        raises: raised by every call, when set.
        submitted: all submissions, in order.
        story: the events there are; added to with `tell`.
        watchers: how many event streams are open.
        waiting: how many long polls are.
        keep_alive: seconds between keep-alives of a stream that waits.
    """

    raises: Exception | None = None
    submitted: list[Submitted] = field(default_factory=list)
    story: list[Event] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    watchers: int = 0
    waiting: int = 0
    keep_alive: float = 0.05
    _pulse: anyio.Event = field(default_factory=anyio.Event)

    async def submit(self, spec: JobSpec, *, uid: int, idempotency_key: str | None, fingerprint: bytes) -> Job:
        self._may_fail()
        for number, known in enumerate(self.submitted):
            if idempotency_key is not None and (known.uid, known.key) == (uid, idempotency_key):
                if known.fingerprint != fingerprint:
                    raise RequestError(Code.REQUEST_CONFLICT, idempotency_key, "was used for another request")
                return self.jobs[f"job{number:09}"]
        self.submitted.append(Submitted(spec, uid, idempotency_key, fingerprint))
        return self.add(f"job{len(self.submitted) - 1:09}", spec, uid=uid)

    async def get(self, job_id: str) -> Job:
        self._may_fail()
        try:
            return self.jobs[job_id]
        except KeyError:
            raise RequestError(Code.REQUEST_NOT_FOUND, job_id, "is no job") from None

    async def list(self, *, states: Collection[JobState], after: str | None, limit: int) -> Sequence[Job]:
        self._may_fail()
        newest = [job for job in reversed(self.jobs.values()) if not states or job.state in states]
        start = next((index + 1 for index, job in enumerate(newest) if job.id == after), 0)
        return newest[start : start + limit]

    async def wait(self, job_id: str, seconds: float, /) -> Job:
        self.waiting += 1
        self._changed()
        try:
            with anyio.move_on_after(seconds):
                while not (await self.get(job_id)).state.terminal:
                    await self._pulse.wait()
        finally:
            self.waiting -= 1
            self._changed()
        return await self.get(job_id)

    async def cancel(self, job_id: str) -> Job:
        job = await self.get(job_id)
        return job if job.state.terminal else self.end(job_id, JobState.CANCELLED)

    async def events(self, *, after: int, job_id: str | None, follow: bool) -> AsyncIterator[Event | None]:
        self.watchers += 1
        self._changed()
        told = 0
        try:
            while True:
                self._may_fail()
                for event in self.story[told:]:
                    told += 1
                    if (event.seq is None or event.seq > after) and job_id in (None, event.job):
                        yield event
                        if job_id is not None and event.kind.name == "job.finished":
                            return
                if told < len(self.story):
                    continue
                if not follow:
                    return
                with anyio.move_on_after(self.keep_alive) as pause:
                    await self._pulse.wait()
                if pause.cancelled_caught:
                    yield None
        finally:
            self.watchers -= 1
            self._changed()

    async def status(self) -> Mapping[str, object]:
        self._may_fail()
        return {"version": "0", "queue": {"queued": len(self.jobs)}}

    def add(self, job_id: str, spec: JobSpec, *, uid: int = 0) -> Job:
        """Put a queued job there."""
        transfer = Transfer(digest=f"sha256:{'ab' * 32}", media_type="x/y", size=10, state=TransferState.PENDING)
        job = self.jobs[job_id] = Job(
            id=job_id,
            state=JobState.QUEUED,
            source=spec.source,
            uid=uid,
            priority=spec.priority,
            labels=spec.labels,
            digest=f"sha256:{'cd' * 32}",
            media_type="application/vnd.oci.image.manifest.v1+json",
            size=1234,
            created_at=NOON,
            deadline_at=NOON + timedelta(days=1),
            finished_at=None,
            deliveries=tuple(
                Delivery(id=number, destination=name, state=DeliveryState.QUEUED, transfers=(transfer,))
                for number, name in enumerate(spec.destinations, 1)
            ),
        )
        return job

    def end(self, job_id: str, state: JobState = JobState.SUCCEEDED) -> Job:
        """Bring a job to its end."""
        job = self.jobs[job_id] = replace(self.jobs[job_id], state=state, finished_at=NOON)
        self._changed()
        return job

    def tell(self, *events: Event) -> None:
        """Let events happen."""
        self.story += events
        self._changed()

    def fail(self, error: Exception) -> None:
        """Raise `error` from now on."""
        self.raises = error
        self._changed()

    async def until(self, *, watchers: int = 0, waiting: int = 0) -> None:
        """Wait until so many streams, and so many long polls, are open."""
        with anyio.fail_after(5):
            while (self.watchers, self.waiting) != (watchers, waiting):
                await self._pulse.wait()

    def _changed(self) -> None:
        """Wake whoever waits for anything."""
        self._pulse.set()
        self._pulse = anyio.Event()

    def _may_fail(self) -> None:
        if self.raises is not None:
            raise self.raises
