from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code
from pushd.job import DeliveryState, JobState
from pushd.store import expiry
from pushd.telemetry.events import DELIVERY_FAILED, JOB_FINISHED
from tests.unit.store.samples import NOON, PLENTY, THROTTLED, after, claimed, sealed, submission

if TYPE_CHECKING:
    import pytest

    from pushd.job import Job
    from pushd.store import Store
    from pushd.telemetry.events import Event

TWO = ("registry.test/a:1", "registry.test/b:1")


async def job1(store: Store) -> Job:
    job = await store.get("job1")
    assert job is not None
    return job


async def test_what_waits_past_its_deadline_fails(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1", *TWO, deadline=100), limit=PLENTY)
    assert await store.expire(after(99.9)) == 0
    assert await store.expire(after(100)) == 2
    job = await job1(store)
    assert (job.state, job.finished_at) == (JobState.FAILED, after(100))
    failure = job.deliveries[0].failure
    assert failure is not None
    assert (failure.code, failure.retryable) == (Code.REQUEST_DEADLINE, False)
    assert [event.kind for event in published[1:]] == [DELIVERY_FAILED, DELIVERY_FAILED, JOB_FINISHED]
    assert await store.expire(after(101)) == 0


async def test_what_was_held_says_what_stood_in_its_way(store: Store) -> None:
    await store.submit(submission("job1", deadline=100), limit=PLENTY)
    await store.hold(await claimed(store), after(200), THROTTLED)
    assert await store.expire(after(100)) == 1
    (delivery,) = (await job1(store)).deliveries
    assert delivery.failure is not None
    assert delivery.failure.message.endswith(f"what stood in its way: {THROTTLED.message}")
    assert [one.code for one in delivery.history] == [THROTTLED.code, Code.REQUEST_DEADLINE]


async def test_a_job_held_for_its_own_time_names_nothing_in_its_way(store: Store) -> None:
    await store.submit(submission("job1", not_before=after(60), deadline=-30), limit=PLENTY)
    assert await store.expire(after(30)) == 1
    (delivery,) = (await job1(store)).deliveries
    assert delivery.failure == expiry.overdue_failure(None)


async def test_what_runs_keeps_its_own_deadline(store: Store) -> None:
    await store.submit(submission("job1", *TWO, deadline=100), limit=PLENTY)
    await claimed(store)
    assert await store.expire(after(100)) == 1
    assert [one.state for one in (await job1(store)).deliveries] == [DeliveryState.RUNNING, DeliveryState.FAILED]


async def test_what_is_paused_waits_on(store: Store) -> None:
    await store.submit(submission("job1", deadline=100), limit=PLENTY)
    await store.pause("job1", after(40), by=7)
    assert await store.expire(after(1000)) == 0
    await store.resume("job1", after(1000), by=7)
    assert await store.expire(after(1059)) == 0
    assert await store.expire(after(1060)) == 1


async def test_no_more_than_a_round_is_ended_at_a_time_and_the_first_due_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "_ROUND", 2)
    for number in range(5):
        await store.submit(submission(f"job{number}", deadline=100 - number), limit=PLENTY)
    assert await store.expire(after(200)) == 2
    assert (await job1(store)).state is JobState.QUEUED
    assert [await store.expire(after(200)) for _ in range(3)] == [2, 1, 0]


async def test_looking_for_what_is_due_searches_the_index(store: Store) -> None:
    plan = await store._reads.send(
        lambda connection: [
            row["detail"]
            for row in connection.execute(f"EXPLAIN QUERY PLAN {expiry._OVERDUE}", (NOON.timestamp(), 500))
        ]
    )
    assert plan == ["SEARCH deliveries USING INDEX deliveries_due (deadline_at<?)"]


async def test_the_next_deadline_is_that_of_what_waits_or_of_a_credential(store: Store) -> None:
    assert await store.deadline() is None
    await store.submit(submission("job1", deadline=100), limit=PLENTY)
    assert await store.deadline() == after(100)
    await store.submit(submission("job2", deadline=50), limit=PLENTY)
    assert await store.deadline() == after(50)
    await store.store_login(1000, "mine", sealed(until=after(20)), NOON, limit=9)
    assert await store.deadline() == after(20)
    await store.expire(after(60))
    assert await store.deadline() == after(100)


async def test_what_runs_or_is_paused_or_never_expires_has_no_next_deadline(store: Store) -> None:
    await store.submit(submission("job1", deadline=100), limit=PLENTY)
    await claimed(store)
    await store.submit(submission("job2", deadline=50), limit=PLENTY)
    await store.pause("job2", after(10), by=7)
    await store.store_login(1000, "mine", sealed(until=None), NOON, limit=9)
    assert await store.deadline() is None


async def test_the_next_deadline_is_read_from_the_ends_of_two_indexes(store: Store) -> None:
    plan = await store._reads.send(
        lambda connection: [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {expiry._NEXT}")]
    )
    tables = [step for step in plan if "deliveries" in step or "credentials" in step]
    assert tables == [
        "SEARCH deliveries USING INDEX deliveries_due",
        "SEARCH credentials USING INDEX credentials_by_expiry (expires_at>?)",
    ]
