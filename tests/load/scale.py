"""A store with a long history, or a long queue, beside one with a short one: what a job costs, and each question."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Self

from pushd.job import DeliveryState, JobSpec, TransferState
from pushd.oci.upload import Checkpoint, Form
from pushd.store import claims, deliveries, open_store, submission, tags, transfers, validated_files
from pushd.store.opening import open_database
from pushd.store.transaction import Transaction
from pushd.work import FileIdentity, JobQuery, Outcome, Retention, Submission, TransferKey, TransferResult
from tests.unit.store.samples import image

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from pushd.oci.image import Image
    from pushd.store import Store
    from pushd.work import Claim

FOR_EVER = Retention(job_age=1e9, job_count=1 << 40, event_age=1e9, event_count=1 << 40)
"""Nothing is past its time: what a round costs that finds nothing to do."""

PAUSED = "paused.test"
"""The registry the queue waits for."""

_LAYERS = 4
"""With the config, five blobs a job."""
_BATCH = 500
"""Jobs in one transaction while a store is filled."""
_PLENTY = 1 << 30
_QUESTIONS = 20
"""How often each question is asked in one go."""
_USERS = 5
_REGISTRIES = 20
_TEAMS = 100
_DAYS = 5.0
"""Before now, over which the jobs of the history are spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing that was measured in both stores, in milliseconds: medians, and the ratio pair by pair."""

    name: str
    short: float
    long: float
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What the other store holds.

    Attributes:
        finished: jobs that ended.
        queued: jobs that wait for a paused registry; as many again wait for a later time.
    """

    finished: int = 0
    queued: int = 0


def fill(state_dir: Path, filling: Filling) -> None:
    """Fill a state directory's database through the store's own functions, as real jobs leave it."""
    now = datetime.now(UTC)
    with closing(open_database(state_dir, now)) as opened:
        connection = opened.writer
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA wal_autocheckpoint = 100000")
        step = timedelta(days=_DAYS) / max(1, filling.finished)
        _in_batches(
            connection,
            filling.finished,
            lambda transaction, number: _live(
                transaction, number, opened.epoch, now - timedelta(days=_DAYS) + number * step
            ),
        )
        with _Once(connection) as transaction:
            transaction.execute(
                "INSERT INTO paused_registries (registry, paused_at, uid) VALUES (?, ?, 0)", (PAUSED, now.timestamp())
            )
        _in_batches(connection, filling.queued, lambda transaction, number: _wait(transaction, number, now))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class _Once:
    """A transaction of its own for what is done within."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> Transaction:
        self._connection.execute("BEGIN IMMEDIATE")
        return Transaction(self._connection)

    def __exit__(self, *_: object) -> None:
        self._connection.execute("COMMIT")


def _in_batches(connection: sqlite3.Connection, jobs: int, one: Callable[[Transaction, int], None]) -> None:
    for start in range(0, jobs, _BATCH):
        with _Once(connection) as transaction:
            for number in range(start, min(start + _BATCH, jobs)):
                one(transaction, number)


def _submission(number: int, registry: str, of: Image, at: datetime, *, later: bool = False) -> Submission:
    destination = f"{registry}/team{number % _TEAMS}/app:{number}"
    return Submission(
        job_id=f"j{number:011d}",
        spec=JobSpec(
            source="oci:/srv/app:1.4",
            destinations=(destination,),
            labels={"build": str(number), "branch": "main"},
            not_before=at + timedelta(days=1) if later else None,
        ),
        registries=(registry,),
        image=of,
        uid=1000 + number % _USERS,
        created_at=at,
        deadline_at=at + timedelta(days=30),
        idempotency_key=f"key-{number}",
        fingerprint=b"body",
    )


def _live(transaction: Transaction, number: int, epoch: int, at: datetime) -> None:
    """Write a whole life of a job: submitted, claimed, planned, brought, finished."""
    of = image(f"build {number}", layers=_LAYERS)
    submission.submit(transaction, _submission(number, f"r{number % _REGISTRIES}.test", of, at), limit=_PLENTY)
    (claim,), _ = claims.claim_all(transaction, epoch, at, free={}, default=1, most=1)
    repository = f"team{number % _TEAMS}/app"
    transfers.plan(
        transaction, claim, credential="anonymous", repository=repository, blobs=of.blobs, manifests=1, now=at
    )
    for position, blob in enumerate(of.blobs):
        key = _key(claim, repository, of, position)
        transfers.checkpoint(transaction, claim, key, Checkpoint("/upload", 0, 0, Form.CHUNKED), at)
        transfers.land(transaction, claim, [(blob, _UPLOADED)], at)
        validated_files.save(transaction, _identity(number * 8 + position), blob.digest, at)
    tags.announce(transaction, claim)
    outcome = Outcome(state=DeliveryState.SUCCEEDED, digest=of.root.descriptor.digest)
    deliveries.end(transaction, claim.delivery_id, outcome, at + timedelta(seconds=1))


def _wait(transaction: Transaction, number: int, at: datetime) -> None:
    """Write two jobs that wait: one for a paused registry, one for later."""
    for which in range(2):
        later = which == 1
        name = (1 << 20) + 2 * number + which
        registry = f"r{number % _REGISTRIES}.test" if later else PAUSED
        submission.submit(
            transaction, _submission(name, registry, image(f"queued {number}"), at, later=later), limit=_PLENTY
        )


_UPLOADED = TransferResult(state=TransferState.UPLOADED, sent=1000, form="monolithic", seconds=0.01)


def _key(claim: Claim, repository: str, of: Image, position: int) -> TransferKey:
    return TransferKey(
        registry=claim.registry,
        repository=repository,
        digest=of.blobs[position].digest,
        credential="anonymous",
        uid=claim.uid,
    )


def _identity(inode: int) -> FileIdentity:
    return FileIdentity(device=1, inode=inode, size=1000, mtime_ns=1, ctime_ns=1, offset=0, length=1000)


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds: by the wall, and of CPU in all threads of this process."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Action:
    """Something that is measured: its name, the doing, how many times it happens in one go, and how many goes."""

    name: str
    do: Callable[[Store, Iterator[int]], Awaitable[object]]
    times: int = 1
    repeated: int = 1


async def compare(short: Path, long: Path, *, jobs: int, rounds: int) -> list[Figure]:
    """Measure two stores in turn, the same in each: `rounds` times `jobs` jobs, and what is asked of them."""
    figures = await _opening((short, long), rounds)
    stores = [await open_store(path, publish=lambda _: None) for path in (short, long)]
    numbers = count(time.time_ns() // 1000)  # for ids that nobody had before
    try:
        for action in _actions(jobs):
            costs: tuple[list[Cost], list[Cost]] = ([], [])
            for _ in range(rounds):
                for store, found in zip(stores, costs, strict=True):
                    found.append(await _measured(action, store, numbers))
            figures += _figures(action.name, costs)
        return figures
    finally:
        for store in stores:
            await store.close()


async def _opening(paths: tuple[Path, Path], rounds: int) -> list[Figure]:
    """Measure what a start waits for, after a good end and after a crash, which leaves no word that all is sound."""
    figures = []
    for name, crashed in (("the store opened after a good end", False), ("the store opened after a crash", True)):
        costs: tuple[list[Cost], list[Cost]] = ([], [])
        for _ in range(rounds):
            for path, found in zip(paths, costs, strict=True):
                if crashed:
                    (path / "pushd.db-sound").unlink()
                with _Watch() as watch:
                    store = await open_store(path, publish=lambda _: None)
                found.append(watch.cost(1))
                await store.close()
        figures += _figures(name, costs)
    return figures


async def _measured(action: Action, store: Store, numbers: Iterator[int]) -> Cost:
    """Do it once, or a question several times for the median: the first after a write reads the file again."""
    costs = []
    for _ in range(action.repeated):
        with _Watch() as watch:
            await action.do(store, numbers)
        costs.append(watch.cost(action.times))
    return Cost(wall=statistics.median(cost.wall for cost in costs), cpu=statistics.median(cost.cpu for cost in costs))


class _Watch:
    """Takes the time of what is done within."""

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self._wall, self._cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu

    def cost(self, times: int) -> Cost:
        return Cost(wall=self._wall * 1e3 / times, cpu=self._cpu * 1e3 / times)


def _figures(name: str, costs: tuple[list[Cost], list[Cost]]) -> list[Figure]:
    figures = []
    for kind in ("wall", "cpu"):
        short, long = ([getattr(cost, kind) for cost in found] for found in costs)
        ratios = [other / one for one, other in zip(short, long, strict=True)]
        figures.append(
            Figure(
                name=f"{name}, {kind}",
                short=statistics.median(short),
                long=statistics.median(long),
                ratio=statistics.median(ratios),
            )
        )
    return figures


def _actions(jobs: int) -> Iterator[Action]:
    now = datetime.now(UTC)
    yield Action("a job, from submission to its end", partial(_push_all, jobs=jobs, at_once=1), times=jobs)
    yield Action("the same, 16 at a time", partial(_push_all, jobs=jobs, at_once=16), times=jobs)
    questions: dict[str, Callable[[Store], Awaitable[object]]] = {
        "GET /v1/jobs, 100 of them": lambda store: store.list(JobQuery()),
        "GET /v1/jobs of a user": lambda store: store.list(JobQuery(uid=1003)),
        "GET /v1/jobs by a label": lambda store: store.list(JobQuery(labels={"branch": "main"})),
        "GET /v1/jobs of a registry": lambda store: store.list(JobQuery(registry="r3.test")),
        "GET /v1/jobs of a registry and a user": lambda store: store.list(JobQuery(registry="r3.test", uid=1003)),
        "GET /v1/status, the queue": lambda store: store.queue(),
        "GET /v1/status, a user's queue": lambda store: store.queue(1003),
        "GET /v1/status, the oldest": lambda store: store.oldest(),
        "GET /v1/metrics, the backlog": lambda store: store.backlog(),
        "a look for a claim in vain": lambda store: store.claim_all(now, free={}, default=0, most=1),
        "a look for deadlines": lambda store: store.expire(now),
        "the next deadline": lambda store: store.deadline(),
        "a round of pruning in vain": lambda store: store.prune(now, FOR_EVER),
        "what waits for too long": lambda store: store.late(now - timedelta(days=10)),
        "what the spool must keep": lambda store: store.spooled(),
        "the newest events": _newest_events,
    }
    for name, question in questions.items():
        yield Action(name, partial(_ask, question), repeated=_QUESTIONS)


async def _ask(question: Callable[[Store], Awaitable[object]], store: Store, _: Iterator[int]) -> None:
    await question(store)


async def _push_all(store: Store, numbers: Iterator[int], *, jobs: int, at_once: int) -> None:
    mine = iter(range(jobs))

    async def some() -> None:
        for _ in mine:
            await _push(store, next(numbers))

    async with asyncio.TaskGroup() as pushing:
        for _ in range(at_once):
            pushing.create_task(some())


async def _newest_events(store: Store) -> object:
    _, newest = await store.told()
    return await store.events(max(0, newest - 50), limit=50)


async def _push(store: Store, number: int) -> None:
    """Push one job of five blobs, as the engine asks the store: what it does besides is not measured here."""
    at = datetime.now(UTC)
    of = image(f"measured {number}", layers=_LAYERS)
    await store.submit(_submission(number, f"m{number % 4}.test", of, at), limit=_PLENTY)
    (claim,), _ = await store.claim_all(at, free={}, default=_PLENTY, most=1)
    repository, image_of = "team/app", await store.image(claim.job_id)
    blobs = image_of.blobs
    await store.plan(claim, credential="anonymous", repository=repository, blobs=blobs, manifests=1)
    for position, blob in enumerate(blobs):
        key = _key(claim, repository, image_of, position)
        await store.recall(key)
        await store.mount_candidate(key)
        await store.validated(_identity(number * 8 + position))
        await store.checkpoint(claim, key, Checkpoint("/upload", 0, 0, Form.CHUNKED))
        await store.validate(_identity(number * 8 + position), blob.digest, at)
        await store.land(claim, (blob, _UPLOADED))
    await store.tagging(claim)
    await store.finish(
        claim, Outcome(state=DeliveryState.SUCCEEDED, digest=image_of.root.descriptor.digest), datetime.now(UTC)
    )
