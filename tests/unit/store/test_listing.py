"""What jobs are found by, and what that costs."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest

from pushd.job import JobState
from pushd.store import listing
from pushd.store.opening import open_database
from pushd.store.submission import submit
from pushd.store.transaction import Transaction
from pushd.work import JobQuery
from tests.unit.store.samples import NOON, PLENTY, submission

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from pushd.job import Job
    from pushd.store import Store

LABELS: list[dict[str, str]] = [{}, {"team": "web"}, {"team": "web", "stage": "test"}]
STATES: list[tuple[JobState, ...]] = [(), (JobState.CANCELLED,), (JobState.QUEUED, JobState.CANCELLED)]
REGISTRIES = [None, "a.test"]
USERS = [None, 2]
QUERIES = [
    {"labels": labels, "states": states, "registry": registry, "uid": uid}
    for labels, states, registry, uid in itertools.product(LABELS, STATES, REGISTRIES, USERS)
]


async def fill(store: Store) -> list[Job]:
    """Submit jobs of every kind; give them newest first."""
    kinds = itertools.product(LABELS, (("a.test/x:1",), ("b.test/x:1",), ("a.test/x:1", "a.test/y:1")), (1, 2), (0, 1))
    for number, (labels, destinations, uid, ends) in enumerate(kinds):
        one = submission(f"job{number}", *destinations, labels={**labels, "n": str(number)}, uid=uid)
        await store.submit(one, limit=PLENTY)
        if ends:
            await store.cancel(one.job_id, NOON)
    return list(await store.list(JobQuery(limit=1000)))


def fits(job: Job, labels: dict[str, str], states: tuple[JobState, ...], registry: str | None, uid: int | None) -> bool:
    return (
        labels.items() <= job.labels.items()
        and (not states or job.state in states)
        and (registry is None or any(one.destination.startswith(f"{registry}/") for one in job.deliveries))
        and uid in (None, job.uid)
    )


async def test_whatever_is_asked_for_is_found_newest_first_in_pages(store: Store) -> None:
    everything = await fill(store)
    for wanted in QUERIES:
        expected = [job for job in everything if fits(job, **wanted)]  # type: ignore[arg-type] # a table's row
        found: list[Job] = []
        while page := await pages(store, wanted, found):
            assert len(page) <= 4
            found.extend(page)
        assert found == expected, wanted
    assert {job.state for job in everything} == {JobState.QUEUED, JobState.CANCELLED}


async def pages(store: Store, wanted: dict[str, Any], found: list[Job]) -> list[Job]:
    return list(await store.list(JobQuery(**wanted, limit=4, after=found[-1].id if found else None)))


async def test_a_label_is_one_of_the_submitters_words_and_no_pattern(store: Store) -> None:
    await store.submit(submission("job1", labels={"build": "4711", "a%": "b'c"}), limit=PLENTY)
    assert await store.list(JobQuery(labels={"build": "4712"})) == ()
    assert await store.list(JobQuery(labels={"build": "47%"})) == ()
    assert len(await store.list(JobQuery(labels={"a%": "b'c"}))) == 1


# ------------------------------------------------------------------------------------------------- what it costs


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = open_database(tmp_path, NOON)
    yield opened.writer
    opened.close()


@pytest.mark.parametrize("paged", [False, True], ids=["first page", "next page"])
@pytest.mark.parametrize("wanted", QUERIES, ids=str)
def test_an_index_leads_to_every_page_and_gives_it_in_order(
    connection: sqlite3.Connection, wanted: dict[str, Any], paged: bool
) -> None:
    query = JobQuery(**wanted)
    for sql, values in listing.statements(query, before=9 if paged else None):
        steps = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", tuple(values))]
        assert not any("TEMP B-TREE" in step for step in steps), steps
        scans = [step for step in steps if step.startswith("SCAN") and not step.startswith("SCAN json_each")]
        everything = not (query.labels or query.states or query.registry or query.uid)
        assert scans == (["SCAN jobs"] if everything and not paged else []), steps
        leading = steps[0]
        if query.labels:
            assert re.match(r"SEARCH leading USING (PRIMARY KEY|INDEX \S+) \(key=\? AND value=\?", leading), leading
        elif query.registry:
            assert "SEARCH leading USING COVERING INDEX deliveries_by_registry (registry=?" in leading
        elif query.states:
            assert re.search(r"jobs_by_(uid_and_)?state", leading), leading


def steps_of(connection: sqlite3.Connection, query: JobQuery) -> int:
    """Count what SQLite's machine does for a page, in its own instructions."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 1)
    assert len(listing.numbers(connection, query, before=None)) == query.limit
    connection.set_progress_handler(None, 1)
    return steps


@pytest.mark.parametrize("wanted", [query for query in QUERIES if JobState.CANCELLED not in query["states"]], ids=str)  # type: ignore[operator] # a table's row
def test_a_page_costs_the_same_however_many_wait(connection: sqlite3.Connection, wanted: dict[str, Any]) -> None:
    def fill(prefix: str, count: int) -> None:
        connection.execute("BEGIN")
        for number in range(count):
            one = submission(f"{prefix}{number}", "a.test/x:1", labels=LABELS[-1], uid=2)
            submit(Transaction(connection), one, limit=PLENTY)
        connection.execute("COMMIT")

    query = JobQuery(**{**wanted, "limit": 5})
    fill("few", 20)
    before = steps_of(connection, query)
    fill("many", 200)
    assert steps_of(connection, query) == before
