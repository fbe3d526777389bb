"""The job store: durable truth in one SQLite database, a thread that writes it and one that reads it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pushd.errors import Code, StoreError
from pushd.store import claims, control, deliveries, known_blobs, registries, tags, transfers, validated_files
from pushd.store.expiry import expire
from pushd.store.keeping import Keeping
from pushd.store.moment import utc_now
from pushd.store.opening import open_database
from pushd.store.pruning import prune
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

    from pushd.job import Failure, Job
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.upload import Checkpoint
    from pushd.store.answer import Answer
    from pushd.store.opening import Opened
    from pushd.store.transaction import Transaction
    from pushd.telemetry.events import Event
    from pushd.work import Claim, FileIdentity, Outcome, Pruned, Retention, Sealed, Submission, TransferResult

Result = TypeVar("Result")


async def open_store(
    state_dir: Path,
    *,
    publish: Callable[[Sequence[Event]], None],
    clock: Callable[[], datetime] = utc_now,
    committed: Callable[[float], None] = lambda _: None,
) -> Store:
    """Open, or create, the store in a state directory. One process may have it open.

    Deliveries an earlier life left running are back in the queue when it returns, or set aside where they were left so
    again and again (see `crashes`), and told of through `publish`.

    Args:
        state_dir: created with mode 0700 when missing.
        publish: is given, on the event loop and in order, the durable events of each commit, before any caller
            whose change they tell goes on. It neither blocks nor fails.
        clock: gives the time, for the changes that are told without one.
        committed: is given the seconds each commit took, on the thread that writes. It neither blocks nor fails.

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
    return Store(opened, publish, clock, committed)


def _close_unwanted(opening: asyncio.Future[Opened]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a log that was closed is gone
        return 0


class Store(Keeping):
    """What `pushd.push.ports.store.JobStore` asks for, and what it promises, on SQLite.

    A caller that is cancelled loses the answer; what it asked for is done all the same, whole. Only a claim whose
    answer was lost is given back.
    """

    def __init__(
        self,
        opened: Opened,
        publish: Callable[[Sequence[Event]], None],
        clock: Callable[[], datetime],
        committed: Callable[[float], None],
    ) -> None:
        """Start the threads; `open_store` calls this."""
        self._opened = opened
        self._clock = clock
        self._sound = True

        def write(operations: Sequence[Callable[[Transaction], object]]) -> Sequence[Answer]:
            start = time.monotonic()
            answers = commit(opened.writer, operations, opened.path)
            committed(time.monotonic() - start)
            return self._noted(answers)

        writes: Worker[Transaction] = Worker("store-writer", opened.writer, write, publish)
        reads: Worker[sqlite3.Connection] = Worker(
            "store-reader",
            opened.reader,
            lambda operations: self._noted(read(opened.reader, operations, opened.path)),
            publish,
        )
        super().__init__(reads, writes)
        if opened.told:
            publish(opened.told)

    @property
    def epoch(self) -> int:
        """The number of this life of the daemon, larger than any before."""
        return self._opened.epoch

    @property
    def stream(self) -> str:
        """The id of the stream the events are numbered in: another one after a backup was restored."""
        return self._opened.stream

    @property
    def size(self) -> int:
        """Bytes of the database on the disk, its log and what both threads share of it included."""
        return sum(_size(self._opened.path.with_name(f"pushd.db{suffix}")) for suffix in ("", "-wal", "-shm"))

    @property
    def requeued(self) -> int:
        """How many deliveries an earlier life left running that are back in the queue."""
        return sum(event.kind is DELIVERY_REQUEUED for event in self._opened.told)

    async def answers(self) -> None:
        """Return once both threads have answered, after what they were asked before."""
        await asyncio.gather(self._reads.send(lambda _: None), self._writes.send(lambda _: None))

    async def close(self) -> None:
        """Finish what was asked for, end both threads, let the state directory go. Idempotent."""
        await self._reads.close()
        await self._writes.close()  # last: the connection that writes moves the log into the file as it closes
        self._opened.let_go(sound=self._sound)

    async def submit(self, submission: Submission, *, limit: int) -> Job:
        """Store a new job, or give the one already stored under the same uid and idempotency key.

        Raises:
            RequestError: `request.idempotency_conflict`, the key was used with another body; `request.limit`, the
                user has `limit` jobs already that have not ended.
        """
        return await self._writes.send(lambda transaction: submit(transaction, submission, limit=limit), patient=True)

    async def claim_all(
        self, now: datetime, *, free: Mapping[str, int], default: int, most: int
    ) -> tuple[Sequence[Claim], datetime | None]:
        """Take the next deliveries that may run, marking them running.

        Larger priority first, then the user whose turn is longest ago, then older first. Held ones whose `not_before`
        has passed count as queued; what goes to a paused registry is passed over.

        Args:
            now: the time.
            free: how many more may run for each registry named in it.
            default: how many more may run for any other.
            most: of them at once.

        Returns:
            The claims, and the earliest `not_before` after `now` of a held delivery.
        """
        free = dict(free)  # as it is now: the caller goes on counting
        taken = self._writes.send(
            lambda transaction: claims.claim_all(transaction, self.epoch, now, free=free, default=default, most=most),
            lost=self._give_back,
        )
        try:
            return await taken
        except asyncio.CancelledError:
            # The answer may have been there already, and the caller been cancelled before it looked.
            if not taken.cancelled() and taken.exception() is None:
                self._give_back(taken.result())
            raise

    async def plan(
        self, claim: Claim, *, credential: str, repository: str, blobs: Sequence[Descriptor], manifests: int
    ) -> Mapping[Digest, Checkpoint | str]:
        """Write down what the delivery needs: its transfers, all pending; earlier results of the delivery go.

        Returns:
            What is known of blobs: the checkpoint of an upload; where there is none, the repository it is believed to
            be in, this one if it is.
        """
        blobs = tuple(blobs)
        now = self._clock()
        return await self._as(
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

    async def land(self, claim: Claim, *results: tuple[Descriptor, TransferResult]) -> None:
        """Write down what blobs came to, all or none.

        Where one landed its checkpoint goes, and where it landed is remembered.
        """
        now = self._clock()
        await self._as(claim, lambda transaction: transfers.land(transaction, claim, results, now))

    async def checkpoint(self, claim: Claim, key: TransferKey, checkpoint: Checkpoint | None) -> None:
        """Save, or with None forget, where an upload session stands."""
        now = self._clock()
        await self._as(claim, lambda transaction: transfers.checkpoint(transaction, claim, key, checkpoint, now))

    async def hold(self, claim: Claim, until: datetime, failure: Failure) -> None:
        """Put a delivery back until `until`. That was a try; `failure` joins its history.

        Where its job was paused meanwhile, it waits until that is resumed. One held for want of a credential goes on
        when its user brings one, or at once where they have since it was claimed.
        """
        now = self._clock()
        await self._as(claim, lambda transaction: deliveries.hold(transaction, claim.delivery_id, until, failure, now))

    async def release(self, claim: Claim) -> None:
        """Put a delivery back at once, because the daemon stops or its job or registry is paused: no try, no crash.

        It is paused where its job is, and queued elsewhere.
        """
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

    async def forget(self, claim: Claim, *, credential: str, repository: str, digests: Collection[Digest]) -> None:
        """Believe no longer that `repository` of the claim's registry holds these blobs."""
        keys = [
            TransferKey(
                registry=claim.registry, repository=repository, digest=digest, credential=credential, uid=claim.uid
            )
            for digest in digests
        ]
        await self._as(claim, lambda transaction: known_blobs.forget(transaction, keys))

    async def validate(self, identity: FileIdentity, digest: Digest, now: datetime) -> None:
        """Remember which digest a file's content was found to have.

        A file changed less than two seconds before `now` is not remembered: it could change again within the
        granularity of its times, and look the same.
        """
        if identity.settled(now):
            await self._writes.send(lambda transaction: validated_files.save(transaction, identity, digest, now))

    async def vouch(self, identity: FileIdentity, digest: Digest) -> None:
        """Remember the digest of a file that nobody but the daemon can change, however fresh it is."""
        now = self._clock()
        await self._writes.send(lambda transaction: validated_files.save(transaction, identity, digest, now))

    async def cancel(self, job_id: str, now: datetime) -> Sequence[int]:
        """End the deliveries of a job that wait; give the ids of those that run and are the caller's to stop.

        Raises:
            RequestError: `request.not_found`.
        """
        return await self._writes.send(lambda transaction: control.cancel(transaction, job_id, now))

    async def pause(self, job_id: str, now: datetime, *, by: int) -> Sequence[int]:
        """Pause a job; give the ids of its deliveries that run and are the caller's to stop. Idempotent.

        Raises:
            RequestError: `request.not_found`; `request.state`, it has ended.
        """
        return await self._writes.send(lambda transaction: control.pause(transaction, job_id, now, by=by))

    async def resume(self, job_id: str, now: datetime, *, by: int) -> None:
        """Let a paused job go on, its deadline later by the time it was paused. Idempotent.

        Raises:
            RequestError: `request.not_found`; `request.state`, it has ended.
        """
        await self._writes.send(lambda transaction: control.resume(transaction, job_id, now, by=by))

    async def retry(self, job_id: str, now: datetime, *, by: int, handed: Sequence[Sealed] = ()) -> int:
        """Queue the deliveries of a job again that failed or were cancelled, as if new; give how many. Idempotent.

        With credentials handed over anew, those that waited for one go on as well, and are counted.

        Raises:
            RequestError: `request.not_found`; `request.state`, its bytes were in the spool and are gone;
                `request.forbidden`, credentials are handed over for a job that is not of the user `by`.
        """
        handed = tuple(handed)
        return await self._writes.send(
            lambda transaction: control.retry(transaction, job_id, now, by=by, handed=handed)
        )

    async def pause_registry(self, registry: str, now: datetime, *, by: int) -> Sequence[int]:
        """Claim nothing more that goes to `host[:port]`; give the ids of the deliveries that run. Idempotent."""
        return await self._writes.send(lambda transaction: registries.pause(transaction, registry, now, by=by))

    async def resume_registry(self, registry: str, now: datetime, *, by: int) -> None:
        """Let a paused registry be served again. Idempotent."""
        await self._writes.send(lambda transaction: registries.resume(transaction, registry, now, by=by))

    async def cancel_registry(self, registry: str, now: datetime) -> tuple[int, Sequence[int]]:
        """End deliveries that wait for `host[:port]`, a bounded number; give how many, and the ids of what runs."""
        return await self._writes.send(lambda transaction: registries.cancel(transaction, registry, now))

    async def expire(self, now: datetime) -> int:
        """Fail deliveries that wait past their job's deadline, and spend credentials past theirs; give how many.

        A bounded number of each. Paused deliveries wait on.
        """
        return await self._writes.send(lambda transaction: expire(transaction, now))

    async def prune(self, now: datetime, retention: Retention) -> Pruned:
        """Take away a bounded number of jobs and events whose time is over, and what only they needed."""
        return await self._writes.send(lambda transaction: prune(transaction, now, retention))

    def _noted(self, answers: Sequence[Answer]) -> Sequence[Answer]:
        """Note whether the database turned out to be damaged: the next life is to look through all of it."""
        errors = (answer.error for answer in answers)
        if any(isinstance(error, StoreError) and error.code is Code.STORE_DAMAGED for error in errors):
            self._sound = False
        return answers

    async def _as(self, claim: Claim, change: Callable[[Transaction], Result]) -> Result:
        """Make a change that only the holder of a claim may make."""

        def fenced(transaction: Transaction) -> Result:
            claims.fence(transaction, claim)
            return change(transaction)

        return await self._writes.send(fenced)

    def _give_back(self, taken: tuple[Sequence[Claim], datetime | None]) -> None:
        given, _ = taken
        now = self._clock()
        with contextlib.suppress(StoreError):  # closed meanwhile: the next life puts them back
            for claim in given:
                self._writes.send(partial(claims.give_back, claim=claim, now=now))
