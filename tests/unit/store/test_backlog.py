"""What has not ended, by registry: what an operator's alert on an old queue is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.store.backlog import backlog
from pushd.telemetry.standing import Backlog
from tests.unit.store.samples import NEEDY, NOON, PLENTY, THROTTLED, after, submission, succeeded

if TYPE_CHECKING:
    import sqlite3

    from pushd.store import Store
    from pushd.work import Claim

REGISTRY = "registry.test"
NONE = {"queued": 0, "running": 0, "held": 0, "paused": 0}


async def claimed(store: Store, at: float = 0.0) -> Claim:
    claim = await store.claim(after(at), free={}, default=9)
    assert claim is not None
    return claim


async def read(store: Store) -> Backlog:
    return (await store.backlog())[REGISTRY]


async def test_deliveries_are_counted_by_registry_and_state(store: Store) -> None:
    await store.submit(submission("job1", "a.test/app:1", "b.test/app:1", "b.test/app:2"), limit=PLENTY)
    await store.submit(submission("job2", "a.test/app:2"), limit=PLENTY)
    await store.hold(await claimed(store), after(60), THROTTLED)
    await claimed(store)

    found = await store.backlog()

    assert found["a.test"].states == {**NONE, "held": 1, "queued": 1}
    assert found["b.test"].states == {**NONE, "running": 1, "queued": 1}
    assert found.keys() == {"a.test", "b.test"}


async def test_what_has_ended_is_not_there(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.finish(await claimed(store), succeeded(), after(1))
    await store.submit(submission("job2"), limit=PLENTY)
    await store.cancel("job2", after(2))

    assert await store.backlog() == {}


async def test_those_that_need_a_credential_are_counted_apart(store: Store) -> None:
    await store.submit(submission("job1", "registry.test/a:1", "registry.test/b:1"), limit=PLENTY)
    await store.hold(await claimed(store), after(60), NEEDY)
    await store.hold(await claimed(store), after(60), THROTTLED)

    assert (await read(store)).needing == 1
    assert (await read(store)).states == {**NONE, "held": 2}


async def test_the_oldest_job_is_told_whatever_its_state(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.submit(submission("job2", at=after(30)), limit=PLENTY)
    assert (await read(store)).since == NOON
    claim = await claimed(store, 40)
    assert (await read(store)).since == NOON
    await store.hold(claim, after(60), THROTTLED)
    assert (await read(store)).since == NOON
    await store.finish(await claimed(store, 61), succeeded(), after(62))
    assert (await read(store)).since == after(30)


async def test_a_job_for_later_and_a_paused_one_are_not_old(store: Store) -> None:
    await store.submit(submission("later", not_before=after(3600)), limit=PLENTY)
    await store.submit(submission("paused"), limit=PLENTY)
    await store.pause("paused", after(1), by=0)

    assert await read(store) == Backlog(states={**NONE, "held": 1, "paused": 1})


async def test_a_job_whose_time_has_come_is_as_old_as_that(store: Store) -> None:
    await store.submit(submission("job1", not_before=after(3600)), limit=PLENTY)
    await claimed(store, 3601)

    assert (await read(store)).since == after(3600)


async def test_a_resumed_job_is_no_older_than_the_time_it_was_not_paused(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.pause("job1", after(100), by=0)
    await store.resume("job1", after(500), by=0)

    assert (await read(store)).since == after(400)


async def test_a_retried_job_is_as_old_as_that(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.cancel("job1", after(100))
    await store.retry("job1", after(500), by=0)

    assert (await read(store)).since == after(500)


async def test_a_paused_registry_is_told_though_nothing_waits_for_it(store: Store) -> None:
    await store.submit(submission("job1", "a.test/app:1"), limit=PLENTY)
    await store.pause_registry("a.test", NOON, by=0)
    await store.pause_registry("b.test", NOON, by=0)

    found = await store.backlog()

    assert found == {
        "a.test": Backlog(states={**NONE, "queued": 1}, since=NOON, paused=True),
        "b.test": Backlog(states=NONE, paused=True),
    }


async def test_finished_jobs_are_not_looked_at(store: Store) -> None:
    """However many there are: the plan reads the index of what is open, and of others not a row."""

    def steps(connection: sqlite3.Connection) -> list[str]:
        told: list[str] = []
        connection.set_trace_callback(told.append)
        try:
            backlog(connection)
        finally:
            connection.set_trace_callback(None)
        return [row["detail"] for sql in told for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]

    walked = await store._reads.send(steps)

    assert [step for step in walked if "deliveries" in step] == ["SCAN deliveries USING INDEX deliveries_open"]
    assert [step for step in walked if "jobs" in step] == ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"]
