from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, StoreError
from pushd.job import DeliveryState, JobState
from pushd.oci.upload import Checkpoint, Form
from pushd.store import open_store
from pushd.store.opening import open_database
from pushd.telemetry.events import DELIVERY_REQUEUED, DELIVERY_STARTED
from pushd.work import JobQuery
from tests.unit.store.samples import (
    FAILED,
    NOON,
    PLENTY,
    after,
    blob,
    claimed,
    image,
    next_claim,
    submission,
    transfer_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pushd.push.ports.store import JobStore
    from pushd.store import Store
    from pushd.store.opening import Opened
    from pushd.store.transaction import Transaction
    from pushd.telemetry.events import Event
    from tests.unit.store.samples import Clock


def as_the_engine_sees_it(store: Store) -> JobStore:
    """Hold the class to the engine's port: mypy refuses this function when a method differs."""
    return store


class HoldUp:
    """An operation that keeps the writing thread busy until it is let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._let_go = threading.Event()

    def __call__(self, _: Transaction) -> None:
        self._loop.call_soon_threadsafe(self.begun.set)
        self._let_go.wait()

    def let_go(self) -> None:
        self._let_go.set()


async def test_the_store_is_what_the_engine_asks_for(store: Store) -> None:
    assert as_the_engine_sees_it(store).epoch == 1


# -------------------------------------------------------------------------------------------------- durability


async def test_everything_is_there_when_it_is_opened_again(tmp_path: Path, published: list[Event]) -> None:
    first = await open_store(tmp_path, publish=published.extend)
    await first.submit(submission("job1", "registry.test/a:1", "registry.test/b:1"), limit=PLENTY)
    claim = await claimed(first)
    await first.plan(claim, credential="c", repository="a", blobs=image().blobs, manifests=1)
    checkpoint = Checkpoint("https://registry.test/upload", 5, 10, Form.CHUNKED)
    key = transfer_key(claim, image().blobs[0], credential="c", repository="a")
    await first.checkpoint(claim, key, checkpoint)
    await first.finish(claim, FAILED, NOON)
    job, told = await first.get("job1"), list(published)
    await first.close()

    second = await open_store(tmp_path, publish=published.extend)
    assert await second.get("job1") == job
    assert await second.image("job1") == image()
    assert await second.recall(key) == checkpoint
    assert await second.events(0) == tuple(told)
    assert await second.told() == (1, len(told))
    assert second.epoch == first.epoch + 1
    assert second.requeued == 0
    await second.close()


async def test_the_stream_is_the_databases_own(tmp_path: Path) -> None:
    first = await open_store(tmp_path / "a", publish=lambda _: None)
    other = await open_store(tmp_path / "b", publish=lambda _: None)
    stream = first.stream
    assert stream
    assert stream != other.stream
    await first.close()
    await other.close()
    again = await open_store(tmp_path / "a", publish=lambda _: None)
    assert again.stream == stream
    await again.close()


async def test_the_size_is_that_of_all_files_of_the_database(store: Store, tmp_path: Path) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    files = [file for file in (tmp_path / "state").iterdir() if file.name.startswith("pushd.db")]
    assert len(files) == 3
    assert store.size == sum(file.stat().st_size for file in files)
    await store.close()
    assert store.size == (tmp_path / "state" / "pushd.db").stat().st_size


async def test_what_ran_when_the_daemon_died_goes_on_in_its_next_life(
    tmp_path: Path, clock: Clock, published: list[Event]
) -> None:
    first = await open_store(tmp_path, publish=published.extend, clock=clock)
    await first.submit(submission("job1", "registry.test/a:1", "registry.test/b:1", "registry.test/c:1"), limit=PLENTY)
    lost = [await claimed(first), await claimed(first)]
    await first.close()
    published.clear()

    clock.pass_time(30)
    second = await open_store(tmp_path, publish=published.extend, clock=clock)
    assert second.requeued == 2
    assert [(event.kind, event.delivery, event.at) for event in published] == [
        (DELIVERY_REQUEUED, claim.delivery_id, after(30)) for claim in lost
    ]
    assert published[0].fields == {"destination": "registry.test/a:1", "registry": "registry.test", "attempt": 1}
    job = await second.get("job1")
    assert job is not None
    assert job.state is JobState.QUEUED
    again = await claimed(second, 30)
    assert (again.delivery_id, again.attempt, again.epoch) == (lost[0].delivery_id, 2, second.epoch)
    await second.close()


async def test_an_earlier_life_can_write_nothing(tmp_path: Path, published: list[Event]) -> None:
    first = await open_store(tmp_path, publish=published.extend)
    await first.submit(submission("job1"), limit=PLENTY)
    lost = await claimed(first)
    await first.close()
    second = await open_store(tmp_path, publish=published.extend)
    for _ in range(2):  # first while it waits, then while the new life has it
        with pytest.raises(StoreError) as refused:
            await second.finish(lost, FAILED, NOON)
        assert refused.value.code is Code.STORE_CLAIM_LOST
        await next_claim(second, NOON, default=9)
    await second.close()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from pushd.store import open_store
from pushd.store.opening import Opened, open_database
from tests.unit.store.samples import NOON, next_claim, submission

async def main():
    store = await open_store(Path(sys.argv[1]), publish=lambda events: None)
    await store.submit(submission("job1"), limit=9)
    await next_claim(store, NOON, default=1)
    await store.submit(submission("job2"), limit=9)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_was_answered_survives_a_kill(tmp_path: Path, published: list[Event]) -> None:
    root = Path(__file__).parents[3]
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, tmp_path, cwd=root)
    assert await killed.wait() == -signal.SIGKILL
    store = await open_store(tmp_path, publish=published.extend)
    assert [job.id for job in await store.list(JobQuery())] == ["job2", "job1"]
    assert store.requeued == 1
    assert await store.queue() == {"registry.test": {"queued": 2, "running": 0, "held": 0, "paused": 0}}
    await store.close()


async def test_two_daemons_never_share_a_state_directory(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as refused:
        await open_store(tmp_path / "state", publish=lambda _: None)
    assert refused.value.code is Code.STORE_UNAVAILABLE
    await store.submit(submission("job1"), limit=PLENTY)


async def test_closing_lets_the_state_directory_go_and_may_be_repeated(tmp_path: Path) -> None:
    store = await open_store(tmp_path, publish=lambda _: None)
    await store.close()
    await store.close()
    with pytest.raises(StoreError) as refused:
        await store.queue()
    assert refused.value.code is Code.STORE_UNAVAILABLE
    await (await open_store(tmp_path, publish=lambda _: None)).close()


@pytest.mark.parametrize("fails", [False, True])
async def test_an_opening_nobody_waits_for_lets_the_state_directory_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(state_dir: Path, now: datetime) -> Opened:
        begun.set()
        go_on.wait()
        opened = open_database(state_dir, now)
        if fails:
            opened.close()
            raise StoreError(Code.STORE_UNAVAILABLE, str(state_dir), "cannot be used")
        return opened

    monkeypatch.setattr("pushd.store.store.open_database", slow)
    opening = asyncio.create_task(open_store(tmp_path, publish=lambda _: None))
    await asyncio.to_thread(begun.wait)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    go_on.set()
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
    await asyncio.sleep(0)
    monkeypatch.undo()
    await (await open_store(tmp_path, publish=lambda _: None)).close()


# ------------------------------------------------------------------------------------------------- cancellation


async def test_what_was_asked_for_is_done_though_the_asker_is_cancelled(store: Store) -> None:
    hold_up = HoldUp()
    held_up = store._writes.send(hold_up)
    await hold_up.begun.wait()
    asker = asyncio.create_task(store.submit(submission("job1"), limit=PLENTY))
    await asyncio.sleep(0)
    asker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asker
    hold_up.let_go()
    await held_up
    await store.submit(submission("job2"), limit=PLENTY)
    assert await store.get("job1") is not None


async def flush(store: Store) -> None:
    await store._writes.send(lambda _: None)


async def states(store: Store) -> list[DeliveryState]:
    job = await store.get("job1")
    assert job is not None
    return [delivery.state for delivery in job.deliveries]


async def test_a_claim_whose_claimer_left_is_given_back(store: Store, published: list[Event]) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    hold_up = HoldUp()
    held_up = store._writes.send(hold_up)
    await hold_up.begun.wait()
    claimer = asyncio.create_task(next_claim(store, NOON, default=1))
    await asyncio.sleep(0)
    claimer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claimer
    hold_up.let_go()
    await held_up
    await flush(store)  # the claim is answered, and given back to the thread
    await flush(store)
    assert await states(store) == [DeliveryState.QUEUED]
    assert [event.kind for event in published[1:]] == [DELIVERY_STARTED, DELIVERY_REQUEUED]


async def test_a_claim_whose_claimer_was_cancelled_before_it_looked_is_given_back(
    store: Store, published: list[Event]
) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    claimer = asyncio.create_task(next_claim(store, NOON, default=1))
    while len(published) < 2:  # published, but the claimer has not run since
        await asyncio.sleep(0)
        if published[1:]:
            claimer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claimer
    await flush(store)
    assert await states(store) == [DeliveryState.QUEUED]


async def test_a_claim_that_found_nothing_needs_no_giving_back(store: Store) -> None:
    hold_up = HoldUp()
    held_up = store._writes.send(hold_up)
    await hold_up.begun.wait()
    claimer = asyncio.create_task(next_claim(store, NOON, default=1))
    await asyncio.sleep(0)
    claimer.cancel()
    hold_up.let_go()
    await held_up
    await flush(store)
    assert claimer.cancelled()
    assert await store.told() == (1, 0)


async def test_a_claim_lost_while_closing_waits_for_the_next_life(tmp_path: Path) -> None:
    store = await open_store(tmp_path, publish=lambda _: None)
    await store.submit(submission("job1"), limit=PLENTY)
    hold_up = HoldUp()
    store._writes.send(hold_up)
    await hold_up.begun.wait()
    claimer = asyncio.create_task(next_claim(store, NOON, default=1))
    await asyncio.sleep(0)
    claimer.cancel()
    closing_it = asyncio.create_task(store.close())
    await asyncio.wait([claimer])
    hold_up.let_go()
    await closing_it
    store = await open_store(tmp_path, publish=lambda _: None)
    assert await states(store) == [DeliveryState.QUEUED]
    await store.close()


# ----------------------------------------------------------------------------------------------- what may go wrong


def at_most(pages: int) -> Callable[[Transaction], None]:
    return lambda transaction: transaction.execute(f"PRAGMA max_page_count = {pages}").close()


async def test_a_full_disk_refuses_new_jobs_and_the_store_goes_on_when_there_is_space(
    store: Store, published: list[Event]
) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    claim = await claimed(store)
    told = len(published)
    await store._writes.send(at_most(1))  # SQLite makes it the present size: not one page more
    large = submission("job2", of=image("large", annotation="x" * 1_000_000))
    with pytest.raises(StoreError) as refused:
        await store.submit(large, limit=PLENTY)
    assert refused.value.code is Code.STORE_FULL
    assert refused.value.retryable
    assert await store.get("job2") is None
    assert len(published) == told
    await store.finish(claim, FAILED, NOON)  # what is in hand still fits
    await store._writes.send(at_most(1_000_000))
    assert (await store.submit(large, limit=PLENTY)).id == "job2"
    assert await store.image("job2") == large.image


async def test_a_database_locked_from_outside_is_unavailable_and_then_works(store: Store, tmp_path: Path) -> None:
    await store._writes.send(lambda transaction: transaction.execute("PRAGMA busy_timeout = 0").close())
    with closing(sqlite3.connect(tmp_path / "state" / "pushd.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as refused:
            await store.submit(submission("job1"), limit=PLENTY)
        assert refused.value.code is Code.STORE_UNAVAILABLE
        other.execute("ROLLBACK")
    assert (await store.submit(submission("job1"), limit=PLENTY)).id == "job1"


async def test_no_secret_of_an_upload_is_in_the_database_outside_its_place(store: Store, tmp_path: Path) -> None:
    await store.submit(submission("job1"), limit=PLENTY)
    claim = await claimed(store)
    await store.plan(claim, credential="c", repository="team/app", blobs=[blob("a")], manifests=1)
    location = "https://registry.test/v2/team/app/blobs/uploads/1?_state=canary"
    key = transfer_key(claim, blob("a"), credential="c")
    await store.checkpoint(claim, key, Checkpoint(location, 0, 1, Form.CHUNKED))
    await store.close()
    with closing(sqlite3.connect(tmp_path / "state" / "pushd.db")) as connection:
        dump = [line for line in connection.iterdump() if "canary" in line]
    assert len(dump) == 1
    assert dump[0].startswith('INSERT INTO "upload_sessions"')


async def test_each_commit_is_timed_and_what_only_reads_is_not(tmp_path: Path) -> None:
    committed: list[float] = []
    store = await open_store(tmp_path, publish=lambda _: None, committed=committed.append)
    before = len(committed)
    await store.submit(submission("job1"), limit=PLENTY)
    await store.get("job1")
    await store.close()

    assert len(committed) == before + 1
    assert 0 < committed[-1] < 60
