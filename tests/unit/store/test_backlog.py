"""What has not ended, by registry: what an operator's alert on an old queue is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.store.backlog import backlog, queue
from pushd.telemetry.standing import Backlog
from pushd.work import Retention
from tests.unit.store.samples import (
    FAILED,
    NEEDY,
    NOON,
    PLENTY,
    THROTTLED,
    after,
    claimed,
    submission,
    succeeded,
)

if TYPE_CHECKING:
    import sqlite3

    from pushd.store import Store

REGISTRY = "registry.test"
NONE = {"queued": 0, "running": 0, "held": 0, "paused": 0}


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


async def test_neither_what_waits_nor_what_ended_is_counted_when_asked(store: Store) -> None:
    """However much there is of either: the counts are read, and of each registry's deliveries one row of an index."""
    await store.submit(submission("job1", "a.test/app:1"), limit=PLENTY)

    def steps(connection: sqlite3.Connection) -> list[str]:
        told: list[str] = []
        connection.set_trace_callback(told.append)
        try:
            backlog(connection)
            queue(connection, None)
            queue(connection, 1000)
        finally:
            connection.set_trace_callback(None)
        return [row["detail"] for sql in told for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]

    walked = await store._reads.send(steps)

    assert [step for step in walked if "deliveries" in step] == [
        "SEARCH deliveries USING INDEX deliveries_waiting (registry=?)"
    ]
    assert not [step for step in walked if "jobs" in step]


async def test_the_counts_that_are_kept_are_those_of_the_deliveries_whatever_became_of_them(store: Store) -> None:
    for number in range(6):
        await store.submit(submission(f"job{number}", "a.test/app:1", "b.test/app:1", uid=1000 + number % 2), limit=99)
    await store.submit(submission("later", "a.test/app:1", not_before=after(9)), limit=99)
    claims = [await claimed(store) for _ in range(6)]
    await store.hold(claims[0], after(100), THROTTLED)
    await store.hold(claims[1], after(100), NEEDY)
    await store.finish(claims[2], succeeded(), NOON)
    await store.finish(claims[3], FAILED, NOON)
    await store.release(claims[4])
    await store.pause("job5", NOON, by=0)
    await store.pause("job4", NOON, by=0)
    await store.resume("job4", NOON, by=0)
    await store.cancel("job3", NOON)
    await store.retry("job3", NOON, by=0)
    await store.expire(after(1))
    assert await kept(store) == await counted(store)
    assert len(await kept(store)) > 5
    await store.expire(after(90_000))
    assert await kept(store) == await counted(store)
    await store.prune(after(90_000), Retention(job_age=0, job_count=0, event_age=0, event_count=0))
    assert await kept(store) == await counted(store)


async def test_a_registry_nothing_waits_for_any_more_leaves_no_count_behind(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.finish(await claimed(store), succeeded(), NOON)
    assert await kept(store) == {}
    assert await store.queue() == {}


Counts = dict[tuple[str, int, str, int], int]


async def kept(store: Store) -> Counts:
    return await _grouped(store, "SELECT registry, uid, state, needing, number FROM backlog")


async def counted(store: Store) -> Counts:
    return await _grouped(
        store,
        """SELECT registry, uid, state,
           state = 'held' AND coalesce(failure_code LIKE '%.needs_credential', 0) AS needing, count(*)
           FROM deliveries WHERE state IN ('queued', 'running', 'held', 'paused')
           GROUP BY registry, uid, state, needing""",
    )


async def _grouped(store: Store, sql: str) -> Counts:
    rows = await store._reads.send(lambda connection: connection.execute(sql).fetchall())
    return {(row[0], row[1], row[2], row[3]): row[4] for row in rows}
