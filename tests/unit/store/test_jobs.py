from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RequestError
from pushd.job import JobState, TransferState
from pushd.store import jobs
from pushd.store.jobs import transfer_state
from pushd.work import JobQuery, Late
from tests.unit.store.samples import (
    FAILED,
    NOON,
    PLENTY,
    THROTTLED,
    after,
    claimed,
    image,
    next_claim,
    submission,
    succeeded,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.job import Job
    from pushd.store import Store


def ids(jobs: Sequence[Job]) -> list[str]:
    return [job.id for job in jobs]


async def test_a_job_nobody_knows_is_none(store: Store) -> None:
    assert await store.get("nobody") is None


async def test_jobs_are_listed_newest_first_in_pages(store: Store) -> None:
    for number in range(5):
        await store.submit(submission(f"job{number}"), limit=PLENTY)
    first = await store.list(JobQuery(limit=2))
    assert ids(first) == ["job4", "job3"]
    second = await store.list(JobQuery(limit=2, after=first[-1].id))
    assert ids(second) == ["job2", "job1"]
    assert ids(await store.list(JobQuery(limit=2, after="job1"))) == ["job0"]
    assert ids(await store.list(JobQuery(limit=2, after="job0"))) == []


async def test_a_page_after_a_job_nobody_knows_is_refused(store: Store) -> None:
    with pytest.raises(RequestError) as refused:
        await store.list(JobQuery(after="nobody"))
    assert refused.value.code is Code.REQUEST_NOT_FOUND


async def test_jobs_are_listed_by_state_and_by_submitter(store: Store) -> None:
    await store.submit(submission("job0", uid=1), limit=PLENTY)
    await store.submit(submission("job1", uid=2), limit=PLENTY)
    await store.submit(submission("job2", uid=1), limit=PLENTY)
    await claimed(store)
    assert ids(await store.list(JobQuery(states=[JobState.RUNNING]))) == ["job0"]
    assert ids(await store.list(JobQuery(states=[JobState.RUNNING, JobState.QUEUED]))) == ["job2", "job1", "job0"]
    assert ids(await store.list(JobQuery(uid=1))) == ["job2", "job0"]
    assert ids(await store.list(JobQuery(states=[JobState.QUEUED], uid=1))) == ["job2"]
    assert ids(await store.list(JobQuery(states=[JobState.QUEUED], after="job2"))) == ["job1"]
    assert ids(await store.list(JobQuery(states=[JobState.FAILED]))) == []


async def test_a_list_has_the_deliveries_and_not_their_transfers(store: Store) -> None:
    await store.submit(submission("job1", "registry.test/a:1", "registry.test/b:1"), limit=PLENTY)
    claim = await claimed(store)
    await store.plan(claim, credential="anonymous", repository="a", blobs=image().blobs, manifests=1)
    (listed,) = await store.list(JobQuery())
    assert [delivery.destination for delivery in listed.deliveries] == ["registry.test/a:1", "registry.test/b:1"]
    assert [delivery.transfers for delivery in listed.deliveries] == [(), ()]
    job = await store.get("job1")
    assert job is not None
    assert [len(delivery.transfers) for delivery in job.deliveries] == [3, 0]


async def test_a_page_after_somebody_elses_job_is_refused_as_one_nobody_knows(store: Store) -> None:
    await store.submit(submission("job1", uid=1), limit=PLENTY)
    with pytest.raises(RequestError) as refused:
        await store.list(JobQuery(after="job1", uid=2))
    assert refused.value.code is Code.REQUEST_NOT_FOUND
    assert await store.list(JobQuery(after="job1", uid=1)) == ()


async def test_the_queue_is_counted_by_state_and_forgets_what_ended(store: Store) -> None:
    assert await store.queue() == {}
    await store.submit(submission("job1", *(f"registry.test/{name}:1" for name in "abcde")), limit=PLENTY)
    claims = [await next_claim(store, NOON, default=1) for _ in range(4)]
    first, second, third, _ = claims
    assert first is not None
    assert second is not None
    assert third is not None
    await store.hold(first, after(60), THROTTLED)
    await store.finish(second, FAILED, NOON)
    await store.finish(third, succeeded(), NOON)
    assert await store.queue() == {"registry.test": {"queued": 1, "running": 1, "held": 1, "paused": 0}}


async def test_the_queue_is_counted_by_registry_and_for_one_user(store: Store) -> None:
    await store.submit(submission("job1", "a.test/app:1", "b.test/app:1", uid=1), limit=PLENTY)
    await store.submit(submission("job2", "b.test/app:1", uid=2), limit=PLENTY)
    await store.pause("job2", NOON, by=0)
    idle = {"queued": 0, "running": 0, "held": 0, "paused": 0}
    assert await store.queue() == {"a.test": {**idle, "queued": 1}, "b.test": {**idle, "queued": 1, "paused": 1}}
    assert await store.queue(1) == {"a.test": {**idle, "queued": 1}, "b.test": {**idle, "queued": 1}}
    assert await store.queue(2) == {"b.test": {**idle, "paused": 1}}
    assert await store.queue(3) == {}


async def test_the_oldest_job_is_the_first_submitted_that_has_not_ended(store: Store) -> None:
    assert await store.oldest() is None
    for number in range(4):
        await store.submit(submission(f"job{number}", uid=number % 2, at=after(number)), limit=PLENTY)
    await store.cancel("job0", after(9))
    await store.pause("job1", after(9), by=0)
    assert await store.oldest() == after(1)
    assert (await store.oldest(0), await store.oldest(1), await store.oldest(2)) == (after(2), after(1), None)


async def test_the_spool_entries_jobs_need_are_those_of_jobs_that_have_not_ended(store: Store) -> None:
    for number in range(3):
        await store.submit(submission(f"job{number}", spool=f"entry{number}"), limit=PLENTY)
    await store.submit(submission("job3"), limit=PLENTY)
    await store.cancel("job1", NOON)
    await store.pause("job2", NOON, by=0)
    assert await store.spooled() == {"entry0", "entry2"}
    assert await store.unneeded(["entry0", "entry1", "entry2", "not yet"]) == {"entry1"}


async def test_a_spool_entry_two_jobs_need_is_needed_until_both_have_ended(store: Store) -> None:
    for number in range(2):
        await store.submit(submission(f"job{number}", spool="entry"), limit=PLENTY)
    await store.cancel("job0", NOON)
    assert (await store.spooled(), await store.unneeded(["entry"])) == ({"entry"}, set())
    await store.cancel("job1", NOON)
    assert (await store.spooled(), await store.unneeded(["entry"])) == (set(), {"entry"})


async def test_spool_entries_are_searched_for(store: Store) -> None:
    plans = await store._reads.send(
        lambda connection: [
            row["detail"]
            for sql, values in ((jobs._SPOOLED, ()), (jobs._UNNEEDED, ("[]",)))
            for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)
        ]
    )
    assert "SCAN jobs" not in plans
    named = [step for step in plans if "jobs" in step or "living" in step]
    assert all("jobs_spooled" in step or "jobs_by_spool" in step for step in named), named


@pytest.mark.parametrize(
    ("stored", "begun", "delivering", "shown"),
    [
        (TransferState.PENDING, False, True, TransferState.PENDING),
        (TransferState.PENDING, True, True, TransferState.RUNNING),
        (TransferState.PENDING, True, False, TransferState.PENDING),
        (TransferState.UPLOADED, False, True, TransferState.UPLOADED),
        (TransferState.PRESENT, True, True, TransferState.PRESENT),
        (TransferState.FAILED, True, True, TransferState.FAILED),
    ],
)
def test_a_transfer_runs_when_its_upload_has_begun_and_its_delivery_runs(
    stored: TransferState, begun: bool, delivering: bool, shown: TransferState
) -> None:
    assert transfer_state(stored, begun=begun, delivering=delivering) is shown


# -------------------------------------------------------------------------------------------------- what waits for long


async def test_where_no_job_waits_for_long_there_is_none(store: Store) -> None:
    assert await store.late(NOON) is None
    await store.submit(submission("job1"), limit=PLENTY)
    assert await store.late(after(-1)) is None


async def test_the_job_that_waits_longest_is_given_with_how_many_wait(store: Store) -> None:
    for number in (3, 1, 2):
        await store.submit(submission(f"job{number}", at=after(number)), limit=PLENTY)
    assert await store.late(after(2)) == Late(oldest="job1", since=after(1), jobs=2)
    assert await store.late(after(9)) == Late(oldest="job1", since=after(1), jobs=3)


async def test_a_job_that_was_asked_to_wait_or_has_ended_does_not_wait_for_long(store: Store) -> None:
    await store.submit(submission("later", not_before=after(50)), limit=PLENTY)
    await store.submit(submission("paused"), limit=PLENTY)
    await store.pause("paused", NOON, by=0)
    await store.submit(submission("ended"), limit=PLENTY)
    await store.cancel("ended", NOON)
    assert await store.late(after(49)) is None
    assert await store.late(after(51)) == Late(oldest="later", since=after(50), jobs=1)
    await store.resume("paused", after(60), by=0)
    assert await store.late(after(60)) == Late(oldest="paused", since=NOON, jobs=2)


async def test_what_waits_for_long_is_found_at_the_beginning_of_an_index(store: Store) -> None:
    plan = await store._reads.send(
        lambda connection: [
            row["detail"]
            for sql in (jobs._LATE, jobs._LATE_COUNT)
            for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", (0,))
        ]
    )
    assert plan == ["SEARCH jobs USING INDEX jobs_by_wait (<expr><?)"] * 2
