from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RequestError
from pushd.job import DeliveryState, JobState
from pushd.telemetry.events import JOB_SUBMITTED
from tests.unit.store.samples import MANIFEST, NOON, image, submission

if TYPE_CHECKING:
    from pushd.store import Store
    from pushd.telemetry.events import Event


async def test_a_submitted_job_is_given_back_whole(store: Store) -> None:
    destinations = ("registry.test/team/app:1.4", "mirror.test:5000/app:1.4")
    job = await store.submit(submission("job1", *destinations, priority=3, labels={"build": "4711"}))
    assert (job.id, job.state, job.source, job.uid) == ("job1", JobState.QUEUED, "oci:/srv/app:1.4", 1000)
    assert (job.priority, job.labels) == (3, {"build": "4711"})
    assert (job.digest, job.media_type) == (str(image().root.descriptor.digest), MANIFEST)
    assert job.size == image().size
    assert (job.created_at, job.deadline_at) == (NOON, NOON + timedelta(days=1))
    assert job.finished_at is None
    assert tuple(delivery.destination for delivery in job.deliveries) == destinations
    assert {delivery.state for delivery in job.deliveries} == {DeliveryState.QUEUED}
    assert {delivery.attempt for delivery in job.deliveries} == {0}
    assert await store.get("job1") == job


async def test_a_submission_is_told_once_with_its_facts(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1", "registry.test/a:1", "registry.test/b:1"))
    (event,) = published
    assert (event.kind, event.job, event.delivery, event.at, event.seq) == (JOB_SUBMITTED, "job1", None, NOON, 1)
    assert event.fields == {
        "source": "oci:/srv/app:1.4",
        "destinations": 2,
        "size": image().size,
        "digest": str(image().root.descriptor.digest),
        "uid": 1000,
    }


async def test_the_same_request_again_is_the_same_job(store: Store, published: list[Event]) -> None:
    first = await store.submit(submission("job1", idempotency_key="key"))
    again = await store.submit(submission("job2", idempotency_key="key"))
    assert again == first
    assert await store.get("job2") is None
    assert len(published) == 1


async def test_the_same_request_twice_at_once_is_one_job(store: Store) -> None:
    jobs = await asyncio.gather(
        *(store.submit(submission(f"job{number}", idempotency_key="key")) for number in range(5))
    )
    assert {job.id for job in jobs} == {"job0"}
    assert len(await store.list()) == 1


async def test_another_request_under_the_same_key_is_a_conflict_and_writes_nothing(store: Store) -> None:
    await store.submit(submission("job1", idempotency_key="key"))
    with pytest.raises(RequestError) as refused:
        await store.submit(submission("job2", idempotency_key="key", fingerprint=b"another body"))
    assert refused.value.code is Code.REQUEST_CONFLICT
    assert "job1" in refused.value.detail
    assert await store.get("job2") is None


async def test_a_key_belongs_to_who_sent_it(store: Store) -> None:
    mine = await store.submit(submission("job1", uid=1000, idempotency_key="key"))
    theirs = await store.submit(submission("job2", uid=1001, idempotency_key="key", fingerprint=b"another"))
    assert mine.id != theirs.id


async def test_requests_without_a_key_are_never_the_same(store: Store) -> None:
    await store.submit(submission("job1"))
    await store.submit(submission("job2"))
    assert len(await store.list()) == 2


async def test_a_job_that_cannot_be_stored_leaves_nothing(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1"))
    with pytest.raises(Exception, match="UNIQUE constraint failed"):
        await store.submit(submission("job1", idempotency_key="key", of=image("other")))
    assert len(published) == 1
    counts = await store._reads.send(
        lambda connection: [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("jobs", "deliveries", "documents", "manifests", "idempotency_keys", "events")
        ]
    )
    assert counts == [1, 1, 1, 1, 0, 1]
