from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RequestError
from pushd.job import DeliveryState, JobState, Retain, Validate
from pushd.telemetry.events import JOB_SUBMITTED
from pushd.work import JobQuery
from tests.unit.store.samples import MANIFEST, NOON, PLENTY, after, claimed, due, image, next_claim, submission

if TYPE_CHECKING:
    from pushd.store import Store
    from pushd.telemetry.events import Event


async def test_a_submitted_job_is_given_back_whole(store: Store) -> None:
    destinations = ("registry.test/team/app:1.4", "mirror.test:5000/app:1.4")
    job = await store.submit(submission("job1", *destinations, priority=3, labels={"build": "4711"}), limit=PLENTY)
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


async def test_what_is_given_back_is_what_is_read(store: Store) -> None:
    asked = submission(
        "job1",
        *("a.test/app:1", "b.test/app:1"),
        labels={"build": "4711", "team": "web"},
        not_before=after(3600.25),
        if_tag="absent",
        retain=Retain.SPOOL,
        platforms=("linux/amd64", "linux/arm64"),
        validate=Validate.FULL,
        gids=frozenset({7, 3}),
        spool="entry",
    )
    job = await store.submit(asked, limit=PLENTY)
    assert (job.if_tag, job.retain, job.not_before, job.paused_at) == ("absent", Retain.SPOOL, after(3600.25), None)
    assert (job.platforms, job.validate) == (("linux/amd64", "linux/arm64"), Validate.FULL)
    assert await store.get("job1") == job


async def test_a_job_for_later_is_held_until_its_time_for_no_failure(store: Store) -> None:
    job = await store.submit(submission("job1", not_before=after(60)), limit=PLENTY)
    (delivery,) = job.deliveries
    assert (job.state, delivery.state) == (JobState.HELD, DeliveryState.HELD)
    assert (delivery.not_before, delivery.failure) == (after(60), None)
    assert await next_claim(store, after(59), default=1) is None
    assert await due(store, NOON) == after(60)
    claim = await claimed(store, 60)
    assert (claim.job_id, claim.tries) == ("job1", 1)


async def test_a_job_for_a_time_that_has_passed_is_queued(store: Store) -> None:
    job = await store.submit(submission("job1", not_before=after(-60)), limit=PLENTY)
    assert job.state is JobState.QUEUED
    assert (job.not_before, job.deliveries[0].not_before) == (after(-60), None)


async def test_a_user_may_have_so_many_jobs_that_have_not_ended(store: Store, published: list[Event]) -> None:
    for number in range(2):
        await store.submit(submission(f"job{number}"), limit=2)
    with pytest.raises(RequestError) as refused:
        await store.submit(submission("job2"), limit=2)
    assert refused.value.code is Code.REQUEST_LIMIT
    assert await store.get("job2") is None
    assert len(published) == 2
    await store.submit(submission("other", uid=1001), limit=2)
    await store.cancel("job0", NOON)
    await store.submit(submission("job2"), limit=2)


async def test_a_repeated_request_is_answered_at_the_limit_too(store: Store) -> None:
    job = await store.submit(submission("job1", idempotency_key="key"), limit=1)
    assert await store.submit(submission("job2", idempotency_key="key"), limit=1) == job


async def test_what_a_key_was_used_for_can_be_asked_before(store: Store) -> None:
    job = await store.submit(submission("job1", idempotency_key="key"), limit=PLENTY)
    assert await store.repeated(1000, "key", b"body") == job
    assert await store.repeated(1001, "key", b"body") is None
    assert await store.repeated(1000, "another", b"body") is None
    with pytest.raises(RequestError) as refused:
        await store.repeated(1000, "key", b"another body")
    assert refused.value.code is Code.REQUEST_CONFLICT


async def test_a_submission_is_told_once_with_its_facts(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1", "registry.test/a:1", "registry.test/b:1"), limit=PLENTY)
    (event,) = published
    assert (event.kind, event.job, event.delivery, event.at, event.seq) == (JOB_SUBMITTED, "job1", None, NOON, 1)
    assert event.uid == 1000
    assert event.fields == {
        "source": "oci:/srv/app:1.4",
        "destinations": 2,
        "size": image().size,
        "digest": str(image().root.descriptor.digest),
        "uid": 1000,
        "request_id": None,
    }


async def test_the_same_request_again_is_the_same_job(store: Store, published: list[Event]) -> None:
    first = await store.submit(submission("job1", idempotency_key="key"), limit=PLENTY)
    again = await store.submit(submission("job2", idempotency_key="key"), limit=PLENTY)
    assert again == first
    assert await store.get("job2") is None
    assert len(published) == 1


async def test_the_same_request_twice_at_once_is_one_job(store: Store) -> None:
    jobs = await asyncio.gather(
        *(store.submit(submission(f"job{number}", idempotency_key="key"), limit=PLENTY) for number in range(5))
    )
    assert {job.id for job in jobs} == {"job0"}
    assert len(await store.list(JobQuery())) == 1


async def test_another_request_under_the_same_key_is_a_conflict_and_writes_nothing(store: Store) -> None:
    await store.submit(submission("job1", idempotency_key="key"), limit=PLENTY)
    with pytest.raises(RequestError) as refused:
        await store.submit(submission("job2", idempotency_key="key", fingerprint=b"another body"), limit=PLENTY)
    assert refused.value.code is Code.REQUEST_CONFLICT
    assert "job1" in refused.value.detail
    assert await store.get("job2") is None


async def test_a_key_belongs_to_who_sent_it(store: Store) -> None:
    mine = await store.submit(submission("job1", uid=1000, idempotency_key="key"), limit=PLENTY)
    theirs = await store.submit(
        submission("job2", uid=1001, idempotency_key="key", fingerprint=b"another"), limit=PLENTY
    )
    assert mine.id != theirs.id


async def test_requests_without_a_key_are_never_the_same(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.submit(submission("job2"), limit=PLENTY)
    assert len(await store.list(JobQuery())) == 2


async def test_a_job_that_cannot_be_stored_leaves_nothing(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    with pytest.raises(Exception, match="UNIQUE constraint failed"):
        await store.submit(submission("job1", idempotency_key="key", of=image("other")), limit=PLENTY)
    assert len(published) == 1
    counts = await store._reads.send(
        lambda connection: [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("jobs", "deliveries", "documents", "manifests", "idempotency_keys", "events")
        ]
    )
    assert counts == [1, 1, 1, 1, 0, 1]
