from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushd.store import journal, schema
from pushd.telemetry.events import DELIVERY_PLANNED, DELIVERY_REQUEUED, Event, Level
from tests.unit.store.samples import NOON, after

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushd.telemetry.events import Value


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        opened.row_factory = sqlite3.Row
        schema.migrate(opened, schema.migrations())
        yield opened


def event(job: str | None, seconds: float = 0.0) -> Event:
    fields: dict[str, Value] = {"destination": "registry.test/app:1", "blobs": 3, "size": 1 << 40, "manifests": 1}
    return Event(DELIVERY_PLANNED, after(seconds), job, 7, fields)


def test_an_event_comes_back_as_it_was_told_with_its_number(connection: sqlite3.Connection) -> None:
    told = journal.record(connection, event("a"))
    assert told.seq == 1
    assert journal.events(connection, 0, job_id=None, uid=None, limit=10) == (told,)


def test_events_come_in_order_after_a_number_and_no_more_than_asked(connection: sqlite3.Connection) -> None:
    told = [journal.record(connection, event("a", n)) for n in range(5)]
    assert journal.events(connection, 2, job_id=None, uid=None, limit=2) == tuple(told[2:4])
    assert journal.events(connection, 5, job_id=None, uid=None, limit=2) == ()


def test_one_jobs_events_are_its_own(connection: sqlite3.Connection) -> None:
    for job in ("a", "b", "a"):
        journal.record(connection, event(job))
    assert [told.seq for told in journal.events(connection, 0, job_id="a", uid=None, limit=10)] == [1, 3]
    assert [told.seq for told in journal.events(connection, 1, job_id="a", uid=None, limit=10)] == [3]


def test_one_users_events_are_those_of_their_jobs(connection: sqlite3.Connection) -> None:
    for job, uid in (("a", 1), ("b", 2), (None, None), ("a", 1)):
        journal.record(connection, replace(event(job), uid=uid))
    assert numbers(connection, uid=1) == [1, 4]
    assert numbers(connection, uid=3) == []
    assert numbers(connection, uid=None) == [1, 2, 3, 4]
    assert numbers(connection, uid=1, job_id="a") == [1, 4]
    assert numbers(connection, uid=2, job_id="a") == []
    assert [told.uid for told in journal.events(connection, 0, job_id=None, uid=None, limit=9)] == [1, 2, None, 1]


def numbers(connection: sqlite3.Connection, *, uid: int | None, job_id: str | None = None) -> list[int | None]:
    return [told.seq for told in journal.events(connection, 0, job_id=job_id, uid=uid, limit=9)]


@pytest.mark.parametrize("query", [journal._OF_JOB, journal._OF_USER, journal._OF_ALL])
def test_events_are_searched_for_and_come_in_order_by_themselves(connection: sqlite3.Connection, query: str) -> None:
    wanted = {"job": "a", "uid": 1, "after": 0, "limit": 9}
    (step,) = connection.execute(f"EXPLAIN QUERY PLAN {query}", wanted).fetchall()
    assert step["detail"].startswith("SEARCH events")


def test_what_is_left_is_told_by_its_oldest_and_the_newest_there_ever_was(connection: sqlite3.Connection) -> None:
    assert journal.told(connection) == (1, 0)
    for _ in range(3):
        journal.record(connection, event("a"))
    connection.execute("DELETE FROM events WHERE seq = 1")
    assert journal.told(connection) == (2, 3)
    connection.execute("DELETE FROM events")
    assert journal.told(connection) == (4, 3)


def test_a_number_is_never_given_twice(connection: sqlite3.Connection) -> None:
    assert journal.told(connection) == (1, 0)
    journal.record(connection, event("a"))
    journal.record(connection, event("a"))
    connection.execute("DELETE FROM events")
    assert journal.told(connection) == (3, 2)
    assert journal.record(connection, event("a")).seq == 3


def test_what_a_newer_release_told_is_still_read(connection: sqlite3.Connection) -> None:
    journal.record(connection, event("a"))
    connection.execute("""UPDATE events SET name = 'blob.teleported', fields = '{"distance": 1.5}'""")
    (told,) = journal.events(connection, 0, job_id=None, uid=None, limit=10)
    assert told.kind.name == "blob.teleported"
    assert told.kind.level is Level.INFO
    assert told.message == "blob.teleported"
    assert told.fields == {"distance": 1.5}


def test_a_field_a_newer_release_added_is_still_read(connection: sqlite3.Connection) -> None:
    journal.record(connection, Event(DELIVERY_REQUEUED, NOON, "a", 1, {"destination": "r/a:1", "attempt": 2}))
    connection.execute("""UPDATE events SET fields = '{"destination": "r/a:1", "attempt": 2, "mood": "calm"}'""")
    (told,) = journal.events(connection, 0, job_id=None, uid=None, limit=10)
    assert told.fields["mood"] == "calm"
    assert told.message == DELIVERY_REQUEUED.message.format(destination="r/a:1")
