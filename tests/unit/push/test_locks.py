from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from pushd.push.locks import KeyedLocks


async def test_one_at_a_time_per_key_in_the_order_of_asking() -> None:
    locks: KeyedLocks[str] = KeyedLocks()
    inside: list[str] = []
    order: list[int] = []

    async def enter(key: str, number: int) -> None:
        async with locks.holding(key):
            assert key not in inside
            inside.append(key)
            await anyio.lowlevel.checkpoint()
            order.append(number)
            inside.remove(key)

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(enter, "a", number)
    assert order == [0, 1, 2, 3]


async def test_whoever_enters_is_told_whether_anybody_was_there() -> None:
    locks: KeyedLocks[str] = KeyedLocks()
    told: list[bool] = []

    async def enter() -> None:
        async with locks.holding("a") as waited:
            told.append(waited)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(enter)
    await enter()
    assert told == [False, True, True, False]


async def test_other_keys_do_not_wait() -> None:
    locks: KeyedLocks[str] = KeyedLocks()
    with anyio.fail_after(1):
        async with locks.holding("a"), locks.holding("b"):
            pass


async def test_nothing_is_kept_of_a_key_nobody_holds() -> None:
    locks: KeyedLocks[str] = KeyedLocks()
    async with locks.holding("a"), anyio.create_task_group() as group:
        group.start_soon(_wait_for, locks)
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert locks._locks == {}


async def _wait_for(locks: KeyedLocks[str]) -> None:
    async with locks.holding("a"):
        pytest.fail("the key was held")
