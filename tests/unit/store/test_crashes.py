from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code
from pushd.job import DeliveryState, JobState, TransferState
from pushd.oci.upload import Checkpoint, Form
from pushd.store import open_store
from pushd.store.crashes import LIMIT, in_a_row
from pushd.telemetry.events import DELIVERY_FAILED, DELIVERY_REQUEUED, JOB_FINISHED
from pushd.work import Outcome, TransferResult
from tests.unit.store.samples import NOON, PLENTY, THROTTLED, after, blob, claimed, next_claim, submission, transfer_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pushd.job import Delivery
    from pushd.store import Store
    from pushd.telemetry.events import Event
    from pushd.work import Claim

A, B = blob("a"), blob("b")


@pytest.mark.parametrize(
    ("before", "progressed", "count"),
    [(0, False, 1), (1, False, 2), (2, False, 3), (0, True, 0), (2, True, 0)],
)
def test_crashes_are_counted_in_a_row_and_progress_begins_anew(before: int, progressed: bool, count: int) -> None:
    assert in_a_row(before, progressed=progressed) == count


@dataclass
class Lives:
    """A daemon's lives on one state directory: each ends with whatever runs still running."""

    state_dir: Path
    told: list[Event] = field(default_factory=list)

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Store]:
        self.told.clear()
        store = await open_store(self.state_dir, publish=self.told.extend, clock=lambda: NOON)
        try:
            yield store
        finally:
            await store.close()

    async def delivery(self) -> Delivery:
        """Look how things stand after the last crash."""
        async with self.life() as store:
            return await delivery(store)


@pytest.fixture
async def lives(tmp_path: Path) -> Lives:
    lives = Lives(tmp_path)
    async with lives.life() as store:
        await store.submit(submission("job1"), limit=PLENTY)
    return lives


async def delivery(store: Store) -> Delivery:
    job = await store.get("job1")
    assert job is not None
    return job.deliveries[0]


async def planned(store: Store) -> Claim:
    claim = await claimed(store)
    await store.plan(claim, credential="anonymous", repository="team/app", blobs=[A, B], manifests=1)
    return claim


async def stand(store: Store, claim: Claim, offset: int) -> None:
    checkpoint = Checkpoint("https://registry.test/upload", offset, 100, Form.CHUNKED)
    await store.checkpoint(claim, transfer_key(claim, A), checkpoint)


async def test_crash_after_crash_without_progress_sets_a_delivery_aside(lives: Lives) -> None:
    for _ in range(LIMIT):
        async with lives.life() as store:
            assert store.requeued == sum(event.kind is DELIVERY_REQUEUED for event in lives.told)
            await planned(store)
    async with lives.life() as store:
        assert store.requeued == 0
        assert [event.kind for event in lives.told] == [DELIVERY_FAILED, JOB_FINISHED]
        job = await store.get("job1")
        assert job is not None
        assert job.state is JobState.FAILED
        assert await next_claim(store, NOON, default=9) is None
    (ended,) = job.deliveries
    assert (ended.state, ended.attempt, ended.finished_at) == (DeliveryState.FAILED, LIMIT, NOON)
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.retryable) == (Code.DAEMON_CRASH_LOOP, False)
    assert f"crashed {LIMIT} times while working on this without progress" in ended.failure.message
    assert "push again" in ended.failure.message
    assert ended.failure.message.startswith(ended.destination)
    assert [(one.code, one.attempt) for one in ended.history] == [(ended.failure.code, LIMIT)]


async def test_a_delivery_set_aside_leaves_the_others_of_its_life_alone(lives: Lives) -> None:
    for number in range(LIMIT):
        async with lives.life() as store:
            await claimed(store)
            if number == LIMIT - 1:
                await store.submit(submission("job2"), limit=PLENTY)
                await claimed(store)
    async with lives.life() as store:
        assert store.requeued == 1
        assert (await claimed(store)).job_id == "job2"


async def test_a_crash_uses_up_no_try(lives: Lives) -> None:
    for _ in range(2):
        async with lives.life() as store:
            await claimed(store)
    async with lives.life() as store:
        claim = await claimed(store)
    assert (claim.attempt, claim.tries) == (3, 1)


async def test_an_upload_that_gets_further_in_each_life_goes_on_for_ever(lives: Lives) -> None:
    for number in range(1, LIMIT + 3):
        async with lives.life() as store:
            await stand(store, await planned(store), number * 100)
    assert (await lives.delivery()).state is DeliveryState.QUEUED


async def test_an_upload_that_never_gets_further_than_it_stood_is_no_progress(lives: Lives) -> None:
    async with lives.life() as store:
        await stand(store, await planned(store), 500)
    for offset in (0, *[300] * (LIMIT - 1)):  # lost, begun anew, and no further
        async with lives.life() as store:
            claim = await planned(store)
            await stand(store, claim, offset)
            if offset == 0:
                await stand(store, claim, 300)
    assert (await lives.delivery()).state is DeliveryState.FAILED


async def test_a_crash_before_the_plan_is_not_made_good_by_what_an_earlier_life_did(lives: Lives) -> None:
    async with lives.life() as store:
        claim = await planned(store)
        await stand(store, claim, 500)
        await store.land(claim, (B, TransferResult(state=TransferState.UPLOADED)))
    for _ in range(LIMIT):
        async with lives.life() as store:
            assert (await delivery(store)).state is DeliveryState.QUEUED
            await claimed(store)
    assert (await lives.delivery()).state is DeliveryState.FAILED


async def test_a_planned_upload_that_another_delivery_began_is_no_progress_of_this_one(lives: Lives) -> None:
    async with lives.life() as store:
        claim = await planned(store)
        await stand(store, claim, 500)
        await store.hold(claim, after(9000), THROTTLED)
        await store.submit(submission("job2"), limit=PLENTY)
    for number in range(LIMIT):
        async with lives.life() as store:
            assert (await planned(store)).job_id == "job2", number
    async with lives.life() as store:
        job = await store.get("job2")
        assert job is not None
        assert job.state is JobState.FAILED


@pytest.mark.parametrize("state", [TransferState.UPLOADED, TransferState.MOUNTED])
async def test_a_blob_that_landed_is_progress(lives: Lives, state: TransferState) -> None:
    for _ in range(LIMIT + 1):
        async with lives.life() as store:
            await store.land(await planned(store), (A, TransferResult(state=state)))
    assert (await lives.delivery()).state is DeliveryState.QUEUED


async def test_a_blob_found_there_is_progress_once(lives: Lives) -> None:
    for number in range(LIMIT + 1):
        async with lives.life() as store:
            assert (await delivery(store)).state is DeliveryState.QUEUED, number
            await store.land(await planned(store), (A, TransferResult(state=TransferState.PRESENT)))
    assert (await lives.delivery()).state is DeliveryState.FAILED


async def test_a_blob_that_failed_is_no_progress(lives: Lives) -> None:
    for _ in range(LIMIT):
        async with lives.life() as store:
            await store.land(await planned(store), (A, TransferResult(state=TransferState.FAILED, sent=10)))
    assert (await lives.delivery()).state is DeliveryState.FAILED


async def test_progress_begins_the_count_anew(lives: Lives) -> None:
    for number in range(2 * LIMIT - 1):
        async with lives.life() as store:
            claim = await planned(store)
            if number == LIMIT - 1:
                await store.land(claim, (A, TransferResult(state=TransferState.UPLOADED)))
    assert (await lives.delivery()).state is DeliveryState.QUEUED
    async with lives.life() as store:
        await planned(store)
    assert (await lives.delivery()).state is DeliveryState.FAILED


async def test_a_hold_begins_the_count_anew(lives: Lives) -> None:
    for number in range(2 * LIMIT - 1):
        async with lives.life() as store:
            claim = await claimed(store)
            if number == LIMIT - 1:
                await store.hold(claim, NOON, THROTTLED)
                await claimed(store)
    assert (await lives.delivery()).state is DeliveryState.FAILED
    async with lives.life() as store:
        assert (await delivery(store)).attempt == 2 * LIMIT


async def test_an_ordered_stop_is_no_crash(lives: Lives) -> None:
    for _ in range(5):
        async with lives.life() as store:
            await store.release(await planned(store))
    assert (await lives.delivery()).state is DeliveryState.QUEUED


@pytest.mark.parametrize(("progress", "state"), [(False, DeliveryState.FAILED), (True, DeliveryState.QUEUED)])
async def test_an_ordered_stop_between_crashes_makes_them_good_only_with_progress(
    lives: Lives, progress: bool, state: DeliveryState
) -> None:
    for number in range(LIMIT + 1):
        async with lives.life() as store:
            claim = await planned(store)
            if number == LIMIT - 1:
                if progress:
                    await stand(store, claim, 100)
                await store.release(claim)
    assert (await lives.delivery()).state is state


async def test_a_delivery_that_only_waited_while_others_got_further_is_not_blamed(lives: Lives) -> None:
    async with lives.life() as store:
        await store.submit(submission("job2"), limit=PLENTY)
    for number in range(1, LIMIT + 3):
        async with lives.life() as store:
            await stand(store, await planned(store), number * 100)
            assert (await claimed(store)).job_id == "job2"
    async with lives.life() as store:
        job = await store.get("job2")
        assert job is not None
        assert job.state is JobState.QUEUED


async def test_a_life_in_which_another_delivery_succeeded_is_held_against_nobody(lives: Lives) -> None:
    for _ in range(LIMIT + 1):
        async with lives.life() as store:
            await claimed(store)
            await store.submit(submission(f"job{store.epoch + 1}"), limit=PLENTY)
            await store.finish(await claimed(store), Outcome(state=DeliveryState.SUCCEEDED), NOON)
    assert (await lives.delivery()).state is DeliveryState.QUEUED
