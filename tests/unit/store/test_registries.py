from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.job import TransferState
from pushd.store import open_store, registries
from pushd.telemetry.events import REGISTRY_PAUSED, REGISTRY_RESUMED
from pushd.work import Retention, TransferResult
from tests.unit.store.samples import NOON, PLENTY, after, blob, claimed, next_claim, submission

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from pushd.store import Store
    from pushd.telemetry.events import Event


async def test_a_paused_registry_says_since_when_and_names_what_runs(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1", "a.test/app:1", "b.test/app:1"), limit=PLENTY)
    running = [await next_claim(store, NOON, default=1) for _ in range(2)]
    assert running[0] is not None
    assert await store.pause_registry("a.test", after(5), by=7) == (running[0].delivery_id,)
    assert await store.paused_registries() == {"a.test": after(5)}
    event = published[-1]
    assert (event.kind, event.at, event.job, event.uid) == (REGISTRY_PAUSED, after(5), None, None)
    assert event.fields == {"registry": "a.test", "by": 7}


async def test_pausing_a_registry_again_changes_nothing(store: Store, published: list[Event]) -> None:
    await store.pause_registry("a.test", after(5), by=7)
    assert await store.pause_registry("a.test", after(9), by=8) == ()
    assert await store.paused_registries() == {"a.test": after(5)}
    assert len(published) == 1


async def test_a_resumed_registry_is_told_once(store: Store, published: list[Event]) -> None:
    await store.resume_registry("a.test", after(1), by=7)
    assert published == []
    await store.pause_registry("a.test", after(5), by=7)
    await store.resume_registry("a.test", after(6), by=8)
    await store.resume_registry("a.test", after(7), by=8)
    assert await store.paused_registries() == {}
    assert [event.kind for event in published] == [REGISTRY_PAUSED, REGISTRY_RESUMED]
    assert published[-1].fields == {"registry": "a.test", "by": 8}


async def test_what_is_released_to_a_paused_registry_is_queued_and_not_claimed(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    claim = await claimed(store)
    await store.pause_registry("registry.test", NOON, by=7)
    await store.release(claim)
    assert (await store.queue())["registry.test"]["queued"] == 1
    assert await next_claim(store, NOON, default=1) is None


async def test_a_registry_stays_paused_over_the_lives_of_the_daemon(store: Store, tmp_path: Path) -> None:
    await store.pause_registry("a.test", after(5), by=7)
    await store.close()
    second = await open_store(tmp_path / "state", publish=lambda _: None)
    assert await second.paused_registries() == {"a.test": after(5)}
    await second.close()


async def test_a_registry_once_met_stays_so_when_all_that_went_there_is_gone(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    claim = await claimed(store)
    await store.plan(claim, credential="c", repository="team/app", blobs=[], manifests=1)
    assert not await store.met("registry.test")  # with nothing to send nothing was asked that only an upload asks
    await store.plan(claim, credential="c", repository="team/app", blobs=[blob("a")], manifests=1)
    assert await store.met("registry.test")
    await store.land(claim, (blob("a"), TransferResult(state=TransferState.UPLOADED)))
    await store.release(claim)
    await store.cancel("job1", NOON)
    await store.prune(after(1e9), Retention(job_age=1, job_count=0, event_age=1, event_count=0))
    assert await store.get("job1") is None
    assert await store.met("registry.test")


async def test_what_waits_for_a_registry_is_cancelled_a_bite_at_a_time_and_nothing_else_is(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registries, "_BITE", 2)
    await store.submit(submission("running", "a.test/app:0"), limit=PLENTY)
    running = await claimed(store)
    for number in range(3):
        await store.submit(submission(f"job{number}", f"a.test/app:{number}", "b.test/app:1"), limit=PLENTY)

    bites = [await store.cancel_registry("a.test", after(5)) for _ in range(3)]

    assert bites == [(ended, (running.delivery_id,), ()) for ended in (2, 1, 0)]
    for number in range(3):
        job = await store.get(f"job{number}")
        assert job is not None
        assert [delivery.state.value for delivery in job.deliveries] == ["cancelled", "queued"]


async def test_what_waits_is_cancelled_in_the_order_of_an_index_of_what_has_not_ended(store: Store) -> None:
    plan = await store._reads.send(
        lambda connection: [
            row["detail"]
            for row in connection.execute(f"EXPLAIN QUERY PLAN {registries._WAITING}", ("registry.test", 500))
        ]
    )
    assert plan == ["SEARCH deliveries USING INDEX deliveries_open (registry=?)"]
