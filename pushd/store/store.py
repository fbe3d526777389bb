"""The job store: durable truth in one SQLite database, a thread that writes it and one that reads it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

from pushd.errors import StoreError
from pushd.store import claims, deliveries, image, jobs, journal, known_blobs, tags, transfers, validated_files
from pushd.store.moment import utc_now
from pushd.store.opening import open_database
from pushd.store.reading import read
from pushd.store.submission import submit
from pushd.store.worker import Worker
from pushd.store.writing import commit
from pushd.telemetry.events import DELIVERY_REQUEUED
from pushd.work import TransferKey

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from pushd.job import Failure, Job, JobState
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image
    from pushd.oci.upload import Checkpoint
    from pushd.store.opening import Opened
    from pushd.store.transaction import Transaction
    from pushd.telemetry.events import Event
    from pushd.work import Claim, FileIdentity, Outcome, Submission, TransferResult

Result = TypeVar("Result")


async def open_store(
    state_dir: Path,
    *,
    publish: Callable[[Sequence[Event]], None],
    clock: Callable[[], datetime] = utc_now,
) -> Store:
    """Open, or create, the store in a state directory. One process may have it open.

    Deliveries an earlier life left running are back in the queue when it returns, or set aside where they were left so
    again and again (see `crashes`), and told of through `publish`.

    Args:
        state_dir: created with mode 0700 when missing.
        publish: is given, on the event loop and in order, the durable events of each commit, before any caller
            whose change they tell goes on. It neither blocks nor fails.
        clock: gives the time, for the changes that are told without one.

    Raises:
        StoreError: `store.unavailable`, another daemon has it or the files cannot be used; `store.damaged`;
            `store.newer`, a newer release wrote it; `store.full`.
    """
    opening = asyncio.ensure_future(asyncio.to_thread(open_database, state_dir, clock()))
    try:
        opened = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unwanted)
        raise
    return Store(opened, publish, clock)


def _close_unwanted(opening: asyncio.Future[Opened]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class Store:
    """What `pushd.push.ports.JobStore` asks for, and what it promises, on SQLite.

    A caller that is cancelled loses the answer; what it asked for is done all the same, whole. Only a claim whose
    answer was lost is given back.
    """

    def __init__(
        self, opened: Opened, publish: Callable[[Sequence[Event]], None], clock: Callable[[], datetime]
    ) -> None:
        """Start the threads; `open_store` calls this."""
        self._opened = opened
        self._clock = clock
        self._writes: Worker[Transaction] = Worker(
            "store-writer",
            opened.writer,
            lambda operations: commit(opened.writer, operations, opened.path),
            publish,
        )
        self._reads: Worker[sqlite3.Connection] = Worker(
            "store-reader",
            opened.reader,
            lambda operations: read(opened.reader, operations, opened.path),
            publish,
        )
        if opened.told:
            publish(opened.told)

    @property
    def epoch(self) -> int:
        """The number of this life of the daemon, larger than any before."""
        return self._opened.epoch

    @property
    def requeued(self) -> int:
        """How many deliveries an earlier life left running that are back in the queue."""
        return sum(event.kind is DELIVERY_REQUEUED for event in self._opened.told)

    async def close(self) -> None:
        """Finish what was asked for, end both threads, let the state directory go. Idempotent."""
        await self._reads.close()
        await self._writes.close()  # last: the connection that writes moves the log into the file as it closes
        self._opened.lock.release()

    async def submit(self, submission: Submission) -> Job:
        """Store a new job, or give the one already stored under the same uid and idempotency key.

        Raises:
            RequestError: `request.idempotency_conflict`, the key was used with another body.
        """
        return await self._writes.send(lambda transaction: submit(transaction, submission))

    async def get(self, job_id: str) -> Job | None:
        """Give one job with its deliveries and their transfers."""
        return await self._reads.send(lambda connection: jobs.job(connection, job_id))

    async def list(
        self,
        *,
        states: Collection[JobState] = (),
        after: str | None = None,
        limit: int = 100,
        uid: int | None = None,
    ) -> Sequence[Job]:
        """Give jobs, newest first, without their transfers; `after` is the last id of the page before.

        Raises:
            RequestError: `request.not_found`, there is no job `after`.
        """
        return await self._reads.send(
            lambda connection: jobs.jobs(connection, states=states, after=after, limit=limit, uid=uid)
        )

    async def image(self, job_id: str) -> Image:
        """Give the image of a job, the manifests' original bytes included.

        Raises:
            RequestError: `request.not_found`.
        """
        return await self._reads.send(lambda connection: image.load(connection, job_id))

    async def claim(self, now: datetime, *, free: Mapping[str, int], default: int) -> Claim | None:
        """Take the next delivery that may run, marking it running.

        Larger priority first, then older first. Held ones whose `not_before` has passed count as queued.

        Args:
            now: the time.
            free: how many more may run for each registry named in it.
            default: how many more may run for any other.
        """
        free = dict(free)  # as it is now: the caller goes on counting
        taken = self._writes.send(
            lambda transaction: claims.claim(transaction, self.epoch, now, free=free, default=default),
            lost=self._give_back,
        )
        try:
            return await taken
        except asyncio.CancelledError:
            # The answer may have been there already, and the caller been cancelled before it looked.
            if not taken.cancelled() and taken.exception() is None:
                self._give_back(taken.result())
            raise

    async def due(self, now: datetime) -> datetime | None:
        """Give the earliest `not_before` after `now` of a held delivery."""
        return await self._reads.send(lambda connection: claims.due(connection, now))

    async def plan(
        self, claim: Claim, *, credential: str, repository: str, blobs: Sequence[Descriptor], manifests: int
    ) -> None:
        """Write down what the delivery needs: its transfers, all pending; earlier results of the delivery go."""
        blobs = tuple(blobs)
        now = self._clock()
        await self._as(
            claim,
            lambda transaction: transfers.plan(
                transaction,
                claim,
                credential=credential,
                repository=repository,
                blobs=blobs,
                manifests=manifests,
                now=now,
            ),
        )

    async def land(self, claim: Claim, blob: Descriptor, result: TransferResult) -> None:
        """Write down what one blob came to. When it landed its checkpoint goes, and where it landed is remembered."""
        now = self._clock()
        await self._as(claim, lambda transaction: transfers.land(transaction, claim, blob, result, now))

    async def checkpoint(self, claim: Claim, key: TransferKey, checkpoint: Checkpoint | None) -> None:
        """Save, or with None forget, where an upload session stands."""
        now = self._clock()
        await self._as(claim, lambda transaction: transfers.checkpoint(transaction, claim, key, checkpoint, now))

    async def recall(self, key: TransferKey) -> Checkpoint | None:
        """Give the saved checkpoint of an upload session."""
        return await self._reads.send(lambda connection: transfers.recall(connection, key))

    async def hold(self, claim: Claim, until: datetime, failure: Failure) -> None:
        """Put a delivery back until `until`. That was a try; `failure` joins its history."""
        now = self._clock()
        await self._as(claim, lambda transaction: deliveries.hold(transaction, claim.delivery_id, until, failure, now))

    async def release(self, claim: Claim) -> None:
        """Put a delivery back into the queue at once, because the daemon stops: neither a try nor a crash."""
        now = self._clock()
        await self._as(claim, lambda transaction: claims.release(transaction, claim, now))

    async def tagging(self, claim: Claim) -> bool:
        """Say, right before it is done, that this delivery puts its tag; give whether it may.

        False when a delivery submitted later said so before for the same tag: the older image must not overwrite the
        newer. A destination that is no tag but a digest cannot be overwritten, and always may.
        """
        return await self._as(claim, lambda transaction: tags.announce(transaction, claim))

    async def finish(self, claim: Claim, outcome: Outcome, now: datetime) -> None:
        """End a delivery, and with its last one the job. A failure joins the delivery's history."""
        await self._as(claim, lambda transaction: deliveries.end(transaction, claim.delivery_id, outcome, now))

    async def met(self, registry: str) -> bool:
        """Tell whether a delivery to `host[:port]` ever got past the first question, and planned a blob to send."""
        return await self._reads.send(lambda connection: transfers.met(connection, registry))

    async def mount_candidate(self, key: TransferKey) -> str | None:
        """Give another repository of the same registry that is believed to hold the blob.

        Believed from what earlier deliveries of the same principal with the same credential landed; the newest.
        """
        return await self._reads.send(lambda connection: known_blobs.elsewhere(connection, key))

    async def forget(self, claim: Claim, *, credential: str, repository: str, digests: Collection[Digest]) -> None:
        """Believe no longer that `repository` of the claim's registry holds these blobs."""
        keys = [
            TransferKey(
                registry=claim.registry, repository=repository, digest=digest, credential=credential, uid=claim.uid
            )
            for digest in digests
        ]
        await self._as(claim, lambda transaction: known_blobs.forget(transaction, keys))

    async def validated(self, identity: FileIdentity) -> Digest | None:
        """Give the digest that this very content was found to have before."""
        return await self._reads.send(lambda connection: validated_files.find(connection, identity))

    async def validate(self, identity: FileIdentity, digest: Digest, now: datetime) -> None:
        """Remember which digest a file's content was found to have.

        A file changed less than two seconds before `now` is not remembered: it could change again within the
        granularity of its times, and look the same.
        """
        if validated_files.settled(identity, now):
            await self._writes.send(lambda transaction: validated_files.save(transaction, identity, digest, now))

    async def cancel(self, job_id: str, now: datetime) -> Sequence[int]:
        """End the deliveries of a job that wait; give the ids of those that run and are the caller's to stop.

        Raises:
            RequestError: `request.not_found`.
        """
        return await self._writes.send(
            lambda transaction: deliveries.cancel(transaction, jobs.number(transaction.connection, job_id), now)
        )

    async def events(self, after: int, *, job_id: str | None = None, limit: int = 500) -> Sequence[Event]:
        """Give durable events numbered above `after`, in order."""
        return await self._reads.send(lambda connection: journal.events(connection, after, job_id, limit))

    async def last_event(self) -> int:
        """Give the number of the newest durable event, 0 when there is none."""
        return await self._reads.send(journal.last_event)

    async def queue(self) -> Mapping[str, int]:
        """Count the deliveries that are not terminal, by state."""
        return await self._reads.send(jobs.queue)

    async def _as(self, claim: Claim, change: Callable[[Transaction], Result]) -> Result:
        """Make a change that only the holder of a claim may make."""

        def fenced(transaction: Transaction) -> Result:
            claims.fence(transaction, claim)
            return change(transaction)

        return await self._writes.send(fenced)

    def _give_back(self, claim: Claim | None) -> None:
        if claim is None:
            return
        now = self._clock()
        with contextlib.suppress(StoreError):  # closed meanwhile: the next life puts it back
            self._writes.send(lambda transaction: claims.give_back(transaction, claim, now))
