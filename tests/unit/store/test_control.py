from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RequestError
from pushd.job import DeliveryState, JobState, Try
from pushd.store import open_store
from pushd.store.placing import resting
from pushd.telemetry.events import (
    DELIVERY_CANCELLED,
    DELIVERY_HELD,
    DELIVERY_PAUSED,
    DELIVERY_REQUEUED,
    JOB_FINISHED,
    JOB_PAUSED,
    JOB_RESUMED,
    JOB_RETRIED,
)
from tests.unit.store.samples import (
    CANCELLED,
    FAILED,
    NOON,
    PLENTY,
    REFUSED,
    SUPERSEDED,
    THROTTLED,
    after,
    claimed,
    due,
    next_claim,
    submission,
    succeeded,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pushd.job import Job
    from pushd.store import Store
    from pushd.telemetry.events import Event
    from tests.unit.store.samples import Clock

THREE = ("registry.test/a:1", "registry.test/b:1", "registry.test/c:1")
DAY = 86_400.0


async def job1(store: Store) -> Job:
    job = await store.get("job1")
    assert job is not None
    return job


async def states(store: Store) -> list[DeliveryState]:
    return [delivery.state for delivery in (await job1(store)).deliveries]


async def deadlines(store: Store) -> set[float]:
    """Read the deadlines that what waits is held to, in seconds from noon."""
    rows = await store._reads.send(
        lambda connection: connection.execute("SELECT deadline_at FROM deliveries").fetchall()
    )
    return {row["deadline_at"] - NOON.timestamp() for row in rows}


@pytest.mark.parametrize(
    ("paused_at", "begins_at", "where"),
    [
        (None, None, (DeliveryState.QUEUED, None)),
        (None, 10.0, (DeliveryState.QUEUED, None)),
        (None, 10.5, (DeliveryState.HELD, 10.5)),
        (5.0, None, (DeliveryState.PAUSED, None)),
        (5.0, 10.5, (DeliveryState.PAUSED, None)),
    ],
)
def test_what_nothing_stands_in_the_way_of_waits_where_its_job_lets_it(
    paused_at: float | None, begins_at: float | None, where: tuple[DeliveryState, float | None]
) -> None:
    assert resting(paused_at, begins_at, 10.0) == where


# ------------------------------------------------------------------------------------------------------- pause


async def test_a_paused_job_waits_and_names_what_still_runs(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1", *THREE), limit=PLENTY)
    await store.hold(await claimed(store), after(60), THROTTLED)
    running = await claimed(store)
    told = len(published)
    assert await store.pause("job1", after(5), by=7) == (running.delivery_id,)
    job = await job1(store)
    assert await states(store) == [DeliveryState.PAUSED, DeliveryState.RUNNING, DeliveryState.PAUSED]
    assert (job.state, job.paused_at) == (JobState.RUNNING, after(5))
    held = job.deliveries[0]
    assert (held.not_before, held.failure, len(held.history)) == (None, None, 1)
    first, second, third = published[told:]
    assert (first.kind, first.job, first.uid, first.fields) == (JOB_PAUSED, "job1", 1000, {"by": 7})
    assert [event.kind for event in (second, third)] == [DELIVERY_PAUSED, DELIVERY_PAUSED]
    assert second.fields == {"destination": THREE[0], "registry": "registry.test", "attempt": 1}
    assert await next_claim(store, after(100), default=9) is None
    assert await due(store, NOON) is None


async def test_what_ran_of_a_paused_job_is_paused_when_it_stops(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1", *THREE[:2]), limit=PLENTY)
    released, held = await claimed(store), await claimed(store)
    await store.pause("job1", after(5), by=7)
    await store.release(released)
    await store.hold(held, after(60), THROTTLED)
    assert await states(store) == [DeliveryState.PAUSED, DeliveryState.PAUSED]
    job = await job1(store)
    assert job.state is JobState.PAUSED
    assert (job.deliveries[1].not_before, job.deliveries[1].failure) == (None, None)
    assert [one.code for one in job.deliveries[1].history] == [THROTTLED.code]
    assert [event.kind for event in published[-2:]] == [DELIVERY_PAUSED, DELIVERY_PAUSED]


async def test_what_a_crash_left_running_of_a_paused_job_is_paused(
    store: Store, tmp_path: Path, published: list[Event]
) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await claimed(store)
    await store.pause("job1", after(5), by=7)
    await store.close()
    second = await open_store(tmp_path / "state", publish=published.extend)
    assert await states(second) == [DeliveryState.PAUSED]
    assert second.requeued == 0
    await second.close()


async def test_pausing_again_changes_nothing_and_names_what_still_runs(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1", *THREE), limit=PLENTY)
    running = await claimed(store)
    await store.pause("job1", after(5), by=7)
    before, told = await job1(store), len(published)
    assert await store.pause("job1", after(9), by=8) == (running.delivery_id,)
    assert await job1(store) == before
    assert len(published) == told


async def test_a_job_that_ends_while_it_is_paused_is_paused_no_more(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    running = await claimed(store)
    await store.pause("job1", after(5), by=7)
    await store.finish(running, succeeded(), after(6))
    job = await job1(store)
    assert (job.state, job.paused_at) == (JobState.SUCCEEDED, None)


async def test_cancelling_ends_what_is_paused_too(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1", *THREE), limit=PLENTY)
    await store.pause("job1", after(5), by=7)
    assert await store.cancel("job1", after(6)) == ()
    assert set(await states(store)) == {DeliveryState.CANCELLED}
    assert [event.kind for event in published[-4:]] == [*[DELIVERY_CANCELLED] * 3, JOB_FINISHED]


# ------------------------------------------------------------------------------------------------------ resume


async def test_a_resumed_job_goes_on_with_the_time_it_had_left(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1", *THREE[:2], deadline=100), limit=PLENTY)
    await store.pause("job1", after(40), by=7)
    told = len(published)
    await store.resume("job1", after(1000), by=8)
    job = await job1(store)
    assert (job.state, job.paused_at, job.deadline_at) == (JobState.QUEUED, None, after(1060))
    assert await deadlines(store) == {1060.0}
    assert [event.kind for event in published[told:]] == [JOB_RESUMED, DELIVERY_REQUEUED, DELIVERY_REQUEUED]
    assert published[told].fields == {"by": 8}
    assert (await claimed(store, 1000)).deadline_at == after(1060)


async def test_a_job_resumed_before_its_own_time_is_held_until_then(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1", not_before=after(60)), limit=PLENTY)
    await store.pause("job1", after(10), by=7)
    assert (await job1(store)).state is JobState.PAUSED
    await store.resume("job1", after(20), by=7)
    (delivery,) = (await job1(store)).deliveries
    assert (delivery.state, delivery.not_before, delivery.failure) == (DeliveryState.HELD, after(60), None)
    event = published[-1]
    assert (event.kind, event.fields["until"], event.fields["code"]) == (
        DELIVERY_HELD,
        "2026-07-01T12:01:00.000Z",
        None,
    )


async def test_a_job_resumed_after_its_own_time_is_queued(store: Store) -> None:
    await store.submit(submission("job1", not_before=after(60)), limit=PLENTY)
    await store.pause("job1", after(10), by=7)
    await store.resume("job1", after(70), by=7)
    assert await states(store) == [DeliveryState.QUEUED]


async def test_resuming_what_is_not_paused_changes_nothing(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    before, told = await job1(store), len(published)
    await store.resume("job1", after(9), by=7)
    assert await job1(store) == before
    assert len(published) == told


async def test_what_still_runs_when_its_job_is_resumed_runs_on(store: Store) -> None:
    await store.submit(submission("job1", *THREE[:2], deadline=100), limit=PLENTY)
    running = await claimed(store)
    await store.pause("job1", after(10), by=7)
    await store.resume("job1", after(20), by=7)
    assert await states(store) == [DeliveryState.RUNNING, DeliveryState.QUEUED]
    assert await deadlines(store) == {110.0}
    await store.release(running)
    assert await states(store) == [DeliveryState.QUEUED, DeliveryState.QUEUED]


async def test_a_clock_set_back_while_a_job_is_paused_takes_no_time_from_it(store: Store) -> None:
    await store.submit(submission("job1", deadline=100), limit=PLENTY)
    await store.pause("job1", after(40), by=7)
    await store.resume("job1", after(-500), by=7)
    assert (await job1(store)).deadline_at == after(100)


# ------------------------------------------------------------------------------------------------------- retry


async def mixed(store: Store) -> None:
    """Bring a job of four destinations to an end in every way there is."""
    await store.submit(submission("job1", *THREE, "registry.test/d:1", deadline=100), limit=PLENTY)
    outcomes = (succeeded(), FAILED, CANCELLED, SUPERSEDED)
    await store.hold(await claimed(store), after(1), THROTTLED)
    claims = sorted([await claimed(store, 1) for _ in range(4)], key=lambda claim: claim.delivery_id)
    for claim, outcome in zip(claims, outcomes, strict=True):
        await store.finish(claim, outcome, after(50))


async def test_a_retry_queues_what_failed_or_was_cancelled_and_nothing_else(
    store: Store, published: list[Event]
) -> None:
    await mixed(store)
    told = len(published)
    assert await store.retry("job1", after(500), by=7) == 2
    job = await job1(store)
    assert await states(store) == [
        DeliveryState.SUCCEEDED,
        DeliveryState.QUEUED,
        DeliveryState.QUEUED,
        DeliveryState.SUPERSEDED,
    ]
    assert (job.state, job.finished_at, job.deadline_at) == (JobState.RUNNING, None, after(600))
    failed = job.deliveries[1]
    assert (failed.failure, failed.started_at, failed.finished_at) == (None, None, None)
    assert failed.history == (Try(at=after(50), attempt=1, code=REFUSED.code, message=REFUSED.message),)
    assert [event.kind for event in published[told:]] == [JOB_RETRIED, DELIVERY_REQUEUED, DELIVERY_REQUEUED]
    assert published[told].fields == {"deliveries": 2, "by": 7}
    assert published[told].uid == 1000


async def test_what_is_retried_is_as_new_but_for_its_attempts(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.hold(await claimed(store), after(1), THROTTLED)
    await store.finish(await claimed(store, 1), FAILED, after(2))
    await store.retry("job1", after(3), by=7)
    claim = await claimed(store, 3)
    assert (claim.attempt, claim.tries, claim.deadline_at) == (3, 1, after(3 + DAY))


async def test_a_retried_job_ends_again_and_is_told_again(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1"), limit=1)
    await store.finish(await claimed(store), FAILED, after(2))
    await store.retry("job1", after(3), by=7)
    with pytest.raises(RequestError):  # it counts again among those that have not ended
        await store.submit(submission("job2"), limit=1)
    await store.finish(await claimed(store, 3), succeeded(), after(4))
    assert (await job1(store)).finished_at == after(4)
    ends = [event.fields["state"] for event in published if event.kind is JOB_FINISHED]
    assert ends == ["failed", "succeeded"]
    await store.submit(submission("job2"), limit=1)


async def test_a_part_that_failed_is_retried_while_the_rest_goes_on(store: Store) -> None:
    await store.submit(submission("job1", *THREE[:2]), limit=PLENTY)
    failed, running = await claimed(store), await claimed(store)
    await store.finish(failed, FAILED, after(1))
    assert await store.retry("job1", after(2), by=7) == 1
    assert await states(store) == [DeliveryState.QUEUED, DeliveryState.RUNNING]
    await store.finish(running, succeeded(), after(3))
    assert (await job1(store)).state is JobState.RUNNING


async def test_what_is_retried_of_a_paused_job_is_paused_and_has_all_its_time_when_that_goes_on(store: Store) -> None:
    await store.submit(submission("job1", *THREE[:2], deadline=100), limit=PLENTY)
    await store.finish(await claimed(store), FAILED, after(1))
    await store.pause("job1", after(10), by=7)
    assert await store.retry("job1", after(50), by=7) == 1
    assert await states(store) == [DeliveryState.PAUSED, DeliveryState.PAUSED]
    await store.resume("job1", after(70), by=7)
    assert (await job1(store)).deadline_at == after(170)
    assert await deadlines(store) == {170.0}


async def test_what_was_cancelled_before_its_time_is_held_until_then_when_it_is_retried(store: Store) -> None:
    await store.submit(submission("job1", not_before=after(60), deadline=100), limit=PLENTY)
    await store.cancel("job1", after(10))
    await store.retry("job1", after(20), by=7)
    job = await job1(store)
    assert (job.state, job.deliveries[0].not_before, job.deadline_at) == (JobState.HELD, after(60), after(160))


async def test_a_retry_of_a_job_with_nothing_to_retry_changes_nothing(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1", spool="entry"), limit=PLENTY)
    assert await store.retry("job1", after(1), by=7) == 0
    await store.finish(await claimed(store), succeeded(), after(2))
    before, told = await job1(store), len(published)
    assert await store.retry("job1", after(3), by=7) == 0
    assert await job1(store) == before
    assert len(published) == told


async def test_a_job_that_ended_without_its_bytes_cannot_be_retried(store: Store) -> None:
    await store.submit(submission("job1", *THREE[:2], spool="entry"), limit=PLENTY)
    await store.finish(await claimed(store), FAILED, after(1))
    assert await store.retry("job1", after(2), by=7) == 1  # the entry is there until the job ends
    await store.cancel("job1", after(3))
    before = await job1(store)
    with pytest.raises(RequestError) as refused:
        await store.retry("job1", after(4), by=7)
    assert refused.value.code is Code.REQUEST_STATE
    assert await job1(store) == before


# ---------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("wish", ["pause", "resume"])
async def test_a_job_that_has_ended_is_neither_paused_nor_resumed(store: Store, wish: str) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.cancel("job1", after(1))
    with pytest.raises(RequestError) as refused:
        await getattr(store, wish)("job1", after(2), by=7)
    assert refused.value.code is Code.REQUEST_STATE
    assert "cancelled" in refused.value.detail


WISHES: dict[str, Callable[[Store], object]] = {
    "cancel": lambda store: store.cancel("nobody", NOON),
    "pause": lambda store: store.pause("nobody", NOON, by=7),
    "resume": lambda store: store.resume("nobody", NOON, by=7),
    "retry": lambda store: store.retry("nobody", NOON, by=7),
}


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES)
async def test_a_job_nobody_knows_is_not_found(store: Store, wish: Callable[[Store], object]) -> None:
    with pytest.raises(RequestError) as refused:
        await wish(store)  # type: ignore[misc] # what the table's functions give is awaitable
    assert refused.value.code is Code.REQUEST_NOT_FOUND


async def test_a_hold_after_a_pause_counts_as_a_try(store: Store, clock: Clock) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    claim = await claimed(store)
    await store.pause("job1", NOON, by=7)
    clock.pass_time(3)
    await store.hold(claim, after(60), THROTTLED)
    await store.resume("job1", after(4), by=7)
    assert (await claimed(store, 4)).tries == 2
