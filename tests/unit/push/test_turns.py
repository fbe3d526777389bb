from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import anyio
import pytest

from pushd.push import turns
from pushd.push.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


async def test_work_gives_what_it_gives_or_raises_what_it_raises(threads: ThreadPoolExecutor) -> None:
    it = Turns(threads)

    assert await it.run(lambda: 42) == 42
    with pytest.raises(LookupError):
        await it.run(lambda: dict[str, int]()["nothing"])


async def test_short_work_is_done_one_piece_at_a_time(threads: ThreadPoolExecutor) -> None:
    it, running, most = Turns(threads), 0, 0

    def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        threading.Event().wait(0.001)
        running -= 1

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(it.run, work)
    assert most == 1


async def test_work_that_turns_out_long_holds_up_nobody(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_SHORT", 0.01)
    it, gate = Turns(threads), threading.Event()
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(it.run, gate.wait)
        with anyio.fail_after(10):
            assert await it.run(lambda: "short") == "short"
        gate.set()


async def test_a_cancellation_waits_for_work_that_has_begun(threads: ThreadPoolExecutor) -> None:
    it, begun, gate = Turns(threads), threading.Event(), threading.Event()
    done = []

    def work() -> None:
        begun.set()
        gate.wait(10)
        done.append(True)

    async with anyio.create_task_group() as group:
        group.start_soon(it.run, work)
        await anyio.to_thread.run_sync(begun.wait)
        group.cancel_scope.cancel()
        gate.set()
    assert done == [True]
