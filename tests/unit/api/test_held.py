from __future__ import annotations

import anyio
from aiohttp import web

from pushd.api.held import Held


async def test_what_is_held_is_released_and_the_code_after_it_goes_on() -> None:
    held = Held()
    reached: list[str] = []

    async def request() -> None:
        with held.hold():
            await anyio.sleep_forever()
            reached.append("inside")
        reached.append("after")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(request)
            await anyio.wait_all_tasks_blocked()
            await held.release(web.Application())

    assert reached == ["after"]


async def test_what_would_be_held_after_the_release_is_not() -> None:
    held = Held()
    await held.release(web.Application())

    with anyio.fail_after(5), held.hold():
        await anyio.sleep_forever()
