from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, StoreError
from pushd.job import DeliveryState, JobState
from pushd.principal import User
from pushd.store import claims
from pushd.store.claims import Head, first
from pushd.store.control import cancel
from pushd.store.opening import open_database
from pushd.store.submission import submit
from pushd.store.transaction import Transaction
from pushd.telemetry.events import DELIVERY_REQUEUED, DELIVERY_STARTED
from tests.unit.store.samples import (
    FAILED,
    NOON,
    PLENTY,
    THROTTLED,
    after,
    blob,
    due,
    next_claim,
    submission,
    succeeded,
    transfer_key,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pushd.store import Store
    from pushd.telemetry.events import Event
    from pushd.work import Claim


async def claimed(store: Store, at: float = 0.0, default: int = 9, **free: int) -> Claim:
    claim = await next_claim(store, after(at), free=free, default=default)
    assert claim is not None
    return claim


async def test_an_empty_queue_gives_nothing(store: Store, published: list[Event]) -> None:
    assert await next_claim(store, NOON, default=1) is None
    assert published == []


async def test_a_claim_carries_what_the_engine_needs(store: Store) -> None:
    job = await store.submit(submission("job1", "mirror.test:5000/app:1.4", uid=7), limit=PLENTY)
    claim = await claimed(store)
    assert (claim.job_id, claim.delivery_id) == ("job1", job.deliveries[0].id)
    assert (claim.source, claim.destination) == ("oci:/srv/app:1.4", "mirror.test:5000/app:1.4")
    assert (claim.registry, claim.uid) == ("mirror.test:5000", 7)
    assert (claim.attempt, claim.epoch) == (1, store.epoch)
    assert claim.deadline_at == NOON + timedelta(days=1)


async def test_a_claimed_delivery_runs_and_is_not_claimed_again(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    claim = await claimed(store, 5)
    assert await next_claim(store, NOON, default=1) is None
    job = await store.get("job1")
    assert job is not None
    (delivery,) = job.deliveries
    assert job.state is JobState.RUNNING
    assert (delivery.state, delivery.attempt) == (DeliveryState.RUNNING, 1)
    assert delivery.started_at == after(5)
    started = published[-1]
    assert (started.kind, started.job, started.delivery) == (DELIVERY_STARTED, "job1", claim.delivery_id)
    assert started.at == after(5)
    assert started.fields == {"destination": claim.destination, "registry": "registry.test", "attempt": 1}


async def test_larger_priority_goes_first_then_the_older(store: Store) -> None:
    await store.submit(submission("low", priority=-1), limit=PLENTY)
    await store.submit(submission("old"), limit=PLENTY)
    await store.submit(submission("new"), limit=PLENTY)
    await store.submit(submission("urgent", "other.test/app:1", priority=5), limit=PLENTY)
    order = [(await claimed(store)).job_id for _ in range(4)]
    assert order == ["urgent", "old", "new", "low"]


async def test_a_claim_carries_whose_rights_and_whose_bytes(store: Store) -> None:
    asked = submission("job1", gids=frozenset({100, 7}), administrator=True, spool="entry", if_tag="absent")
    await store.submit(asked, limit=PLENTY)
    claim = await claimed(store)
    assert (claim.gids, claim.spool, claim.if_tag) == (frozenset({7, 100}), "entry", "absent")
    assert claim.asker.user == User(uid=1000, gids=frozenset({7, 100}), administrator=True)
    await store.submit(submission("job2"), limit=PLENTY)
    claim = await claimed(store)
    assert (claim.gids, claim.spool, claim.if_tag) == (frozenset(), None, None)
    assert not claim.asker.user.administrator


async def test_users_take_turns_inside_a_priority(store: Store) -> None:
    for number in range(4):
        await store.submit(submission(f"a{number}", uid=1), limit=PLENTY)
    await store.submit(submission("b0", uid=2), limit=PLENTY)
    await store.submit(submission("b1", "other.test/app:1", uid=2), limit=PLENTY)
    await store.submit(submission("c0", uid=3, priority=-1), limit=PLENTY)
    await store.submit(submission("b2", uid=2, priority=1), limit=PLENTY)
    order = [(await claimed(store)).job_id for _ in range(8)]
    assert order == ["b2", "a0", "b0", "a1", "b1", "a2", "a3", "c0"]


async def test_who_comes_late_to_a_long_queue_is_next(store: Store) -> None:
    for number in range(5):
        await store.submit(submission(f"a{number}", uid=1), limit=PLENTY)
    assert [(await claimed(store)).job_id for _ in range(2)] == ["a0", "a1"]
    await store.submit(submission("b0", uid=2), limit=PLENTY)
    assert [(await claimed(store)).job_id for _ in range(2)] == ["b0", "a2"]


async def test_what_goes_to_a_paused_registry_is_passed_over(store: Store) -> None:
    await store.submit(submission("job1", "paused.test/app:1", priority=9), limit=PLENTY)
    await store.submit(submission("job2", "other.test/app:1"), limit=PLENTY)
    await store.pause_registry("paused.test", NOON, by=0)
    assert (await claimed(store)).job_id == "job2"
    assert await next_claim(store, NOON, free={"paused.test": 5}, default=5) is None
    await store.resume_registry("paused.test", NOON, by=0)
    assert (await claimed(store)).job_id == "job1"


async def test_a_registry_with_no_place_left_holds_up_only_its_own(store: Store) -> None:
    await store.submit(submission("job1", "busy.test/app:1", priority=9), limit=PLENTY)
    await store.submit(submission("job2", "idle.test/app:1"), limit=PLENTY)
    claim = await next_claim(store, NOON, free={"busy.test": 0}, default=1)
    assert claim is not None
    assert claim.job_id == "job2"
    assert await next_claim(store, NOON, free={"busy.test": 0}, default=1) is None
    assert await next_claim(store, NOON, free={"idle.test": 1}, default=0) is None
    claim = await next_claim(store, NOON, free={"busy.test": 1}, default=0)
    assert claim is not None
    assert claim.job_id == "job1"


async def test_a_held_delivery_counts_as_queued_when_its_time_has_come(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.hold(await claimed(store), after(60), THROTTLED)
    assert await next_claim(store, after(59), default=1) is None
    claim = await claimed(store, 60)
    assert (claim.job_id, claim.attempt) == ("job1", 2)
    job = await store.get("job1")
    assert job is not None
    assert (job.deliveries[0].failure, job.deliveries[0].not_before) == (None, None)
    assert job.deliveries[0].started_at == NOON


async def test_a_held_delivery_whose_time_has_come_waits_its_turn_as_queued(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.hold(await claimed(store), after(60), THROTTLED)
    assert await next_claim(store, after(61), default=0) is None
    assert await due(store, after(61)) is None
    job = await store.get("job1")
    assert job is not None
    assert job.state is JobState.QUEUED
    assert await store.queue() == {"registry.test": {"queued": 1, "running": 0, "held": 0, "paused": 0}}


async def test_the_next_time_to_look_is_that_of_the_earliest_held(store: Store) -> None:
    assert await due(store, NOON) is None
    await store.submit(submission("job1", "registry.test/a:1", "registry.test/b:1"), limit=PLENTY)
    await store.hold(await claimed(store), after(90), THROTTLED)
    await store.hold(await claimed(store), after(30), THROTTLED)
    assert await due(store, NOON) == after(30)
    assert await due(store, after(30)) == after(90)
    assert await due(store, after(90)) is None


# ------------------------------------------------------------------------------------------- release, and tries


async def test_a_released_delivery_is_queued_again_at_once(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    claim = await claimed(store)
    await store.release(claim)
    job = await store.get("job1")
    assert job is not None
    assert (job.state, job.deliveries[0].state) == (JobState.QUEUED, DeliveryState.QUEUED)
    assert (job.deliveries[0].failure, job.deliveries[0].history) == (None, ())
    assert (published[-1].kind, published[-1].delivery) == (DELIVERY_REQUEUED, claim.delivery_id)
    assert published[-1].fields == {"destination": claim.destination, "registry": "registry.test", "attempt": 1}


async def test_a_release_uses_up_no_try_and_no_two_claims_are_the_same(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    first_claim = await claimed(store)
    await store.release(first_claim)
    second = await claimed(store)
    assert (first_claim.attempt, first_claim.tries) == (1, 1)
    assert (second.attempt, second.tries) == (2, 1)
    with pytest.raises(StoreError) as refused:
        await store.finish(first_claim, FAILED, NOON)
    assert refused.value.code is Code.STORE_CLAIM_LOST


async def test_a_hold_uses_up_a_try(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    await store.hold(await claimed(store), after(10), THROTTLED)
    await store.release(await claimed(store, 10))
    claim = await claimed(store, 11)
    assert (claim.attempt, claim.tries) == (3, 2)


# ----------------------------------------------------------------------------------------------------- fencing

WRITES = {
    "plan": lambda store, claim: store.plan(claim, credential="c", repository="r", blobs=[blob("new")], manifests=1),
    "land": lambda store, claim: store.land(claim, (blob("a"), None)),
    "checkpoint": lambda store, claim: store.checkpoint(claim, transfer_key(claim, blob("a")), None),
    "hold": lambda store, claim: store.hold(claim, after(60), THROTTLED),
    "release": lambda store, claim: store.release(claim),
    "tagging": lambda store, claim: store.tagging(claim),
    "forget": lambda store, claim: store.forget(
        claim, credential="anonymous", repository="team/app", digests=[blob("a").digest]
    ),
    "finish": lambda store, claim: store.finish(claim, FAILED, NOON),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_claim_that_was_lost_can_write_nothing(
    store: Store, published: list[Event], write: Callable[[Store, Claim], object]
) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    lost = await claimed(store)
    await store.plan(lost, credential="anonymous", repository="team/app", blobs=[blob("a")], manifests=1)
    await store.hold(lost, after(10), THROTTLED)
    await claimed(store, 10)
    before, told = await store.get("job1"), len(published)
    with pytest.raises(StoreError) as refused:
        await write(store, lost)  # type: ignore[misc] # what the table's functions give is awaitable
    assert refused.value.code is Code.STORE_CLAIM_LOST
    assert refused.value.subject == lost.destination
    assert await store.get("job1") == before
    assert len(published) == told


async def test_a_claim_of_another_life_is_lost_whatever_its_attempt(store: Store) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    claim = await claimed(store)
    for epoch in (store.epoch - 1, store.epoch + 1):
        with pytest.raises(StoreError) as refused:
            await store.finish(replace(claim, epoch=epoch), FAILED, NOON)
        assert refused.value.code is Code.STORE_CLAIM_LOST
    await store.finish(claim, FAILED, NOON)


async def test_a_finished_delivery_is_finished_once(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    claim = await claimed(store)
    await store.finish(claim, succeeded(), NOON)
    told = len(published)
    with pytest.raises(StoreError) as refused:
        await store.finish(claim, FAILED, NOON)
    assert refused.value.code is Code.STORE_CLAIM_LOST
    assert len(published) == told


# ------------------------------------------------------------------------------------------------ several at once


async def test_several_are_claimed_at_once_in_the_order_of_claims_and_up_to_the_limits(store: Store) -> None:
    for number in range(4):
        await store.submit(submission(f"job{number}", "a.test/app:1", "b.test/app:1"), limit=PLENTY)
    await store.submit(submission("later", "a.test/app:1", not_before=after(60)), limit=PLENTY)

    taken, due = await store.claim_all(NOON, free={"a.test": 1}, default=2, most=99)
    assert [(claim.job_id, claim.registry) for claim in taken] == [
        ("job0", "a.test"), ("job0", "b.test"), ("job1", "b.test"),
    ]  # fmt: skip
    assert due == after(60)

    taken, _ = await store.claim_all(NOON, free={}, default=9, most=2)
    assert [(claim.job_id, claim.registry) for claim in taken] == [("job1", "a.test"), ("job2", "a.test")]
    assert await store.claim_all(after(61), free={"a.test": 0, "b.test": 0}, default=0, most=9) == ([], None)


async def test_claims_nobody_received_are_given_back(store: Store) -> None:
    for number in range(2):
        await store.submit(submission(f"job{number}"), limit=PLENTY)
    taking = asyncio.ensure_future(store.claim_all(NOON, free={}, default=9, most=9))
    await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await store.answers()
    await store.answers()
    assert await store.queue() == {"registry.test": {"queued": 2, "running": 0, "held": 0, "paused": 0}}


# ------------------------------------------------------------------------------------------------- what it costs


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = open_database(tmp_path, NOON)
    yield opened.writer
    opened.close()


def claim_next(writer: sqlite3.Connection, at: float = 0.0) -> Claim | None:
    taken, _ = claims.claim_all(Transaction(writer), 1, after(at), free={"full.test": 0}, default=1, most=1)
    return taken[0] if taken else None


def fill(writer: sqlite3.Connection, prefix: str, count: int, registry: str = "registry.test", uid: int = 1000) -> None:
    writer.execute("BEGIN")
    for number in range(count):
        submit(Transaction(writer), submission(f"{prefix}{number}", f"{registry}/app:1", uid=uid), limit=PLENTY)
    writer.execute("COMMIT")


def end_all(writer: sqlite3.Connection) -> None:
    writer.execute("BEGIN")
    for row in writer.execute("SELECT id FROM jobs").fetchall():
        cancel(Transaction(writer), row["id"], NOON)
    writer.execute("COMMIT")


def steps_of_a_claim(writer: sqlite3.Connection) -> int:
    """Count what SQLite's machine does for one claim, in its own instructions; take the claim back."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    writer.execute("BEGIN")
    writer.set_progress_handler(count, 1)
    claim = claim_next(writer)
    writer.set_progress_handler(None, 1)
    writer.execute("ROLLBACK")
    assert claim is not None
    return steps


def test_a_claim_costs_the_same_however_many_jobs_have_ended(writer: sqlite3.Connection) -> None:
    fill(writer, "early", 3)
    end_all(writer)
    fill(writer, "waiting", 3)
    before = steps_of_a_claim(writer)
    writer.execute("UPDATE deliveries SET state = 'failed' WHERE state = 'queued'")
    fill(writer, "ended", 1000)
    end_all(writer)
    fill(writer, "waiting again", 3)
    assert steps_of_a_claim(writer) == before


def test_a_claim_costs_the_same_however_long_the_queue_is(writer: sqlite3.Connection) -> None:
    fill(writer, "full", 3, "full.test")
    fill(writer, "waiting", 3)
    before = steps_of_a_claim(writer)
    fill(writer, "full too", 500, "full.test")
    fill(writer, "waiting too", 500)
    assert steps_of_a_claim(writer) == before


def test_a_claim_costs_more_with_each_user_who_waits_and_no_more_with_what_they_wait_for(
    writer: sqlite3.Connection,
) -> None:
    for uid in (1, 2, 3):
        fill(writer, f"first{uid}.", 2, uid=uid)
    before = steps_of_a_claim(writer)
    for uid in (1, 2, 3):
        fill(writer, f"second{uid}.", 300, uid=uid)
    assert steps_of_a_claim(writer) == before


def test_every_statement_of_a_claim_searches_an_index(writer: sqlite3.Connection) -> None:
    fill(writer, "waiting", 1)
    statements: list[str] = []
    writer.set_trace_callback(statements.append)
    claim_next(writer)
    writer.set_trace_callback(None)
    touching = [statement for statement in statements if "deliveries" in statement]
    assert len(touching) >= 6
    for statement in touching:
        for row in writer.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall():
            step = row["detail"]
            if re.search(r"deliveries|next|later|jobs|submitters", step):
                assert step.startswith("SEARCH") or "deliveries_queued" in step or "submitters_by_turn" in step, step
            assert "TEMP B-TREE" not in step, step


def holds(writer: sqlite3.Connection) -> int:
    (count,) = writer.execute("SELECT count(*) FROM deliveries WHERE state = 'held'").fetchone()
    return int(count)


def fill_held(writer: sqlite3.Connection, count: int, registry: str, until: float = 60.0) -> None:
    writer.execute("BEGIN")
    for number in range(count):
        submit(
            Transaction(writer),
            submission(f"{registry}{until}{number}", f"{registry}/app:1", not_before=after(until)),
            limit=PLENTY,
        )
    writer.execute("COMMIT")


def test_of_many_whose_time_has_come_at_once_a_part_is_queued_with_each_claim(
    writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_BITE", 3)
    fill_held(writer, 8, "registry.test")
    left = []
    for _ in range(4):
        assert claim_next(writer, at=60) is not None
        left.append(holds(writer))
    assert left == [5, 2, 0, 0]


def test_what_may_run_is_found_behind_many_that_may_not(
    writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_BITE", 3)
    fill_held(writer, 7, "full.test", until=60)
    fill_held(writer, 1, "registry.test", until=61)
    claim = claim_next(writer, at=61)
    assert claim is not None
    assert claim.registry == "registry.test"
    assert holds(writer) == 0


@pytest.mark.parametrize(
    ("heads", "chosen"),
    [
        ([], None),
        ([Head(0, 7, 3)], 3),
        ([Head(0, 7, 3), Head(0, 7, 2)], 2),
        ([Head(0, 7, 2), Head(0, 6, 3)], 3),
        ([Head(0, 1, 1), Head(5, 9, 9)], 9),
        ([Head(-1, 5, 1), Head(-2, 0, 0)], 1),
    ],
)
def test_the_first_is_of_larger_priority_then_of_the_longer_waiting_user_then_older(
    heads: list[Head], chosen: int | None
) -> None:
    assert first(heads) == chosen
