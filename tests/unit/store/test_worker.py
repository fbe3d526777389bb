from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from pushd.errors import Code, StoreError
from pushd.store.answer import Answer
from pushd.store.worker import Worker
from pushd.telemetry.events import DELIVERY_REQUEUED, Event
from tests.unit.store.samples import NOON

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Desk:
    """A worker whose thread can be held up, and what it was given at a time."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.published: list[Event] = []
        self.connection = sqlite3.connect(":memory:", check_same_thread=False)
        self.worker: Worker[str] = Worker("desk", self.connection, self.serve, self.published.extend)
        self._go_on = threading.Event()

    def serve(self, operations: Sequence[Callable[[str], object]]) -> Sequence[Answer]:
        self.groups.append(len(operations))
        return [self._one(operation) for operation in operations]

    def _one(self, operation: Callable[[str], object]) -> Answer:
        try:
            value = operation("given")
        except LookupError as error:
            return Answer(error=error)
        return Answer(value, told=(Event(DELIVERY_REQUEUED, NOON, str(value)),))

    async def hold_up(self) -> asyncio.Future[str]:
        """Give the thread something that ends with `go_on`, and wait until it is at it."""
        at_it = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wait(_: str) -> str:
            loop.call_soon_threadsafe(at_it.set)
            self._go_on.wait()
            return "held up"

        held_up = self.worker.send(wait)
        await at_it.wait()
        return held_up

    def go_on(self) -> None:
        self._go_on.set()


async def test_an_operation_runs_on_the_thread_and_its_answer_comes_back() -> None:
    desk = Desk()
    name = await desk.worker.send(lambda given: f"{given} on {threading.current_thread().name}")
    assert name == "given on desk"
    await desk.worker.close()


async def test_what_waits_is_served_together() -> None:
    desk = Desk()
    held_up = await desk.hold_up()
    waiting = [desk.worker.send(lambda _, number=number: number) for number in range(5)]  # type: ignore[misc] # mypy cannot infer a lambda with a default
    desk.go_on()
    assert await held_up == "held up"
    assert await asyncio.gather(*waiting) == [0, 1, 2, 3, 4]
    assert desk.groups == [1, 5]
    await desk.worker.close()


async def test_a_group_has_an_end() -> None:
    desk = Desk()
    held_up = await desk.hold_up()
    waiting = [desk.worker.send(str) for _ in range(300)]
    desk.go_on()
    await asyncio.gather(held_up, *waiting)
    assert desk.groups == [1, 256, 44]
    await desk.worker.close()


async def test_events_are_published_in_order_before_the_caller_goes_on() -> None:
    desk = Desk()
    for name in ("a", "b"):
        await desk.worker.send(lambda _, name=name: name)  # type: ignore[misc] # mypy cannot infer a lambda with a default
        assert desk.published[-1].job == name
    assert [event.job for event in desk.published] == ["a", "b"]
    await desk.worker.close()


async def test_a_failure_reaches_its_own_caller() -> None:
    desk = Desk()

    def fail(_: str) -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        await desk.worker.send(fail)
    assert await desk.worker.send(str) == "given"
    await desk.worker.close()


async def test_a_thread_whose_service_breaks_down_answers_and_goes_on() -> None:
    broken = [True]

    def serve(operations: Sequence[Callable[[None], object]]) -> Sequence[Answer]:
        if broken.pop() if broken else False:
            raise SystemExit(1)
        return [Answer(operation(None)) for operation in operations]

    connection = sqlite3.connect(":memory:", check_same_thread=False)
    worker: Worker[None] = Worker("desk", connection, serve, lambda _: None)
    failed: asyncio.Future[Any] = worker.send(str)
    await asyncio.wait([failed])
    assert isinstance(failed.exception(), SystemExit)
    assert await worker.send(str) == "None"
    await worker.close()


async def test_what_was_handed_over_is_done_though_its_caller_is_cancelled() -> None:
    desk = Desk()
    done: list[str] = []
    held_up = await desk.hold_up()

    async def call() -> None:
        await desk.worker.send(done.append)

    caller = asyncio.create_task(call())
    await asyncio.sleep(0)
    caller.cancel()
    with suppress(asyncio.CancelledError):
        await caller
    assert done == []
    desk.go_on()
    await held_up
    await desk.worker.close()
    assert done == ["given"]
    assert [event.job for event in desk.published] == ["held up", "None"]


async def test_an_answer_whose_caller_was_cancelled_goes_to_who_cares_for_lost_ones() -> None:
    desk = Desk()
    lost: list[str] = []
    held_up = await desk.hold_up()
    desk.worker.send(str, lost=lost.append).cancel()
    kept = desk.worker.send(str, lost=lost.append)
    desk.go_on()
    await held_up
    assert await kept == "given"
    assert lost == ["given"]
    await desk.worker.close()


async def test_a_failure_whose_caller_was_cancelled_goes_nowhere() -> None:
    desk = Desk()
    lost: list[None] = []
    held_up = await desk.hold_up()

    def fail(_: str) -> None:
        raise LookupError("here")

    desk.worker.send(fail, lost=lost.append).cancel()
    desk.go_on()
    await held_up
    assert await desk.worker.send(str) == "given"
    assert lost == []
    await desk.worker.close()


async def test_closing_does_first_what_was_handed_over() -> None:
    desk = Desk()
    held_up = await desk.hold_up()
    last = desk.worker.send(str)
    desk.go_on()
    await desk.worker.close()
    assert held_up.result() == "held up"
    assert last.result() == "given"


async def test_closing_ends_the_thread_and_the_connection() -> None:
    desk = Desk()
    await desk.worker.close()
    await desk.worker.close()
    assert "desk" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        desk.connection.execute("SELECT 1")


async def test_a_cancelled_close_closes_all_the_same() -> None:
    desk = Desk()
    held_up = await desk.hold_up()
    closing = asyncio.create_task(desk.worker.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    desk.go_on()
    await held_up
    await desk.worker.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        desk.connection.execute("SELECT 1")


async def test_after_closing_nothing_is_taken() -> None:
    desk = Desk()
    await desk.worker.close()
    with pytest.raises(StoreError) as refused:
        desk.worker.send(str)
    assert refused.value.code is Code.STORE_UNAVAILABLE


def test_a_loop_that_ended_without_closing_leaves_a_thread_that_still_ends() -> None:
    async def leave() -> Desk:
        desk = Desk()
        await desk.hold_up()
        desk.worker._calls.put(None)  # what `close` sends, from a caller that no longer waits
        return desk

    desk = asyncio.run(leave())
    desk.go_on()
    desk.worker._thread.join(timeout=10)
    assert not desk.worker._thread.is_alive()
