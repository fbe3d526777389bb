from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from pushd.job import TransferState
from pushd.push.progress import Board, Meter, Progress, report
from pushd.telemetry.events import JOB_PROGRESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import pytest

    from pushd.telemetry.events import Event


def entry(job: str = "a", delivery: int = 1, digest: str = "d", size: int = 100) -> Progress:
    return Progress(job, delivery, "registry.example.com/app:1", digest, size=size)


def test_a_reader_is_told_only_what_changed_since_it_looked() -> None:
    board = Board()
    first, second = board.enter(entry(digest="d1")), board.enter(entry(digest="d2"))
    assert board.since(0) == [first, second]
    seen = board.version
    assert board.since(seen) == []
    second.done = 50
    board.touch(second)
    assert board.since(seen) == [second]


def test_a_reader_of_one_job_is_not_told_of_others() -> None:
    board = Board()
    mine = board.enter(entry(job="a"))
    board.enter(entry(job="b", delivery=2))
    assert board.since(0, job_id="a") == [mine]


def test_a_delivery_that_ended_leaves_the_board() -> None:
    board = Board()
    board.enter(entry(delivery=1))
    other = board.enter(entry(delivery=2))
    board.clear(1)
    assert board.find(1, "d") is None
    assert board.since(0) == [other]


@asynccontextmanager
async def reported(board: Board, *, interval: float) -> AsyncIterator[Callable[[int], Awaitable[list[Event]]]]:
    """Report, and give what waits until so many events were told and gives them."""
    told: list[Event] = []

    async def at_least(count: int) -> list[Event]:
        with anyio.fail_after(5):
            while len(told) < count:  # noqa: ASYNC110 (what is looked at is no event)
                await anyio.sleep(0.001)
        return told

    async with anyio.create_task_group() as group:
        group.start_soon(report, board, told.append, interval, 0.005)
        yield at_least
        group.cancel_scope.cancel()


async def test_each_job_that_moves_is_reported_once_an_interval() -> None:
    board = Board()
    moving = board.enter(entry(job="a", digest="d1"))
    board.enter(entry(job="a", digest="d2", delivery=2))
    other = board.enter(entry(job="b", delivery=3))
    moving.done, moving.sent, moving.state = 1, 70, TransferState.RUNNING
    async with reported(board, interval=0.02) as at_least:
        told = await at_least(4)
    assert [event.job for event in told[:4]] == ["a", "b", "a", "b"]
    assert {event.kind for event in told} == {JOB_PROGRESS}
    assert (told[0].fields["done"], told[0].fields["size"], told[0].fields["sent"]) == (1, 200, 70)
    assert told[0].fields["rate"] != 0
    assert told[2].fields["rate"] == 0, "nothing was sent in the second interval"
    assert told[1].fields["size"] == other.size


async def test_each_tenth_of_a_job_is_reported_once_whatever_the_time() -> None:
    board = Board()
    moving = board.enter(entry(job="a"))
    async with reported(board, interval=3600) as at_least:
        for number, done in enumerate((9, 10, 19, 35, 34, 39, 100), start=1):
            moving.done = done
            await at_least({2: 1, 4: 2, 7: 3}.get(number, 0))
            await anyio.wait_all_tasks_blocked()
        told = list(await at_least(3))
    assert [event.fields["done"] for event in told] == [10, 35, 100]


async def test_a_job_of_nothing_is_no_reason_to_divide_by_it() -> None:
    board = Board()
    board.enter(entry(job="a", size=0))
    async with reported(board, interval=0.01) as at_least:
        (first, *_) = await at_least(1)
    assert first.fields["size"] == 0


async def test_where_nothing_moves_nothing_is_said() -> None:
    told: list[Event] = []
    with anyio.move_on_after(0.05):
        await report(Board(), told.append, 0.01, 0.005)
    assert told == []


async def test_an_empty_board_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    since = Board.since

    def count(board: Board, version: int) -> list[Progress]:
        nonlocal looks
        looks += 1
        return since(board, version)

    monkeypatch.setattr(Board, "since", count)
    board = Board()
    async with reported(board, interval=0.001) as at_least:
        await anyio.sleep(0.02)
        assert looks == 0
        board.enter(entry())
        await at_least(1)
        board.clear(1)
        await anyio.sleep(0.02)
        before = looks
        await anyio.sleep(0.02)
        assert looks == before
        board.enter(entry())
        await at_least(2)


def test_a_reader_of_one_user_is_not_told_of_others() -> None:
    board = Board()
    mine = board.enter(Progress("a", 1, "r/app:1", "d", size=1, registry="r", uid=1000))
    board.enter(Progress("b", 2, "r/app:1", "d", size=1, registry="r", uid=1001))
    assert board.since(0, uid=1000) == [mine]


def test_the_same_state_is_the_same_event_for_everyone_who_asks() -> None:
    board = Board()
    moving = board.enter(entry())
    before = moving.event()
    assert moving.event() is before
    board.count(moving, 10, now=0.0)
    assert moving.event() is not before
    assert moving.event().fields["sent"] == 10


def test_a_meter_tells_the_pace_of_the_last_five_seconds() -> None:
    meter = Meter()
    for second in range(100, 105):
        meter.add(1000, second + 0.5)
    assert meter.rate(105.0) == 1000
    assert meter.rate(107.0) == 600
    assert meter.rate(110.0) == 0


def test_a_meter_that_rested_for_long_begins_anew() -> None:
    meter = Meter()
    meter.add(1000, 10.0)
    meter.add(500, 10_000.0)
    assert meter.rate(10_001.0) == 100


def test_bytes_are_counted_for_the_transfer_and_its_registry() -> None:
    board = Board()
    one = board.enter(Progress("a", 1, "r/app:1", "d1", size=9, registry="r", uid=1))
    two = board.enter(Progress("b", 2, "r/app:2", "d2", size=9, registry="r", uid=1))
    board.count(one, 5, 1.0)
    board.count(two, 10, 1.0)
    assert board.sent == {"r": 15}
    assert (board.rate("r", 2.0), one.meter.rate(2.0), board.rate("elsewhere", 2.0)) == (3, 1, 0)
