from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RequestError
from pushd.job import DeliveryState, JobState, TransferState
from pushd.telemetry.events import (
    DELIVERY_CANCELLED,
    DELIVERY_FAILED,
    DELIVERY_HELD,
    DELIVERY_SUCCEEDED,
    DELIVERY_SUPERSEDED,
    JOB_FINISHED,
)
from pushd.work import Outcome, TransferResult
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
    image,
    next_claim,
    submission,
    succeeded,
)

if TYPE_CHECKING:
    from pushd.job import Job
    from pushd.store import Store
    from pushd.telemetry.events import Event
    from pushd.work import Claim
    from tests.unit.store.samples import Clock


async def begun(store: Store, *destinations: str) -> Claim:
    await store.submit(submission("job1", *destinations), limit=PLENTY)
    return await claimed(store)


async def job1(store: Store) -> Job:
    job = await store.get("job1")
    assert job is not None
    return job


def told(published: list[Event], *kinds: object) -> list[Event]:
    return [event for event in published if event.kind in kinds]


async def test_a_held_delivery_says_until_when_and_why(store: Store, published: list[Event], clock: Clock) -> None:
    claim = await begun(store)
    clock.pass_time(2)
    await store.hold(claim, after(60), THROTTLED)
    (delivery,) = (await job1(store)).deliveries
    assert (delivery.state, delivery.not_before, delivery.failure) == (DeliveryState.HELD, after(60), THROTTLED)
    assert (await job1(store)).state is JobState.HELD
    (event,) = told(published, DELIVERY_HELD)
    assert (event.at, event.job, event.delivery) == (after(2), "job1", claim.delivery_id)
    assert event.fields == {
        "destination": claim.destination,
        "registry": "registry.test",
        "attempt": 1,
        "until": "2026-07-01T12:01:00.000Z",
        "code": THROTTLED.code,
        "reason": THROTTLED.message,
    }


async def test_a_delivery_that_succeeded_tells_what_it_took(store: Store, published: list[Event], clock: Clock) -> None:
    claim = await begun(store)
    blobs = image().blobs
    await store.plan(claim, credential="anonymous", repository="team/app", blobs=blobs, manifests=1)
    brought = TransferResult(state=TransferState.UPLOADED, sent=25, resumed=5, interruptions=2)
    await store.land(claim, (blobs[0], brought))
    await store.land(claim, (blobs[1], TransferResult(state=TransferState.PRESENT)))
    await store.land(claim, (blobs[2], TransferResult(state=TransferState.MOUNTED)))
    await store.finish(claim, succeeded(), clock.pass_time(9.5))
    (delivery,) = (await job1(store)).deliveries
    assert (delivery.state, delivery.finished_at) == (DeliveryState.SUCCEEDED, after(9.5))
    assert delivery.digest == str(image().root.descriptor.digest)
    (event,) = told(published, DELIVERY_SUCCEEDED)
    assert (event.at, event.job, event.delivery) == (after(9.5), "job1", claim.delivery_id)
    assert event.fields == {
        "destination": claim.destination,
        "registry": "registry.test",
        "digest": delivery.digest,
        "attempt": 1,
        "retries": 0,
        "seconds": 9.5,
        "size": sum(blob.size for blob in blobs),
        "sent": 25,
        "resumed": 5,
        "interruptions": 2,
        "uploaded": 1,
        "mounted": 1,
        "present": 1,
        "uid": 1000,
        "credential": "auto",
    }
    (event,) = told(published, JOB_FINISHED)
    assert event.fields == {
        "state": "succeeded",
        "seconds": 9.5,
        "source": "oci:/srv/app:1.4",
        "succeeded": 1,
        "superseded": 0,
        "failed": 0,
        "cancelled": 0,
        "size": image().size,
        "digest": delivery.digest,
        "uid": 1000,
        "sent": 25,
        "resumed": 5,
        "retries": 0,
        "interruptions": 2,
        "uploaded": 1,
        "mounted": 1,
        "present": 1,
    }
    assert event.fields.keys() == JOB_FINISHED.fields


async def test_bytes_sent_count_over_all_attempts(store: Store, published: list[Event]) -> None:
    claim = await begun(store)
    first = image().blobs[0]
    await store.plan(claim, credential="anonymous", repository="team/app", blobs=[first], manifests=1)
    await store.land(claim, (first, TransferResult(state=TransferState.FAILED, sent=7)))
    await store.land(claim, (first, TransferResult(state=TransferState.FAILED, sent=10)))
    await store.hold(claim, after(10), THROTTLED)
    claim = await claimed(store, 10)
    await store.plan(claim, credential="anonymous", repository="team/app", blobs=[first], manifests=1)
    await store.land(claim, (first, TransferResult(state=TransferState.UPLOADED, sent=20)))
    await store.finish(claim, succeeded(), after(20))
    (event,) = told(published, DELIVERY_SUCCEEDED)
    assert (event.fields["sent"], event.fields["seconds"], event.fields["attempt"]) == (30, 20.0, 2)
    assert event.fields["retries"] == 1
    (event,) = told(published, JOB_FINISHED)
    assert (event.fields["sent"], event.fields["retries"]) == (30, 1)


async def test_a_delivery_that_failed_says_why(store: Store, published: list[Event]) -> None:
    claim = await begun(store)
    await store.finish(claim, FAILED, after(3))
    (delivery,) = (await job1(store)).deliveries
    assert (delivery.state, delivery.failure, delivery.digest) == (DeliveryState.FAILED, REFUSED, None)
    (event,) = told(published, DELIVERY_FAILED)
    assert (event.fields["code"], event.fields["reason"]) == (REFUSED.code, REFUSED.message)


async def test_the_last_delivery_ends_the_job_in_the_same_breath(store: Store, published: list[Event]) -> None:
    first = await begun(store, "registry.test/a:1", "registry.test/b:1")
    second = await claimed(store)
    await store.finish(first, succeeded(), after(5))
    assert (await job1(store)).state is JobState.RUNNING
    assert told(published, JOB_FINISHED) == []
    await store.finish(second, FAILED, after(8))
    job = await job1(store)
    assert (job.state, job.finished_at) == (JobState.PARTIAL, after(8))
    (event,) = told(published, JOB_FINISHED)
    assert event is published[-1]
    assert (event.at, event.job, event.delivery) == (after(8), "job1", None)
    assert (event.fields["state"], event.fields["seconds"]) == ("partial", 8.0)
    assert [event.fields[state] for state in ("succeeded", "superseded", "failed", "cancelled")] == [1, 0, 1, 0]
    assert (event.fields["size"], event.fields["digest"]) == (job.size, job.digest)


async def test_a_delivery_that_a_newer_job_got_ahead_of_ends_superseded(store: Store, published: list[Event]) -> None:
    claim = await begun(store)
    await store.finish(claim, SUPERSEDED, after(3))
    job = await job1(store)
    (delivery,) = job.deliveries
    assert (job.state, job.finished_at) == (JobState.SUPERSEDED, after(3))
    assert (delivery.state, delivery.failure, delivery.history) == (DeliveryState.SUPERSEDED, None, ())
    superseded, finished = published[-2:]
    assert (superseded.kind, superseded.delivery) == (DELIVERY_SUPERSEDED, claim.delivery_id)
    assert superseded.kind.fields == superseded.fields.keys()
    assert (superseded.fields["attempt"], superseded.fields["seconds"]) == (1, 3.0)
    assert (finished.kind, finished.fields["state"], finished.fields["superseded"]) == (JOB_FINISHED, "superseded", 1)


async def test_an_outcome_that_ends_nothing_is_a_defect_and_writes_nothing(store: Store) -> None:
    claim = await begun(store)
    with pytest.raises(ValueError, match="held"):
        await store.finish(claim, Outcome(state=DeliveryState.HELD), NOON)
    assert (await job1(store)).state is JobState.RUNNING


async def test_a_clock_set_back_gives_no_negative_times(store: Store, published: list[Event]) -> None:
    claim = await begun(store)
    await store.finish(claim, succeeded(), after(-100))
    assert told(published, DELIVERY_SUCCEEDED)[0].fields["seconds"] == 0.0
    assert told(published, JOB_FINISHED)[0].fields["seconds"] == 0.0


async def test_cancelling_ends_what_waits_and_names_what_runs(store: Store, published: list[Event]) -> None:
    held = await begun(store, "registry.test/a:1", "registry.test/b:1", "registry.test/c:1")
    await store.hold(held, after(60), THROTTLED)
    running = await claimed(store)
    assert await store.cancel("job1", after(9)) == (running.delivery_id,)
    job = await job1(store)
    assert [delivery.state for delivery in job.deliveries] == [
        DeliveryState.CANCELLED,
        DeliveryState.RUNNING,
        DeliveryState.CANCELLED,
    ]
    assert (job.deliveries[0].not_before, job.deliveries[0].failure) == (None, None)
    assert job.state is JobState.RUNNING
    first, second = told(published, DELIVERY_CANCELLED)
    for event, destination, attempt, lasted in (first, "a", 1, 9.0), (second, "c", 0, 0.0):
        assert event.fields["destination"] == f"registry.test/{destination}:1"
        assert (event.fields["attempt"], event.fields["seconds"]) == (attempt, lasted)
    await store.finish(running, CANCELLED, after(10))
    assert (await job1(store)).state is JobState.CANCELLED
    assert len(told(published, JOB_FINISHED)) == 1


async def test_cancelling_a_job_that_only_waits_ends_it(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1", "registry.test/a:1", "registry.test/b:1"), limit=PLENTY)
    assert await store.cancel("job1", after(1)) == ()
    assert (await job1(store)).state is JobState.CANCELLED
    assert [event.kind for event in published[1:]] == [DELIVERY_CANCELLED, DELIVERY_CANCELLED, JOB_FINISHED]
    assert await next_claim(store, after(2), default=1) is None


async def test_cancelling_again_changes_nothing(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.cancel("job1", after(1))
    before = await job1(store)
    count = len(published)
    assert await store.cancel("job1", after(2)) == ()
    assert await job1(store) == before
    assert len(published) == count


async def test_cancelling_a_job_nobody_knows_is_not_found(store: Store) -> None:
    with pytest.raises(RequestError) as refused:
        await store.cancel("nobody", NOON)
    assert refused.value.code is Code.REQUEST_NOT_FOUND
