"""The database of an earlier release, with work in it, opened by this one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RequestError
from pushd.job import AUTO, Compress, DeliveryState, JobState, Tags, Transfer, TransferState, Try
from pushd.oci.upload import Checkpoint, Form
from pushd.store import open_store, schema
from pushd.store.opening import _prepare, open_database
from pushd.work import JobQuery, Retention, TransferKey
from tests.unit.store.samples import (
    LAYER,
    NOON,
    PLENTY,
    SUPERSEDED,
    after,
    blob,
    claimed,
    image,
    next_claim,
    sealed,
    submission,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pushd.store import Store

DESTINATIONS = {
    1: ("running", "a.test/app:1"),
    2: ("held", "b.test/app:1"),
    3: ("succeeded", "c.test/app:1"),
    4: ("failed", "d.test/app:1"),
    5: ("queued", "e.test/app:1"),
    6: ("running", "f.test/app:1"),
}
REACHED = 500
TOLD = [
    *[(2, "delivery.held", attempt, "registry.throttled", f"wait {attempt}") for attempt in range(1, 24)],
    (4, "delivery.held", 1, "registry.throttled", "wait"),
    (4, "delivery.failed", 2, "registry.denied", "no right"),
    (5, "delivery.started", 1, None, None),
]


def insert(connection: sqlite3.Connection, table: str, **columns: object) -> None:
    names = ", ".join(f'"{name}"' for name in columns)
    marks = ", ".join("?" * len(columns))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values()))


def version_1(connection: sqlite3.Connection) -> None:
    """Make a database as version 1 left it: a job in every state of a delivery, and one that is gone."""
    schema.migrate(connection, schema.migrations()[:1])
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("UPDATE meta SET epoch = 7")
    root = image().root
    for number in (1, 9):  # the ninth is pruned below: its number must never be given again
        insert(
            connection, "jobs", number=number, id=f"job{number}", uid=1000, source="oci:/srv/app:1.4", priority=3,
            labels='{"build":"4711"}', state="running", digest=str(root.descriptor.digest),
            media_type=root.descriptor.media_type, size=image().size, created_at=NOON.timestamp(),
            deadline_at=after(86400).timestamp(),
        )  # fmt: skip
        insert(connection, "idempotency_keys", uid=1000, key=f"key{number}", fingerprint=b"body", job=number)
    insert(connection, "manifests", digest=str(root.descriptor.digest), content=root.content)
    insert(
        connection, "documents", job=1, position=0, digest=str(root.descriptor.digest),
        media_type=root.descriptor.media_type,
    )  # fmt: skip
    for number, (state, destination) in {**DESTINATIONS, 90: ("failed", "z.test/app:1")}.items():
        insert(
            connection, "deliveries", id=number, job=9 if number == 90 else 1, position=number, destination=destination,
            registry=destination.partition("/")[0], priority=3, state=state, attempt=2, epoch=7, sent=40,
            not_before=after(60).timestamp() if state == "held" else None, started_at=NOON.timestamp(),
            digest=str(root.descriptor.digest) if state == "succeeded" else None,
        )  # fmt: skip
    insert(
        connection, "transfers", id=1, registry="a.test", repository="app", digest=str(blob("a").digest),
        credential="anonymous", uid=1000,
    )  # fmt: skip
    insert(connection, "waiters", delivery=1, position=0, transfer=1, media_type=LAYER, size=1000, state="pending")
    insert(
        connection, "upload_sessions", transfer=1, location="https://a.test/upload", offset=REACHED, chunk_size=100,
        form="chunked", epoch=7, updated_at=NOON.timestamp(),
    )  # fmt: skip
    for delivery, name, attempt, code, reason in TOLD:
        fields = f'{{"attempt":{attempt},"code":"{code}","reason":"{reason}"}}' if code else f'{{"attempt":{attempt}}}'
        insert(connection, "events", at=NOON.timestamp(), name=name, job="job1", delivery=delivery, fields=fields)
    insert(connection, "events", at=NOON.timestamp(), name="delivery.failed", job="job9", delivery=90, fields="{}")
    connection.execute("DELETE FROM jobs WHERE number = 9")


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "pushd.db", isolation_level=None)) as connection:
        version_1(connection)
    return tmp_path


@pytest.fixture
async def store(state_dir: Path) -> Store:
    return await open_store(state_dir, publish=lambda _: None, clock=lambda: NOON)


def rows(connection: sqlite3.Connection, query: str) -> Sequence[Mapping[str, object]]:
    connection.row_factory = sqlite3.Row
    return [dict(row) for row in connection.execute(query).fetchall()]


def test_no_row_and_no_value_of_version_1_is_lost() -> None:
    tables = (
        "meta", "jobs", "deliveries", "manifests", "documents", "transfers", "waiters", "upload_sessions",
        "known_blobs", "events", "idempotency_keys",
    )  # fmt: skip
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        version_1(connection)
        connection.execute("PRAGMA foreign_keys = OFF")
        before = {table: rows(connection, f"SELECT * FROM {table}") for table in tables}
        schema.migrate(connection, schema.migrations())
        for table in tables:
            columns = ", ".join(f'"{name}"' for name in before[table][0]) if before[table] else "*"
            assert rows(connection, f"SELECT {columns} FROM {table}") == before[table], table
        assert rows(connection, "PRAGMA foreign_key_check") == []
        assert rows(connection, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_what_refers_to_a_table_built_again_refers_to_the_new_one() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        version_1(connection)
        connection.execute("PRAGMA foreign_keys = OFF")
        schema.migrate(connection, schema.migrations())
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM jobs")
        for table in ("deliveries", "documents", "waiters", "history", "idempotency_keys"):
            assert rows(connection, f"SELECT * FROM {table}") == [], table


def test_a_table_built_again_takes_nothing_with_it_where_references_are_held_by_default(state_dir: Path) -> None:
    path = state_dir / "pushd.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")  # as some builds of SQLite begin
        _prepare(connection, path)
        assert len(rows(connection, "SELECT * FROM deliveries")) == len(DESTINATIONS)
        assert len(rows(connection, "SELECT * FROM waiters")) == 1


async def test_jobs_read_as_before(store: Store) -> None:
    job = await store.get("job1")
    assert job is not None
    assert (job.state, job.labels, job.created_at) == (JobState.RUNNING, {"build": "4711"}, NOON)
    assert job.referrers is None
    assert (job.digest, job.compress) == (str(image().root.descriptor.digest), Compress.NONE)
    assert (job.tags, job.ready_at, {one.ready for one in job.deliveries}) == (Tags.EACH, None, {False})
    assert [delivery.destination for delivery in job.deliveries] == [name for _, name in DESTINATIONS.values()]
    assert job.deliveries[0].transfers == (
        Transfer(digest=str(blob("a").digest), media_type=LAYER, size=1000, state=TransferState.PENDING, done=REACHED),
    )
    assert (job.deliveries[1].state, job.deliveries[1].not_before) == (DeliveryState.HELD, after(60))
    assert await store.image("job1") == image()
    assert (await store.submit(submission("job2", idempotency_key="key1"), limit=PLENTY)).id == "job1"
    key = TransferKey(registry="a.test", repository="app", digest=blob("a").digest, credential="anonymous", uid=1000)
    assert await store.recall(key) == Checkpoint("https://a.test/upload", REACHED, 100, Form.CHUNKED)
    await store.close()


async def test_what_the_events_told_becomes_the_history(store: Store) -> None:
    job = await store.get("job1")
    assert job is not None
    running, held, succeeded, failed, queued, _ = (delivery.history for delivery in job.deliveries)
    assert (running, succeeded, queued) == ((), (), ())
    assert held == tuple(
        Try(at=NOON, attempt=attempt, code="registry.throttled", message=f"wait {attempt}") for attempt in range(4, 24)
    )
    assert failed == (
        Try(at=NOON, attempt=1, code="registry.throttled", message="wait"),
        Try(at=NOON, attempt=2, code="registry.denied", message="no right"),
    )
    await store.close()


async def test_tries_are_counted_on_from_the_holds_there_were(store: Store) -> None:
    claims = [await next_claim(store, after(60), default=9) for _ in range(4)]
    tries = {claim.delivery_id: (claim.attempt, claim.tries) for claim in claims if claim is not None}
    assert tries == {1: (3, 1), 2: (3, 24), 5: (3, 1), 6: (3, 1)}
    await store.close()


async def test_the_stop_before_the_upgrade_counts_as_no_crash(store: Store, state_dir: Path) -> None:
    for _ in range(2):
        claim = await next_claim(store, NOON, free={"f.test": 1}, default=0)
        assert claim is not None
        assert claim.delivery_id == 6
        await store.close()
        store = await open_store(state_dir, publish=lambda _: None)
    job = await store.get("job1")
    assert job is not None
    assert job.deliveries[5].state is DeliveryState.QUEUED
    await store.close()


async def test_no_number_is_given_again(store: Store) -> None:
    job = await store.submit(submission("job10"), limit=PLENTY)
    assert job.deliveries[0].id == 91
    (row,) = await store._reads.send(
        lambda connection: connection.execute("SELECT number FROM jobs WHERE id = 'job10'").fetchall()
    )
    assert row["number"] == 10
    await store.close()


def test_no_number_is_given_again_where_all_rows_are_gone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "pushd.db", isolation_level=None)) as connection:
        version_1(connection)
        connection.execute("DELETE FROM jobs")
    opened = open_database(tmp_path, NOON)
    numbers = dict(opened.writer.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    opened.close()
    assert (numbers["jobs"], numbers["deliveries"]) == (9, 90)
    assert not any(name.startswith("new_") for name in numbers)


async def test_what_version_1_had_no_word_for_can_be_written(store: Store) -> None:
    claim = await claimed(store)
    await store.finish(claim, SUPERSEDED, NOON)
    job = await store.get("job1")
    assert job is not None
    assert job.deliveries[0].state is DeliveryState.SUPERSEDED
    await store.close()


# --------------------------------------------------------------------------------------------------- version 2


def version_2(connection: sqlite3.Connection) -> None:
    """Make a database as version 2 left it: what came from version 1, a job that ended, and one of another user."""
    version_1(connection)
    connection.execute("PRAGMA foreign_keys = OFF")
    schema.migrate(connection, schema.migrations()[:2])
    connection.execute("PRAGMA foreign_keys = ON")
    for number, state, uid, finished_at in ((10, "superseded", 1000, after(5).timestamp()), (11, "held", 7, None)):
        insert(
            connection, "jobs", number=number, id=f"job{number}", uid=uid, source="oci:/srv/app:1.4", priority=0,
            labels='{"build":"4711","team":"w\\"eb"}', state=state, digest="sha256:0", media_type="m", size=1,
            created_at=NOON.timestamp(), deadline_at=after(100).timestamp(), finished_at=finished_at, verify="blobs",
        )  # fmt: skip
        insert(
            connection, "deliveries", id=number * 10, job=number, position=0, destination="a.test/app:1",
            registry="a.test", priority=0, state=state, attempt=3, holds=2, crashes=1, progressed=1, epoch=7,
            not_before=after(60).timestamp() if state == "held" else None, finished_at=finished_at,
            failure_code="registry.throttled" if state == "held" else None,
            failure_message="wait" if state == "held" else None, failure_retryable=1 if state == "held" else None,
        )  # fmt: skip
        insert(connection, "events", at=NOON.timestamp(), name="job.submitted", job=f"job{number}", fields="{}")
    insert(connection, "tags", destination="a.test/app:1", delivery=100)
    insert(
        connection, "validated_files", device="1", inode="2", offset=0, length=3, size=3, mtime_ns=4, ctime_ns=5,
        digest=str(blob("a").digest), validated_at=NOON.timestamp(),
    )  # fmt: skip


@pytest.fixture
async def second(tmp_path: Path) -> Store:
    with closing(sqlite3.connect(tmp_path / "pushd.db", isolation_level=None)) as connection:
        version_2(connection)
    return await open_store(tmp_path, publish=lambda _: None, clock=lambda: NOON)


def nothing_is_lost(connection: sqlite3.Connection) -> None:
    """Migrate, and find every row and every value of before."""
    connection.execute("PRAGMA foreign_keys = OFF")
    tables = [
        str(row["name"])
        for row in rows(connection, "SELECT name FROM sqlite_schema WHERE type = 'table'")
        if row["name"] != "sqlite_sequence"
    ]
    before = {table: rows(connection, f"SELECT * FROM {table}") for table in tables}
    numbers = rows(connection, "SELECT * FROM sqlite_sequence ORDER BY name")
    schema.migrate(connection, schema.migrations())
    for table in tables:
        columns = ", ".join(f'"{name}"' for name in before[table][0]) if before[table] else "*"
        assert rows(connection, f"SELECT {columns} FROM {table}") == before[table], table
    assert rows(connection, "SELECT * FROM sqlite_sequence ORDER BY name") == numbers
    assert rows(connection, "PRAGMA foreign_key_check") == []
    assert rows(connection, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_no_row_and_no_value_of_version_2_is_lost() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        version_2(connection)
        nothing_is_lost(connection)


async def test_jobs_of_version_2_are_found_by_what_they_were_never_searched_by(second: Store) -> None:
    labelled = await second.list(JobQuery(labels={"build": "4711", "team": 'w"eb'}))
    assert [job.id for job in labelled] == ["job11", "job10"]
    assert [job.id for job in await second.list(JobQuery(labels={"build": "4711"}, uid=7))] == ["job11"]
    assert [job.id for job in await second.list(JobQuery(registry="a.test"))] == ["job11", "job10", "job1"]
    assert set(await second.queue(7)) == {"a.test"}
    assert (await second.oldest(7), await second.oldest(8)) == (NOON, None)
    await second.close()


async def test_the_limit_counts_what_version_2_left_unfinished(second: Store) -> None:
    with pytest.raises(RequestError) as refused:
        await second.submit(submission("job12", uid=1000), limit=1)
    assert refused.value.code is Code.REQUEST_LIMIT
    await second.submit(submission("job12", uid=1000), limit=2)
    await second.cancel("job11", NOON)
    await second.submit(submission("job13", uid=7), limit=1)
    await second.close()


async def test_events_of_version_2_are_told_to_those_whose_jobs_they_are_about(second: Store) -> None:
    assert {event.job for event in await second.events(0, uid=7)} == {"job11"}
    assert {event.job for event in await second.events(0, uid=1000)} == {"job1", "job10"}
    assert None in {event.uid for event in await second.events(0)}  # of the job that is gone nobody knows whose it was
    await second.close()


async def test_what_version_2_left_waiting_has_its_deadline_and_the_same_time_again(second: Store) -> None:
    assert await second.expire(after(100)) == 1
    job = await second.get("job11")
    assert job is not None
    assert (job.state, job.deliveries[0].attempt) == (JobState.FAILED, 3)
    assert await second.retry("job11", after(500), by=7) == 1
    job = await second.get("job11")
    assert job is not None
    assert (job.state, job.deadline_at) == (JobState.QUEUED, after(600))
    await second.close()


async def test_a_registry_version_2_reached_is_still_met(second: Store) -> None:
    assert await second.met("a.test")
    assert not await second.met("b.test")
    await second.close()


# --------------------------------------------------------------------------------------------------- version 3


def version_3(connection: sqlite3.Connection) -> None:
    """Make a database as version 3 left it: what came from version 2."""
    version_2(connection)
    connection.execute("PRAGMA foreign_keys = OFF")
    schema.migrate(connection, schema.migrations()[:3])
    connection.execute("PRAGMA foreign_keys = ON")


@pytest.fixture
async def third(tmp_path: Path) -> Store:
    with closing(sqlite3.connect(tmp_path / "pushd.db", isolation_level=None)) as connection:
        version_3(connection)
    return await open_store(tmp_path, publish=lambda _: None, clock=lambda: NOON)


def test_no_row_and_no_value_of_version_3_is_lost() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        version_3(connection)
        nothing_is_lost(connection)


async def test_a_job_of_version_3_has_no_credential_of_its_own_and_chose_none(third: Store) -> None:
    claim = await next_claim(third, NOON, free={"f.test": 1}, default=0)
    assert claim is not None
    assert (claim.credential, claim.handed_at) == (AUTO, None)
    assert (await third.handed(claim.job_id), await third.logins(claim.uid)) == ((), ())
    await third.close()


async def test_a_job_of_version_3_can_be_given_one(third: Store) -> None:
    assert await third.retry("job11", NOON, by=7, handed=[sealed("a.test")]) == 0
    (one,) = await third.handed("job11")
    assert (one.scope, one.secret, one.number) == ("a.test", b"sealed", 1)
    await third.close()


async def test_what_waited_before_is_counted_as_before(store: Store) -> None:
    before = await store.queue()
    assert {name: {state: number for state, number in states.items() if number} for name, states in before.items()} == {
        "a.test": {"queued": 1},
        "b.test": {"held": 1},
        "e.test": {"queued": 1},
        "f.test": {"queued": 1},
    }
    since = {name: backlog.since for name, backlog in (await store.backlog()).items() if backlog.since}
    assert since == dict.fromkeys(("a.test", "e.test", "f.test"), NOON)
    await store.close()


async def test_what_ended_before_is_counted_when_there_is_too_much(second: Store) -> None:
    jobs = await second.list(JobQuery())
    ended = sum(job.state.terminal for job in jobs)
    assert ended
    pruned = await second.prune(NOON, Retention(job_age=1e9, job_count=0, event_age=1e9, event_count=10**9))
    assert pruned.jobs == ended
    await second.close()


def test_a_released_migration_is_never_changed() -> None:
    released = schema.migrations()[:3]
    assert [sha256(step.encode()).hexdigest() for step in released] == [
        "b05b195044023426761a269e41f4effd39751050a82ecad9da4f041539e56fa7",
        "7c89c9135cc7bf03b8211158e74bb3c37f7a1832111681b3ef885ed9572e9227",
        "302d58e4a5029a5c5f74567694d2792cba5de6862b870b8b4a548af768aa77b2",
    ]
