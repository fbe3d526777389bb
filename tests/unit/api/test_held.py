from __future__ import annotations

from typing import Any

import anyio
from aiohttp import web

from pushd.api.held import Held


async def test_what_is_held_is_released_and_the_code_after_it_goes_on() -> None:
    held = Held(0.01)
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
    held = Held(0.01)
    await held.release(web.Application())

    with anyio.fail_after(5), held.hold():
        await anyio.sleep_forever()


class Gone:
    """A request whose caller has left."""

    transport = None


class There:
    """A request whose caller waits."""

    class transport:  # noqa: N801 (an attribute of a request)
        @staticmethod
        def is_closing() -> bool:
            return False


async def test_one_whose_caller_has_left_is_let_go_and_nobody_elses() -> None:
    held = Held(0.01)
    reached: list[str] = []
    let_go = anyio.Event()

    async def request(name: str, kind: Any) -> None:
        with held.hold(kind):
            await anyio.sleep_forever()
        reached.append(name)
        let_go.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(request, "there", There)
            group.start_soon(request, "unwatched", None)
            group.start_soon(request, "gone", Gone)
            await let_go.wait()
            await anyio.sleep(0.05)  # a few looks later
            assert reached == ["gone"]
            await held.release(web.Application())

    assert sorted(reached) == ["gone", "there", "unwatched"]


async def test_who_leaves_later_is_found_gone_then() -> None:
    held = Held(0.01)

    with anyio.fail_after(5):
        with held.hold(Gone):  # type: ignore[arg-type] # what is asked of a request
            await anyio.sleep_forever()
        with held.hold(Gone):  # type: ignore[arg-type] # as above
            await anyio.sleep_forever()
