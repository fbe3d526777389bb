"""A job whose tags move together: what is durable of it, whatever is done and wherever the daemon dies."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, StoreError
from pushd.job import DeliveryState, Failure, JobState, Tags
from pushd.store import open_store
from pushd.telemetry.events import (
    DELIVERY_CANCELLED,
    DELIVERY_FAILED,
    DELIVERY_HELD,
    DELIVERY_READY,
    DELIVERY_SUPERSEDED,
    JOB_FINISHED,
    JOB_READY,
)
from pushd.work import JobQuery, Outcome, Reach
from tests.unit.store.samples import (
    CANCELLED,
    FAILED,
    NEEDY,
    NOON,
    PLENTY,
    REFUSED,
    THROTTLED,
    after,
    claimed,
    submission,
    succeeded,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pushd.job import Job
    from pushd.store import Store
    from pushd.telemetry.events import Event
    from pushd.work import Claim

A, B, C = "a.test/app:1", "b.test/app:1", "c.test/app:1"
HELD, QUEUED, RUNNING, PAUSED = DeliveryState.HELD, DeliveryState.QUEUED, DeliveryState.RUNNING, DeliveryState.PAUSED
LATE = Outcome(
    state=DeliveryState.FAILED,
    failure=Failure(code="request.deadline", message="the job's deadline leaves no time", retryable=False),
)


async def read(store: Store) -> Job:
    job = await store.get("job1")
    assert job is not None
    return job


async def states(store: Store) -> list[DeliveryState]:
    return [delivery.state for delivery in (await read(store)).deliveries]


async def failures(store: Store) -> list[tuple[str, str] | None]:
    found = [one.failure for one in (await read(store)).deliveries]
    return [None if failure is None else (failure.code, failure.message) for failure in found]


async def take(store: Store, *destinations: str, ready: int = 0, deadline: float = 86_400.0) -> list[Claim]:
    """Submit a job for these destinations, claim all, and let so many of them become ready; give the claims."""
    asked = submission("job1", *(destinations or (A, B, C)), tags=Tags.TOGETHER, deadline=deadline)
    await store.submit(asked, limit=PLENTY)
    claims = [await claimed(store) for _ in asked.registries]
    for claim in claims[:ready]:
        await store.ready(claim, after(1))
    return claims


async def moving(store: Store) -> list[Claim]:
    """Claim what may run where no registry has a place; those are the tags that move."""
    taken, _ = await store.claim_all(after(9), free={}, default=0, most=9)
    return list(taken)


@asynccontextmanager
async def life(directory: Path) -> AsyncIterator[Store]:
    store = await open_store(directory, publish=lambda _: None, clock=lambda: NOON)
    try:
        yield store
    finally:
        await store.close()


def kinds(published: list[Event], *wanted: object) -> list[Event]:
    return [event for event in published if event.kind in wanted]


# ------------------------------------------------------------------------------------------------------- becoming ready


async def test_a_claim_says_how_far_to_go(store: Store) -> None:
    for claim in await take(store):
        assert claim.reach is Reach.READY
    await store.submit(submission("each", A, B), limit=PLENTY)
    assert (await claimed(store)).reach is Reach.WHOLE


async def test_a_job_with_one_destination_is_as_always(store: Store) -> None:
    (claim,) = await take(store, A)
    assert claim.reach is Reach.WHOLE
    await store.finish(claim, succeeded(), after(1))
    assert (await read(store)).state is JobState.SUCCEEDED


async def test_what_is_ready_waits_for_the_others_and_is_told_of(store: Store, published: list[Event]) -> None:
    claims = await take(store, ready=2)
    job = await read(store)
    assert [(one.state, one.ready, one.failure) for one in job.deliveries] == [
        (HELD, True, None), (HELD, True, None), (RUNNING, False, None),
    ]  # fmt: skip
    assert {one.not_before for one in job.deliveries[:2]} == {job.deadline_at}
    assert (job.tags, job.ready_at, job.state) == (Tags.TOGETHER, None, JobState.RUNNING)
    told = kinds(published, DELIVERY_READY)
    assert [event.delivery for event in told] == [claim.delivery_id for claim in claims[:2]]
    assert [event.fields for event in told] == [
        {"destination": A, "registry": "a.test", "attempt": 1, "others": 2},
        {"destination": B, "registry": "b.test", "attempt": 1, "others": 1},
    ]
    assert not kinds(published, DELIVERY_HELD, JOB_READY)
    assert await moving(store) == []


async def test_it_was_no_try(store: Store) -> None:
    claims = await take(store, A, B, ready=2)
    assert [claim.tries for claim in await moving(store)] == [claim.tries for claim in claims]


async def test_a_list_says_the_same(store: Store) -> None:
    await take(store, ready=1)
    (job,) = await store.list(JobQuery())
    assert (job.tags, [one.ready for one in job.deliveries]) == (Tags.TOGETHER, [True, False, False])


async def test_with_the_last_of_them_all_tags_move_at_once_and_before_anything_else(
    store: Store, published: list[Event]
) -> None:
    _, last = await take(store, A, B, ready=1)
    await store.submit(submission("urgent", A, B, priority=1000, uid=1), limit=PLENTY)
    await store.ready(last, after(2))
    assert ((await read(store)).ready_at, await states(store)) == (after(2), [QUEUED, QUEUED])
    (told,) = kinds(published, JOB_READY)
    assert (told.job, told.uid, told.fields) == ("job1", 1000, {"destinations": 2})
    taken, _ = await store.claim_all(after(9), free={}, default=1, most=9)
    assert [(one.job_id, one.destination, one.reach, one.attempt) for one in taken[:2]] == [
        ("job1", A, Reach.TAG, 2), ("job1", B, Reach.TAG, 2),
    ]  # fmt: skip


async def test_at_most_as_many_are_claimed_as_are_asked_for(store: Store) -> None:
    await take(store, ready=3)
    taken, _ = await store.claim_all(after(9), free={}, default=0, most=2)
    assert [len(taken), len(await moving(store))] == [2, 1]


async def test_tags_that_moved_end_the_job(store: Store) -> None:
    await take(store, A, B, ready=2)
    for claim in await moving(store):
        assert await store.tagging(claim)
        assert await store.finish(claim, succeeded(), after(10)) == ()
    job = await read(store)
    assert (job.state, [one.ready for one in job.deliveries]) == (JobState.SUCCEEDED, [True, True])


async def test_no_claim_of_before_can_say_it_is_ready(store: Store) -> None:
    first, _ = await take(store, A, B, ready=1)
    with pytest.raises(StoreError) as caught:
        await store.ready(first, after(2))
    assert caught.value.code is Code.STORE_CLAIM_LOST


# ----------------------------------------------------------------------------------------------------------- giving up


async def test_one_that_fails_fails_what_waits_and_names_what_runs_in_vain(store: Store) -> None:
    _, fails, runs = await take(store, ready=1)
    assert await store.finish(fails, FAILED, after(2)) == (runs.delivery_id,)
    assert await states(store) == [DeliveryState.FAILED, DeliveryState.FAILED, RUNNING]
    ready, failed, _ = await failures(store)
    assert failed == (REFUSED.code, REFUSED.message)
    assert ready == (
        "request.together",
        "no tag of this job moves without the others, and that to b.test/app:1 failed: registry.test: no right to push",
    )
    assert (await read(store)).ready_at is None


@pytest.mark.parametrize("ends", ["ready", "release", "hold"])
async def test_what_ran_in_vain_fails_however_it_stops(store: Store, published: list[Event], ends: str) -> None:
    _, fails, runs = await take(store, ready=1)
    await store.finish(fails, FAILED, after(2))
    if ends == "ready":
        await store.ready(runs, after(3))
    elif ends == "release":
        await store.release(runs)
    else:
        await store.hold(runs, after(60), THROTTLED)
    assert (await read(store)).state is JobState.FAILED
    assert [failure and failure[0] for failure in await failures(store)] == [
        "request.together", REFUSED.code, "request.together",
    ]  # fmt: skip
    assert len(kinds(published, DELIVERY_FAILED)) == 3
    assert len(kinds(published, JOB_FINISHED)) == 1
    assert not kinds(published, JOB_READY)


async def test_what_is_queued_held_or_lacks_a_credential_fails_as_well(store: Store) -> None:
    claims = await take(store, A, B, C, "d.test/app:1")
    await store.release(claims[0])
    await store.hold(claims[1], after(60), THROTTLED)
    await store.hold(claims[2], after(60), NEEDY)
    assert await store.finish(claims[3], FAILED, after(2)) == ()
    assert {failure and failure[0] for failure in (await failures(store))[:3]} == {"request.together"}


async def test_the_tags_of_other_jobs_move_each_on_its_own(store: Store) -> None:
    await store.submit(submission("job1", A, B), limit=PLENTY)
    first, _ = [await claimed(store) for _ in range(2)]
    assert await store.finish(first, FAILED, after(1)) == ()
    assert await states(store) == [DeliveryState.FAILED, RUNNING]


async def test_a_job_that_is_cancelled_is_cancelled_all_of_it(store: Store, published: list[Event]) -> None:
    *_, runs = await take(store, ready=2)
    assert await store.cancel("job1", after(2)) == (runs.delivery_id,)
    assert await store.finish(runs, CANCELLED, after(3)) == ()
    assert (await read(store)).state is JobState.CANCELLED
    assert len(kinds(published, DELIVERY_CANCELLED)) == 3


async def test_where_all_of_a_registry_is_cancelled_the_others_fail(store: Store) -> None:
    await take(store, A, "a.test/other:1", B, ready=3)
    await store.pause_registry("a.test", after(2), by=0)
    claims = await moving(store)
    assert [claim.destination for claim in claims] == [B]  # decided before: it goes on
    assert await store.cancel_registry("a.test", after(3)) == (2, (), ())
    await store.finish(claims[0], succeeded(), after(4))
    assert (await read(store)).state is JobState.PARTIAL


async def test_where_a_registry_is_cancelled_before_that_no_tag_moves(store: Store) -> None:
    *_, runs = await take(store, A, "a.test/other:1", B, C, ready=3)
    assert await store.cancel_registry("a.test", after(3)) == (2, (), (runs.delivery_id,))
    assert await states(store) == [
        DeliveryState.CANCELLED, DeliveryState.CANCELLED, DeliveryState.FAILED, RUNNING,
    ]  # fmt: skip
    *_, ready, _ = await failures(store)
    assert ready is not None
    assert ready[0] == "request.together"
    assert ready[1].endswith("without the others, and that to a.test/app:1 was cancelled")
    await store.ready(runs, after(4))
    assert (await read(store)).state is JobState.FAILED


async def test_what_waits_for_the_others_fails_by_its_deadline(store: Store) -> None:
    claims = await take(store, A, B, C, ready=1, deadline=100)
    await store.release(claims[1])
    await store.hold(claims[2], after(200), THROTTLED)
    assert await store.expire(after(100)) == 3
    assert [failure and failure[0] for failure in await failures(store)] == ["request.deadline"] * 3
    ready = (await failures(store))[0]
    assert ready is not None
    assert "other destinations of its job were not ready" in ready[1]


async def test_a_deadline_that_one_that_ran_did_not_meet_is_that_of_all(store: Store) -> None:
    _, runs = await take(store, A, B, ready=1)
    await store.finish(runs, LATE, after(2))
    assert [failure and failure[0] for failure in await failures(store)] == ["request.deadline"] * 2


# -------------------------------------------------------------------------------------------------------------- retried


async def test_a_retry_begins_with_all_of_them_and_together(store: Store) -> None:
    _, fails = await take(store, A, B, ready=1)
    await store.finish(fails, FAILED, after(2))
    assert await store.retry("job1", after(3), by=1000) == 2
    job = await read(store)
    assert [(one.state, one.ready) for one in job.deliveries] == [(QUEUED, False), (QUEUED, False)]
    claims = [await claimed(store, 4) for _ in range(2)]
    assert {claim.reach for claim in claims} == {Reach.READY}
    for claim in claims:
        await store.ready(claim, after(5))
    assert [claim.reach for claim in await moving(store)] == [Reach.TAG, Reach.TAG]


async def test_a_retry_while_one_still_runs_in_vain_takes_it_along(store: Store) -> None:
    _, fails, runs = await take(store, ready=1)
    await store.finish(fails, FAILED, after(2))
    assert await store.retry("job1", after(3), by=1000) == 2
    await store.release(runs)
    assert await states(store) == [QUEUED, QUEUED, QUEUED]


async def test_once_decided_one_that_fails_keeps_nobody_from_moving_and_a_retry_moves_its_tag(store: Store) -> None:
    await take(store, A, B, ready=2)
    first, second = await moving(store)
    assert await store.finish(first, FAILED, after(10)) == ()
    assert await states(store) == [DeliveryState.FAILED, RUNNING]
    await store.finish(second, succeeded(), after(11))
    assert (await read(store)).state is JobState.PARTIAL
    await store.retry("job1", after(12), by=1000)
    (again,) = await moving(store)
    assert (again.destination, again.reach) == (A, Reach.TAG)


async def test_once_decided_a_tag_that_could_not_be_put_is_tried_again(store: Store) -> None:
    await take(store, A, B, ready=2)
    first, _ = await moving(store)
    await store.hold(first, after(60), THROTTLED)
    assert await states(store) == [HELD, RUNNING]
    assert await moving(store) == []
    taken, _ = await store.claim_all(after(60), free={}, default=1, most=9)
    assert [(one.destination, one.reach, one.tries) for one in taken] == [(A, Reach.TAG, 2)]


async def test_once_decided_what_is_cancelled_is_cancelled_and_what_moved_stays(store: Store) -> None:
    await take(store, ready=3)
    claims = await moving(store)
    await store.finish(claims[0], succeeded(), after(10))
    await store.release(claims[1])
    assert await store.cancel("job1", after(11)) == (claims[2].delivery_id,)
    await store.finish(claims[2], CANCELLED, after(12))
    assert await states(store) == [DeliveryState.SUCCEEDED, DeliveryState.CANCELLED, DeliveryState.CANCELLED]


# ----------------------------------------------------------------------------------------------------------- superseded


async def test_one_whose_tag_a_newer_job_put_ends_superseded_and_counts_as_ready(
    store: Store, published: list[Event]
) -> None:
    claims = await take(store, A, B, ready=1)
    await store.submit(submission("newer", B), limit=PLENTY)
    assert await store.tagging(await claimed(store, 1))
    await store.ready(claims[1], after(2))
    assert await states(store) == [QUEUED, DeliveryState.SUPERSEDED]
    assert [event.fields["destinations"] for event in kinds(published, JOB_READY)] == [1]
    assert len(kinds(published, DELIVERY_SUPERSEDED)) == 1
    (claim,) = await moving(store)
    await store.finish(claim, succeeded(), after(3))
    assert (await read(store)).state is JobState.SUCCEEDED


async def test_an_older_job_that_put_its_tag_stands_in_nobodys_way(store: Store) -> None:
    await store.submit(submission("older", B), limit=PLENTY)
    assert await store.tagging(await claimed(store))
    await take(store, A, B, ready=2)
    assert await states(store) == [QUEUED, QUEUED]


async def test_a_destination_that_is_no_tag_is_never_superseded(store: Store) -> None:
    digest = succeeded().digest
    await take(store, A, f"b.test/app@{digest}", ready=2)
    assert await states(store) == [QUEUED, QUEUED]


async def test_where_all_are_superseded_nothing_moves(store: Store, published: list[Event]) -> None:
    claims = await take(store, A, B)
    await store.submit(submission("newer", A, B), limit=PLENTY)
    for _ in range(2):
        await store.tagging(await claimed(store, 1))
    for claim in claims:
        await store.ready(claim, after(2))
    assert (await read(store)).state is JobState.SUPERSEDED
    assert not kinds(published, JOB_READY)


# --------------------------------------------------------------------------------------------------------------- paused


async def test_what_is_ready_is_paused_and_resumed_and_is_ready_still(store: Store, published: list[Event]) -> None:
    _, runs = await take(store, A, B, ready=1)
    await store.pause("job1", after(2), by=0)
    assert await states(store) == [PAUSED, RUNNING]
    await store.release(runs)
    assert (await read(store)).state is JobState.PAUSED
    before = len(kinds(published, DELIVERY_READY))
    await store.resume("job1", after(10), by=0)
    assert await states(store) == [HELD, QUEUED]
    job = await read(store)
    assert (job.deliveries[0].ready, job.deliveries[0].not_before) == (True, job.deadline_at)
    assert len(kinds(published, DELIVERY_READY)) == before + 1


async def test_while_the_job_is_paused_nothing_is_decided(store: Store, published: list[Event]) -> None:
    _, runs = await take(store, A, B, ready=1)
    await store.pause("job1", after(2), by=0)
    await store.ready(runs, after(3))
    assert await states(store) == [PAUSED, PAUSED]
    assert not kinds(published, JOB_READY)
    await store.resume("job1", after(4), by=0)
    assert await states(store) == [QUEUED, QUEUED]
    assert len(kinds(published, JOB_READY)) == 1


async def test_a_job_paused_while_its_tags_move_goes_on_moving_them_when_it_is_resumed(store: Store) -> None:
    await take(store, A, B, ready=2)
    await store.pause("job1", after(2), by=0)
    assert await moving(store) == []
    await store.resume("job1", after(3), by=0)
    assert [claim.reach for claim in await moving(store)] == [Reach.TAG, Reach.TAG]


async def test_while_a_registry_is_paused_where_a_tag_would_move_nothing_is_decided(store: Store) -> None:
    _, runs = await take(store, A, B, ready=1)
    await store.pause_registry("a.test", after(2), by=0)
    await store.ready(runs, after(3))
    assert await states(store) == [HELD, HELD]
    await store.pause_registry("c.test", after(4), by=0)
    await store.resume_registry("c.test", after(5), by=0)
    assert await states(store) == [HELD, HELD]
    await store.resume_registry("a.test", after(6), by=0)
    assert await states(store) == [QUEUED, QUEUED]


async def test_a_registry_that_is_shut_is_left_alone(store: Store) -> None:
    await take(store, A, B, ready=2)
    taken, _ = await store.claim_all(after(9), free={}, default=1, most=9, shut={"a.test"})
    assert [claim.destination for claim in taken] == [B]
    await store.submit(submission("each", A, uid=1), limit=PLENTY)
    assert (await store.claim_all(after(9), free={}, default=1, most=9, shut={"a.test"}))[0] == []


# ------------------------------------------------------------------------------------------- wherever the daemon dies


async def test_a_death_before_the_last_is_ready_leaves_the_others_ready(tmp_path: Path) -> None:
    async with life(tmp_path) as store:
        await take(store, A, B, ready=1)
    async with life(tmp_path) as store:
        assert await states(store) == [HELD, QUEUED]
        claim = await claimed(store, 2)
        assert (claim.destination, claim.reach) == (B, Reach.READY)
        await store.ready(claim, after(3))
        assert await states(store) == [QUEUED, QUEUED]


@pytest.mark.parametrize("claims", [False, True], ids=["before", "after"])
async def test_a_death_between_the_decision_and_the_tags_takes_nothing_back(tmp_path: Path, claims: bool) -> None:
    async with life(tmp_path) as store:
        await take(store, A, B, ready=2)
        if claims:
            first, _ = await moving(store)
            assert await store.tagging(first)
    async with life(tmp_path) as store:
        assert (await read(store)).ready_at == after(1)
        assert [claim.reach for claim in await moving(store)] == [Reach.TAG, Reach.TAG]


async def test_a_death_after_the_first_tag_moved_leaves_the_second_to_move(tmp_path: Path) -> None:
    async with life(tmp_path) as store:
        await take(store, A, B, ready=2)
        first, _ = await moving(store)
        await store.finish(first, succeeded(), after(10))
    async with life(tmp_path) as store:
        (claim,) = await moving(store)
        assert (claim.destination, claim.reach) == (B, Reach.TAG)


async def test_a_death_before_what_runs_in_vain_was_stopped_fails_it(tmp_path: Path) -> None:
    async with life(tmp_path) as store:
        _, fails, _ = await take(store, ready=1)
        await store.finish(fails, FAILED, after(2))
    async with life(tmp_path) as store:
        assert (await read(store)).state is JobState.FAILED


async def test_a_death_while_all_is_paused_decides_nothing(tmp_path: Path) -> None:
    async with life(tmp_path) as store:
        _, runs = await take(store, A, B, ready=1)
        await store.pause("job1", after(2), by=0)
        await store.ready(runs, after(3))
    async with life(tmp_path) as store:
        assert await states(store) == [PAUSED, PAUSED]
        await store.resume("job1", after(4), by=0)
        assert await states(store) == [QUEUED, QUEUED]
