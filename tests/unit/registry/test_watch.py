from __future__ import annotations

import anyio
import pytest

from pushd.registry.watch import Watch

LONG = 60.0


async def test_a_block_that_stands_still_is_ended_without_an_error() -> None:
    with anyio.fail_after(LONG):
        with Watch(0.05, least=LONG):
            await anyio.sleep_forever()


async def test_a_block_that_ends_in_time_is_left_alone() -> None:
    ended = False
    with Watch(LONG, least=LONG):
        await anyio.sleep(0.001)
        ended = True
    assert ended


async def test_one_that_is_moved_goes_on_past_its_first_deadline() -> None:
    moved = 0
    with anyio.fail_after(LONG), Watch(0.3, least=0.3) as watch:
        for _ in range(10):
            watch.move(0.3)
            await anyio.sleep(0.06)
            moved += 1
        await anyio.sleep_forever()
    assert moved == 10


async def test_a_deadline_may_be_moved_to_where_it_comes_sooner() -> None:
    with anyio.fail_after(LONG), Watch(10 * LONG, least=0.05) as watch:
        watch.move(0.05)
        await anyio.sleep_forever()


async def test_one_that_is_paused_is_not_ended_until_it_goes_on() -> None:
    waited = False
    with anyio.fail_after(LONG), Watch(0.05, least=0.05) as watch:
        watch.pause()
        await anyio.sleep(0.3)
        waited = True
        watch.move(0.05)
        await anyio.sleep_forever()
    assert waited


async def test_what_is_raised_inside_comes_out() -> None:
    with pytest.raises(LookupError), Watch(LONG, least=LONG):
        raise LookupError


async def test_one_that_is_cancelled_from_outside_is_cancelled() -> None:
    with anyio.move_on_after(0.05) as outside:
        with Watch(LONG, least=LONG):
            await anyio.sleep_forever()
    assert outside.cancelled_caught
