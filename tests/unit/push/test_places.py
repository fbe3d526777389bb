from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from pushd.push.places import PIECE, PIECE_SCARCE, SMALL_MAX, Places
from pushd.push.window import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LARGE = 100 << 20


def places(*, large: int = 2, small: int = 2, memory: int = 1 << 30) -> Places:
    return Places(large=large, small=small, memory=memory)


async def would_wait(of: Places, registry: str, size: int) -> bool:
    """Whether a blob would have to wait for its place."""
    with anyio.move_on_after(0.02):
        async with of.place(registry, size):
            return False
    return True


async def test_no_more_than_the_limit_run_at_one_registry() -> None:
    house = places(large=2)
    async with house.place("a", LARGE), house.place("a", LARGE):
        assert house.running == 2
        assert await would_wait(house, "a", LARGE)
    assert not await would_wait(house, "a", LARGE)
    assert house.running == house.waiting == 0


async def test_a_full_registry_does_not_hold_up_another() -> None:
    house = places(large=1)
    async with house.place("a", LARGE):
        assert not await would_wait(house, "b", LARGE)


async def test_small_blobs_have_a_lane_of_their_own() -> None:
    house = places(large=1, small=1)
    async with house.place("a", LARGE):
        assert not await would_wait(house, "a", SMALL_MAX)
        async with house.place("a", SMALL_MAX):
            assert await would_wait(house, "a", SMALL_MAX)


async def test_a_registry_may_have_a_number_of_its_own() -> None:
    house = Places(large=5, small=5, memory=1 << 30, per_registry={"a": 1})
    async with house.place("a", LARGE):
        assert await would_wait(house, "a", LARGE)
    async with house.place("b", LARGE):
        assert not await would_wait(house, "b", LARGE)


@asynccontextmanager
async def small_ones(of: Places, registry: str, count: int) -> AsyncIterator[None]:
    """Have so many small blobs on their way."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(of.place(registry, 100))
        yield


async def test_more_small_blobs_travel_as_long_as_that_costs_no_time() -> None:
    house = Places(large=1, small=None, memory=1 << 30)
    async with small_ones(house, "a", START):
        assert await would_wait(house, "a", 100)
        house.landed("a", 100, 0.1)
        assert not await would_wait(house, "a", 100)
        async with small_ones(house, "b", START):
            assert await would_wait(house, "b", 100)
        house.landed("a", 100, 0.5)
        assert await would_wait(house, "a", 100)


async def test_large_blobs_widen_nothing() -> None:
    house = Places(large=1, small=None, memory=1 << 30)
    async with house.place("a", LARGE), small_ones(house, "a", START):
        house.landed("a", LARGE, 0.1)
        assert await would_wait(house, "a", 100)
        assert await would_wait(house, "a", LARGE)


async def test_a_number_that_is_configured_is_kept_to() -> None:
    house = places(small=1)
    async with house.place("a", 100):
        house.landed("a", 100, 0.1)
        assert await would_wait(house, "a", 100)


async def test_a_registry_with_a_number_of_its_own_is_left_at_what_there_is_to_begin_with() -> None:
    house = Places(large=5, small=None, memory=1 << 30, per_registry={"a": 1})
    async with small_ones(house, "a", START):
        house.landed("a", 100, 0.1)
        assert await would_wait(house, "a", 100)


async def test_what_is_configured_anew_is_begun_with_anew() -> None:
    house = Places(large=1, small=None, memory=1 << 30)
    async with small_ones(house, "a", START):
        house.landed("a", 100, 0.1)
        house.configure(large=1, small=None, memory=1 << 30, per_registry={})
        assert await would_wait(house, "a", 100)


async def test_registries_nothing_travels_to_are_forgotten_when_there_are_very_many() -> None:
    house = Places(large=1, small=None, memory=1 << 30)
    async with small_ones(house, "busy", START):
        house.landed("busy", 100, 0.1)
        for number in range(600):
            async with house.place(f"idle-{number}", 100):
                house.landed(f"idle-{number}", 100, 0.1)
        assert len(house._windows) < 520
        assert not await would_wait(house, "busy", 100)


async def test_pieces_shrink_when_memory_is_scarce_and_are_whole_when_it_is_not() -> None:
    house = places(large=100, memory=12 * PIECE)
    async with AsyncExitStack() as stack:
        pieces = [await stack.enter_async_context(house.place("a", LARGE)) for _ in range(5)]
    assert pieces == [PIECE, PIECE, PIECE, PIECE_SCARCE, PIECE_SCARCE]


async def test_buffers_never_take_more_than_the_budget() -> None:
    house = places(large=1000, memory=8 * PIECE)
    taken = 0
    async with AsyncExitStack() as stack:
        while not await would_wait(house, "a", LARGE):
            taken += 3 * await stack.enter_async_context(house.place("a", LARGE))
    assert 4 * PIECE < taken <= 8 * PIECE


async def test_one_upload_runs_however_small_the_budget() -> None:
    house = places(memory=1000)
    async with house.place("a", LARGE) as piece:
        assert piece == PIECE_SCARCE
        assert await would_wait(house, "b", LARGE)


async def test_places_go_to_who_waits_longest() -> None:
    house = places(large=1)
    order: list[int] = []

    async def take(number: int) -> None:
        async with house.place("a", LARGE):
            order.append(number)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(take, number)
    assert order == [0, 1, 2, 3, 4]


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    house = places(large=1)
    async with house.place("a", LARGE):
        assert await would_wait(house, "a", LARGE)
        assert house.waiting == 0
    assert house.running == 0


async def test_a_place_is_given_back_when_the_upload_fails() -> None:
    house = places(large=1)
    with pytest.raises(ValueError, match="broken"):
        async with house.place("a", LARGE):
            raise ValueError("broken")
    assert not await would_wait(house, "a", LARGE)


@pytest.mark.parametrize("at", range(6))
async def test_cancelled_at_any_moment_the_house_is_whole(at: int) -> None:
    house = places(large=1, memory=4 * PIECE)
    async with anyio.create_task_group() as group:

        async def take() -> None:
            async with house.place("a", LARGE):
                await anyio.lowlevel.checkpoint()

        for _ in range(4):
            group.start_soon(take)
        for _ in range(at):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert house.running == house.waiting == 0
    async with house.place("a", LARGE) as piece:
        assert piece == PIECE
