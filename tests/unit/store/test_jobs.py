from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RequestError
from pushd.job import JobState, TransferState
from pushd.store.jobs import transfer_state
from tests.unit.store.samples import FAILED, NOON, THROTTLED, after, image, submission, succeeded

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
        await store.submit(submission(f"job{number}"))
    first = await store.list(limit=2)
    assert ids(first) == ["job4", "job3"]
    second = await store.list(limit=2, after=first[-1].id)
    assert ids(second) == ["job2", "job1"]
    assert ids(await store.list(limit=2, after="job1")) == ["job0"]
    assert ids(await store.list(limit=2, after="job0")) == []


async def test_a_page_after_a_job_nobody_knows_is_refused(store: Store) -> None:
    with pytest.raises(RequestError) as refused:
        await store.list(after="nobody")
    assert refused.value.code is Code.REQUEST_NOT_FOUND


async def test_jobs_are_listed_by_state_and_by_submitter(store: Store) -> None:
    await store.submit(submission("job0", uid=1))
    await store.submit(submission("job1", uid=2))
    await store.submit(submission("job2", uid=1))
    claim = await store.claim(NOON, free={}, default=1)
    assert claim is not None
    assert ids(await store.list(states=[JobState.RUNNING])) == ["job0"]
    assert ids(await store.list(states=[JobState.RUNNING, JobState.QUEUED])) == ["job2", "job1", "job0"]
    assert ids(await store.list(uid=1)) == ["job2", "job0"]
    assert ids(await store.list(states=[JobState.QUEUED], uid=1)) == ["job2"]
    assert ids(await store.list(states=[JobState.QUEUED], after="job2")) == ["job1"]
    assert ids(await store.list(states=[JobState.FAILED])) == []


async def test_a_list_has_the_deliveries_and_not_their_transfers(store: Store) -> None:
    await store.submit(submission("job1", "registry.test/a:1", "registry.test/b:1"))
    claim = await store.claim(NOON, free={}, default=1)
    assert claim is not None
    await store.plan(claim, credential="anonymous", repository="a", blobs=image().blobs, manifests=1)
    (listed,) = await store.list()
    assert [delivery.destination for delivery in listed.deliveries] == ["registry.test/a:1", "registry.test/b:1"]
    assert [delivery.transfers for delivery in listed.deliveries] == [(), ()]
    job = await store.get("job1")
    assert job is not None
    assert [len(delivery.transfers) for delivery in job.deliveries] == [3, 0]


async def test_listing_by_state_searches_the_index(store: Store) -> None:
    from pushd.store.jobs import _PAGE_OF_STATES  # noqa: PLC0415 (looks behind the door)

    plan = await store._reads.send(
        lambda connection: [
            row["detail"]
            for row in connection.execute(
                f"EXPLAIN QUERY PLAN {_PAGE_OF_STATES}",
                {"states": '["running"]', "before": None, "uid": None, "limit": 5},
            )
        ]
    )
    assert any("SEARCH jobs USING INDEX jobs_by_state" in step for step in plan)


async def test_the_queue_is_counted_by_state_and_forgets_what_ended(store: Store) -> None:
    assert await store.queue() == {"queued": 0, "running": 0, "held": 0}
    await store.submit(submission("job1", *(f"registry.test/{name}:1" for name in "abcde")))
    claims = [await store.claim(NOON, free={}, default=1) for _ in range(4)]
    first, second, third, _ = claims
    assert first is not None
    assert second is not None
    assert third is not None
    await store.hold(first, after(60), THROTTLED)
    await store.finish(second, FAILED, NOON)
    await store.finish(third, succeeded(), NOON)
    assert await store.queue() == {"queued": 1, "running": 1, "held": 1}


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
