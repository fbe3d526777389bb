from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from pushd.spool.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


async def test_what_a_thread_gives_or_raises_is_given_and_raised(threads: ThreadPoolExecutor) -> None:
    assert await in_thread(threads, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await in_thread(threads, lambda: 1 // 0)


async def test_a_task_cancelled_meanwhile_ends_after_the_thread_and_what_it_did_is_known(
    threads: ThreadPoolExecutor,
) -> None:
    begun, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    learnt: list[int] = []

    def slow() -> int:
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(10)
        return 7

    task = asyncio.create_task(in_thread(threads, slow, then=learnt.append))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert learnt == [7]


async def test_what_failed_is_not_taken_for_done(threads: ThreadPoolExecutor) -> None:
    learnt: list[float] = []
    with pytest.raises(ZeroDivisionError):
        await in_thread(threads, lambda: 1 / 0, then=learnt.append)
    assert learnt == []


async def test_a_scope_cancelled_meanwhile_ends_after_the_thread(threads: ThreadPoolExecutor) -> None:
    done = threading.Event()

    def slow() -> None:
        done.wait(0.05)
        done.set()

    with anyio.CancelScope() as scope:
        asyncio.get_running_loop().call_soon(scope.cancel)
        await in_thread(threads, slow)
        assert done.is_set()
        await anyio.lowlevel.checkpoint()
        raise AssertionError("went on")
    assert scope.cancelled_caught
