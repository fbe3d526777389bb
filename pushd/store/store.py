"""The job store: durable truth in one SQLite database, a thread that writes it and one that reads it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from pushd.errors import Code, StoreError
from pushd.store import control, registries, validated_files
from pushd.store.delivering import Delivering
from pushd.store.expiry import expire
from pushd.store.moment import utc_now
from pushd.store.opening import open_database
from pushd.store.pruning import prune
from pushd.store.reading import read
from pushd.store.submission import submit
from pushd.store.worker import Worker
from pushd.store.writing import commit
from pushd.telemetry.events import DELIVERY_REQUEUED

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from pushd.job import Job
    from pushd.oci.digest import Digest
    from pushd.store.answer import Answer
    from pushd.store.opening import Opened
    from pushd.store.transaction import Transaction
    from pushd.telemetry.events import Event
    from pushd.work import FileIdentity, Pruned, Retention, Sealed, Submission


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


class Store(Delivering):
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
        super().__init__(reads, writes, epoch=opened.epoch, clock=clock)
        if opened.told:
            publish(opened.told)

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

    async def cancel_registry(self, registry: str, now: datetime) -> tuple[int, Sequence[int], Sequence[int]]:
        """End deliveries that wait for `host[:port]`, a bounded number.

        Returns:
            How many, none when no more wait; the ids of those that run; and of those that run elsewhere and are the
            caller's to interrupt: their tags were to move with one that was ended, and will not.
        """
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
