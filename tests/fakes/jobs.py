"""The engine as the API sees it, without an engine: jobs that end when the test says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio

from pushd.errors import Code, RequestError
from pushd.job import AUTO, Compress, Delivery, DeliveryState, Failure, Job, JobState, Transfer, TransferState, Try
from pushd.telemetry.events import STREAM_BOOKMARK, Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from pushd.job import JobSpec
    from pushd.principal import Principal
    from pushd.work import Handed, JobQuery

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
STREAM = "0123456789ab"
_DECIDED = {Compress.DEFAULT: Compress.GZIP, Compress.AUTO: Compress.NONE}
"""The id of the one stream of events there is."""

_DELIVERED: dict[JobState, DeliveryState] = {
    JobState.PARTIAL: DeliveryState.FAILED,
    **{state: DeliveryState(state) for state in JobState if state is not JobState.PARTIAL},
}


@dataclass(frozen=True, slots=True)
class Submitted:
    """What the API handed over."""

    spec: JobSpec
    caller: Principal
    key: str | None
    fingerprint: bytes


@dataclass
class FakeJobs:
    """Fulfils `pushd.api.ports.Jobs`.

    Attributes:
        raises: raised by every call, when set.
        submitted: all submissions, in order.
        handed: credentials that came with any call, by its name, in order.
        story: the events there are; added to with `tell`.
        forgotten: the number up to which events are past their time.
        batches: events given at once, at most.
        watchers: how many event streams are open.
        waiting: how many long polls are.
        asked: what was asked of registries, in order.
        paused: the registries that are.
        silence: seconds after which a stream that waits is told that all was told.
        brings: for each submission and plan, whether its caller would rather bring the image.
        fetching: set when an image begins to be fetched out of an engine, which never ends; None to have it at once.
        given_up: set when that was cut short.
        hesitation: what is waited for before a reader is told whether they may go on, where there is such a thing.
    """

    raises: Exception | None = None
    submitted: list[Submitted] = field(default_factory=list)
    handed: list[tuple[str, Sequence[Handed]]] = field(default_factory=list)
    story: list[Event] = field(default_factory=list)
    forgotten: int = 0
    batches: int = 100
    jobs: dict[str, Job] = field(default_factory=dict)
    watchers: int = 0
    waiting: int = 0
    asked: list[str] = field(default_factory=list)
    paused: set[str] = field(default_factory=set)
    silence: float = 0.05
    hesitation: anyio.Event | None = None
    brings: list[bool] = field(default_factory=list)
    fetching: asyncio.Event | None = None
    given_up: asyncio.Event = field(default_factory=asyncio.Event)
    _pulse: anyio.Event = field(default_factory=anyio.Event)

    async def submit(
        self,
        spec: JobSpec,
        *,
        handed: Sequence[Handed] = (),
        caller: Principal,
        idempotency_key: str | None,
        fingerprint: bytes,
        brings: bool = False,
    ) -> Job:
        self._take("submit", handed)
        await self._fetch(spec, brings)
        for number, known in enumerate(self.submitted):
            if idempotency_key is not None and (known.caller.uid, known.key) == (caller.uid, idempotency_key):
                if known.fingerprint != fingerprint:
                    raise RequestError(Code.REQUEST_CONFLICT, idempotency_key, "was used for another request")
                return self.jobs[f"job{number:09}"]
        self.submitted.append(Submitted(spec, caller, idempotency_key, fingerprint))
        return self.add(f"job{len(self.submitted) - 1:09}", spec, uid=caller.uid)

    async def _fetch(self, spec: JobSpec, brings: bool) -> None:
        """Fetch an image out of an engine for as long as it is to last."""
        self.brings.append(brings)
        if spec.in_engine and self.fetching is not None:
            try:
                self.fetching.set()
                await anyio.sleep_forever()
            finally:
                self.given_up.set()

    async def plan(
        self, spec: JobSpec, *, handed: Sequence[Handed] = (), caller: Principal, brings: bool = False
    ) -> Mapping[str, object]:
        self._take("plan", handed)
        await self._fetch(spec, brings)
        blob = {"digest": f"sha256:{'ab' * 32}", "media_type": "application/vnd.oci.image.layer.v1.tar", "size": 10}
        nothing, one = {"count": 0, "bytes": 0}, {"count": 1, "bytes": 10}
        return {
            "source": spec.source,
            "digest": f"sha256:{'cd' * 32}",
            "media_type": "application/vnd.oci.image.manifest.v1+json",
            "size": 1234,
            "compress": nothing,
            "referrers": 2 if spec.with_referrers else None,
            "destinations": [
                {
                    "destination": destination,
                    "action": "push",
                    "tag": None,
                    "manifests": one,
                    "present": nothing,
                    "mount": one,
                    "send": nothing,
                    "blobs": [{**blob, "action": "mount", "from": "team/base"}],
                    "failure": None,
                }
                for destination in spec.destinations
            ],
        }

    async def get(self, job_id: str, *, caller: Principal) -> Job:
        self._may_fail()
        job = self.jobs.get(job_id)
        if job is None or caller.sees not in (None, job.uid):
            raise RequestError(Code.REQUEST_NOT_FOUND, job_id, "is no job")
        return job

    async def list(self, query: JobQuery, *, caller: Principal) -> Sequence[Job]:
        self._may_fail()
        newest = [
            job
            for job in reversed(self.jobs.values())
            if (not query.states or job.state in query.states)
            and query.labels.items() <= job.labels.items()
            and (
                query.registry is None
                or any(delivery.destination.startswith(f"{query.registry}/") for delivery in job.deliveries)
            )
            and caller.sees in (None, job.uid)
        ]
        start = next((index + 1 for index, job in enumerate(newest) if job.id == query.after), 0)
        return newest[start : start + query.limit]

    async def wait(self, job_id: str, seconds: float, /, *, caller: Principal) -> Job:
        self.waiting += 1
        self._changed()
        try:
            with anyio.move_on_after(seconds):
                while not (await self.get(job_id, caller=caller)).state.terminal:
                    await self._pulse.wait()
        finally:
            self.waiting -= 1
            self._changed()
        return await self.get(job_id, caller=caller)

    async def cancel(self, job_id: str, *, caller: Principal) -> Job:
        job = await self.get(job_id, caller=caller)
        return job if job.state.terminal else self.end(job_id, JobState.CANCELLED)

    async def pause(self, job_id: str, *, caller: Principal) -> Job:
        return await self._turn(job_id, JobState.PAUSED, caller)

    async def resume(self, job_id: str, *, caller: Principal) -> Job:
        return await self._turn(job_id, JobState.QUEUED, caller)

    async def _turn(self, job_id: str, state: JobState, caller: Principal) -> Job:
        job = await self.get(job_id, caller=caller)
        if job.state.terminal:
            raise RequestError(Code.REQUEST_STATE, job_id, f"has ended: {job.state}")
        return self._put(job_id, state, paused_at=NOON if state is JobState.PAUSED else None)

    async def retry(self, job_id: str, *, handed: Sequence[Handed] = (), caller: Principal) -> Job:
        self._take("retry", handed)
        job = await self.get(job_id, caller=caller)
        failed = job.state in (JobState.FAILED, JobState.PARTIAL, JobState.CANCELLED)
        return self._put(job_id, JobState.QUEUED, finished_at=None) if failed else job

    async def pause_registry(self, registry: str, *, caller: Principal) -> Mapping[str, object]:
        self._of_registry(f"pause {registry}", caller)
        self.paused.add(registry)
        return {"registry": registry, "paused_since": NOON}

    async def resume_registry(self, registry: str, *, caller: Principal) -> Mapping[str, object]:
        self._of_registry(f"resume {registry}", caller)
        self.paused.discard(registry)
        return {"registry": registry, "paused_since": None}

    async def cancel_registry(self, registry: str, *, caller: Principal) -> Mapping[str, object]:
        self._of_registry(f"cancel {registry}", caller)
        return {"registry": registry, "cancelled": 2, "stopping": 1}

    async def diagnose(
        self, target: str, *, handed: Sequence[Handed] = (), credential: str = AUTO, caller: Principal
    ) -> Mapping[str, object]:
        self._take("diagnose", handed)
        chosen = "" if credential == AUTO else f" with {credential}"
        self._of_registry(f"diagnose {target}{chosen}", caller, administrators=False)
        return {
            "target": target,
            "checks": [
                {"check": "resolve", "ok": True, "detail": "127.0.0.1", "hint": ""},
                {"check": "tls", "ok": None, "detail": "plain HTTP", "hint": ""},
                {"check": "push", "ok": False, "detail": "denied", "hint": "ask for the right to push"},
            ],
        }

    def _of_registry(self, what: str, caller: Principal, *, administrators: bool = True) -> None:
        self._may_fail()
        if administrators and not caller.administrator:
            raise RequestError(Code.REQUEST_FORBIDDEN, "registry", "is held back by administrators alone")
        self.asked.append(what)

    async def position(self, after: int, *, stream: str | None) -> None:
        self._may_fail()
        if self.hesitation is not None:
            await self.hesitation.wait()
        if stream not in (None, STREAM) or 0 < after < self.forgotten:
            raise RequestError(Code.REQUEST_EVENTS_GONE, "after", "what followed is past its time")
        if after > self.newest:
            raise RequestError(Code.REQUEST_MALFORMED, "after", "no event has such a number yet")

    @property
    def newest(self) -> int:
        """The number of the newest event."""
        return max((event.seq or 0 for event in self.story), default=0)

    async def events(
        self, *, after: int, job_id: str | None, follow: bool, caller: Principal
    ) -> AsyncIterator[Sequence[Event]]:
        self.watchers += 1
        self._changed()
        told = 0
        try:
            while True:
                self._may_fail()
                batch = []
                for event in self.story[told : told + self.batches]:
                    told += 1
                    mine = caller.sees in (None, event.uid) and job_id in (None, event.job)
                    if mine and (event.seq is None or event.seq > after):
                        batch.append(event)
                if batch:
                    yield batch
                if job_id is not None and any(event.kind.name == "job.finished" for event in batch):
                    return
                if told < len(self.story):
                    continue
                if not follow:
                    return
                with anyio.move_on_after(self.silence) as pause:
                    await self._pulse.wait()
                if pause.cancelled_caught:
                    yield [Event(STREAM_BOOKMARK, NOON, seq=self.newest, fields={"stream": STREAM})]
        finally:
            self.watchers -= 1
            self._changed()

    async def status(self, *, caller: Principal) -> Mapping[str, object]:
        self._may_fail()
        queue = {"queued": len(self.jobs), "running": 0, "held": 0, "paused": 0}
        registry = {**queue, "sent": 5, "rate": 2.5, "throttled_for": None, "paused_since": None}
        moving = {"job": "job000000000", "destination": "a.b/c:1", "digest": f"sha256:{'ab' * 32}", "size": 10}
        common = {
            "version": "0",
            "now": NOON,
            "uid": caller.uid,
            "role": caller.role,
            "paths": caller.paths,
            "uptime": 1.5,
            "epoch": 3,
            "stream": STREAM,
            "queue": queue,
            "oldest": None,
            "uploads": {"running": 1, "waiting": 0},
            "registries": {name: {**registry, "paused_since": NOON} for name in sorted(self.paused)}
            | {"a.b": registry},
            "transfers": [{**moving, "done": 4, "sent": 5, "rate": 2.5, "seconds": 2.0}],
        }
        if not caller.administrator:
            return common
        return common | {
            "pid": 1,
            "socket": "/run/pushd/pushd.sock",
            "state_dir": "/var/lib/pushd",
            "limits": {"deliveries": 16, "memory": 64 << 20},
            "disk": {"database": 1, "spool": 2, "free": 3, "budget": None, "reserve": 4, "refusing": ["spool"]},
        }

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
            not_before=spec.not_before,
            if_tag=spec.if_tag,
            retain=spec.retain,
            platforms=spec.platforms,
            validate=spec.validate,
            compress=_DECIDED.get(spec.compress, spec.compress),
            tags=spec.tags,
            referrers=2 if spec.with_referrers else None,
        )
        return job

    def end(self, job_id: str, state: JobState = JobState.SUCCEEDED) -> Job:
        """Bring a job to its end."""
        job = self._put(job_id, state, finished_at=NOON)
        self._changed()
        return job

    def _put(self, job_id: str, state: JobState, **changes: datetime | None) -> Job:
        """Bring a job and its deliveries into a state, with the reasons there are for it."""
        delivered = _DELIVERED[state]
        failure: Failure | None = None
        history: tuple[Try, ...] = ()
        if delivered is DeliveryState.FAILED:
            failure = Failure(code=Code.REGISTRY_DENIED, message="denied; ask for the right to push", retryable=False)
            history = (Try(at=NOON, attempt=1, code=failure.code, message=failure.message),)
        job = self.jobs[job_id] = replace(
            self.jobs[job_id],
            state=state,
            deliveries=tuple(
                replace(delivery, state=delivered, failure=failure, history=history)
                for delivery in self.jobs[job_id].deliveries
            ),
            **changes,  # type: ignore[arg-type] # times, by the names of the job's times
        )
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

    def _take(self, call: str, handed: Sequence[Handed]) -> None:
        self._may_fail()
        if handed:
            self.handed.append((call, handed))

    def _may_fail(self) -> None:
        if self.raises is not None:
            raise self.raises
