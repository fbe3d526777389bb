from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.job import Failure, Try
from pushd.work import JobQuery, Outcome
from tests.unit.store.samples import (
    CANCELLED,
    FAILED,
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
    from pushd.store import Store
    from tests.unit.store.samples import Clock


async def history(store: Store, *, position: int = 0) -> tuple[Try, ...]:
    job = await store.get("job1")
    assert job is not None
    return job.deliveries[position].history


async def test_each_hold_and_the_failure_at_the_end_are_kept_newest_last(store: Store, clock: Clock) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    assert await history(store) == ()
    claim = await claimed(store)
    clock.pass_time(5)
    await store.hold(claim, after(10), THROTTLED)
    held = Try(at=after(5), attempt=1, code=THROTTLED.code, message=THROTTLED.message)
    assert await history(store) == (held,)
    await store.finish(await claimed(store, 10), FAILED, after(12))
    failed = Try(at=after(12), attempt=2, code=REFUSED.code, message=REFUSED.message)
    assert await history(store) == (held, failed)


async def test_success_and_cancellation_add_nothing_and_take_nothing(store: Store) -> None:
    await store.submit(submission("job1", "registry.test/a:1", "registry.test/b:1"), limit=PLENTY)
    for position, outcome in enumerate((succeeded(), CANCELLED)):
        await store.hold(await claimed(store), NOON, THROTTLED)
        await store.finish(await claimed(store), outcome, NOON)
        assert [one.code for one in await history(store, position=position)] == [THROTTLED.code]


async def test_the_last_twenty_are_kept(store: Store) -> None:
    await store.submit(submission("job1", "registry.test/a:1", "registry.test/b:1"), limit=PLENTY)
    for number in range(1, 24):
        reason = Failure(code="registry.unavailable", message=f"answer {number}", retryable=True)
        await store.hold(await claimed(store), NOON, reason)
    assert [one.message for one in await history(store)] == [f"answer {number}" for number in range(4, 24)]
    assert await history(store, position=1) == ()


async def test_an_end_without_a_reason_has_no_place_in_it(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.finish(await claimed(store), Outcome(state=FAILED.state), NOON)
    assert await history(store) == ()


async def test_lists_leave_it_out(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.finish(await claimed(store), FAILED, NOON)
    (listed,) = await store.list(JobQuery())
    assert listed.deliveries[0].history == ()
    assert len(await history(store)) == 1
