"""The engine as the API sees it: jobs in, jobs and events out."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio

from pushd.errors import Code, RequestError
from pushd.oci.reference import Reference
from pushd.telemetry.events import JOB_FINISHED, TRANSFER_PROGRESS, Event
from pushd.work import Submission

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from pushd.job import Delivery, Job, JobSpec, JobState
    from pushd.oci.image import Image
    from pushd.push.hub import Hub
    from pushd.push.places import Places
    from pushd.push.ports import JobStore, OpenSource
    from pushd.push.progress import Board, Progress
    from pushd.push.scheduler import Scheduler
    from pushd.telemetry.events import Value

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""Of job ids: 32 characters that are hard to confuse when read aloud or typed."""
_PAGE = 500
_TICK = 0.25
"""Seconds between two looks at what moves, for a reader of events."""
_KEEP_ALIVE = 15.0
"""Seconds of silence after which a reader is told that there is nothing to tell."""


class Engine:
    """Takes jobs, and answers questions about them.

    Args:
        deadline: seconds from its submission in which a job that names no deadline must be done.
        facts: what `status` tells that never changes: version, socket, limits.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        open_source: OpenSource,
        scheduler: Scheduler,
        places: Places,
        board: Board,
        hub: Hub,
        deadline: float,
        facts: Mapping[str, object],
    ) -> None:
        self._store = store
        self._open_source = open_source
        self._scheduler = scheduler
        self._places = places
        self._board = board
        self._hub = hub
        self._deadline = deadline
        self._facts = facts
        self._started = anyio.current_time()

    async def submit(
        self, spec: JobSpec, *, uid: int, idempotency_key: str | None = None, fingerprint: bytes = b""
    ) -> Job:
        """Take a job: check it to the last blob's size, store it, and have it run.

        Returns only once it is on the disk. From then on exactly this image, by digest, will be delivered.

        Raises:
            RequestError: a destination is no reference, or names another digest than the image has; the
                idempotency key was used with another body.
            SourceError: the source is not a complete image.
            StoreError: it could not be stored, and was not taken.
        """
        references = [Reference.parse(destination) for destination in spec.destinations]
        source = await anyio.to_thread.run_sync(self._open_source, spec.source)
        try:
            image = await anyio.to_thread.run_sync(source.image)
        finally:
            source.close()
        for reference in references:
            _check_digest(reference, image)
        registries = {str(reference): reference.registry for reference in references}
        now = datetime.now(UTC)
        job = await self._store.submit(
            Submission(
                job_id="".join(secrets.choice(_ALPHABET) for _ in range(12)),
                spec=replace(spec, destinations=tuple(registries)),
                registries=tuple(registries.values()),
                image=image,
                uid=uid,
                created_at=now,
                deadline_at=now + timedelta(seconds=self._deadline if spec.deadline is None else spec.deadline),
                idempotency_key=idempotency_key,
                fingerprint=fingerprint,
            )
        )
        self._scheduler.wake()
        return job

    async def get(self, job_id: str) -> Job:
        """Give a job, with what moves as it stands now.

        Raises:
            RequestError: `request.not_found`.
        """
        job = await self._store.get(job_id)
        if job is None:
            raise RequestError(Code.REQUEST_NOT_FOUND, job_id, "there is no such job", hint="`pushctl jobs` lists them")
        return replace(job, deliveries=tuple(self._live(delivery) for delivery in job.deliveries))

    def _live(self, delivery: Delivery) -> Delivery:
        transfers = []
        for transfer in delivery.transfers:
            now = self._board.find(delivery.id, transfer.digest)
            if now is not None and not transfer.state.landed:
                transfers.append(replace(transfer, state=now.state, done=now.done, sent=now.sent))
            else:
                transfers.append(transfer)
        return replace(delivery, transfers=tuple(transfers))

    async def list(self, *, states: Collection[JobState], after: str | None, limit: int) -> Sequence[Job]:
        """Give jobs, newest first; `after` is the last id of the page before."""
        return await self._store.list(states=states, after=after, limit=limit)

    async def wait(self, job_id: str, timeout: float) -> Job:  # noqa: ASYNC109 (the caller gets the job, not an error)
        """Give the job when it is finished, or as it is after `timeout` seconds."""
        finished = self._hub.finish_of(job_id)
        job = await self.get(job_id)
        if not job.state.terminal and timeout > 0:
            with anyio.move_on_after(timeout):
                await finished.wait()
            job = await self.get(job_id)
        return job

    async def cancel(self, job_id: str) -> Job:
        """End what is not ended of a job; give it as it is then. What runs ends within seconds."""
        await self.get(job_id)
        for delivery_id in await self._store.cancel(job_id, datetime.now(UTC)):
            self._scheduler.cancel(delivery_id)
        return await self.get(job_id)

    async def events(self, *, after: int, job_id: str | None, follow: bool) -> AsyncIterator[Event | None]:
        """Give durable events numbered above `after`, in order, and between them what moves, coalesced.

        Without `follow` it ends at the present; with `job_id` after that job's end. None is a keep-alive.
        """
        if job_id is not None:
            await self.get(job_id)
        seen = 0
        silent_since = anyio.current_time()
        while True:
            news = self._hub.news()
            batch = await self._store.events(after, job_id=job_id, limit=_PAGE)
            for event in batch:
                yield event
                after = event.seq or after
                if job_id is not None and event.kind is JOB_FINISHED:
                    return
            if len(batch) == _PAGE:
                continue
            if not follow or (job_id is not None and not batch and (await self.get(job_id)).state.terminal):
                return
            moved = list(self._board.since(seen, job_id=job_id))
            seen = self._board.version
            for entry in moved:
                yield _progress(entry)
            if batch or moved:
                silent_since = anyio.current_time()
            elif anyio.current_time() - silent_since >= _KEEP_ALIVE:
                silent_since = anyio.current_time()
                yield None
            with anyio.move_on_after(_TICK if self._places.running else _KEEP_ALIVE):
                await news.wait()

    async def status(self) -> Mapping[str, object]:
        """Give what the daemon is and does."""
        running = self._scheduler.running
        registries = sorted({*running, *self._board.sent})
        return {
            **self._facts,
            "epoch": self._store.epoch,
            "uptime": round(anyio.current_time() - self._started, 3),
            "queue": dict(await self._store.queue()),
            "uploads": {"running": self._places.running, "waiting": self._places.waiting},
            "registries": {
                name: {"running": running.get(name, 0), "sent": self._board.sent.get(name, 0)} for name in registries
            },
        }


def _check_digest(reference: Reference, image: Image) -> None:
    """A destination that names a digest can only ever hold that image."""
    root = image.root.descriptor.digest
    if reference.digest is not None and reference.digest != root:
        raise RequestError(
            Code.REQUEST_INVALID_REFERENCE,
            str(reference),
            f"names another digest than the image, which is {root}",
            hint="leave the digest out, or name the image's",
        )


def _progress(entry: Progress) -> Event:
    fields: dict[str, Value] = {
        "digest": entry.digest,
        "destination": entry.destination,
        "size": entry.size,
        "done": entry.done,
        "sent": entry.sent,
        "state": str(entry.state),
    }
    return Event(TRANSFER_PROGRESS, datetime.now(UTC), entry.job_id, entry.delivery_id, fields)
