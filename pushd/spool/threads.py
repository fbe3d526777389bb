"""Work in a thread that nobody walks away from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

_Result = TypeVar("_Result")


async def finished(future: asyncio.Future[_Result]) -> _Result:
    """Wait for the end of what a thread does, also when the task is cancelled meanwhile, and give its result.

    A thread cannot be stopped: who went on without it would close the file it writes to.
    """
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error  # asyncio's own, from which no scope shields: it is raised a little later
    if cancelled is not None:
        future.exception()  # nobody will hear of it
        raise cancelled
    return future.result()


async def in_thread(
    threads: Executor, work: Callable[[], _Result], *, then: Callable[[_Result], None] | None = None
) -> _Result:
    """Do it in one of `threads`.

    `then` is called with the result at once, also when the task was cancelled: to know what is so on the disk now.
    """
    future = asyncio.wrap_future(threads.submit(work))
    try:
        return await finished(future)
    finally:
        if then is not None and future.exception() is None:
            then(future.result())
