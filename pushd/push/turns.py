"""Short work in threads, one piece at a time; what turns out to be long steps aside.

Threads of one interpreter that all have a little to do mostly keep each other from it: sixteen sources opened side by
side took twice the time of one after the other. But a source on a slow disk must not hold up those on a fast one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

T = TypeVar("T")

_SHORT = 0.05
"""Seconds after which a piece of work no longer counts as short: three hundred times what a small image takes."""


class Turns:
    """Runs blocking functions.

    Args:
        threads: where; as many as may be long at the same time.
    """

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` when it is its turn, and give what it gives.

        It is not cut short by a cancellation: that takes effect when it has ended.
        """
        await self._turn.acquire()
        mine = True

        def pass_on() -> None:
            nonlocal mine
            if mine:
                mine = False
                self._turn.release()

        loop = asyncio.get_running_loop()
        stepping_aside = loop.call_later(_SHORT, pass_on)
        try:
            with anyio.CancelScope(shield=True):
                given = await loop.run_in_executor(self._threads, work)
        finally:
            stepping_aside.cancel()
            pass_on()
        return given
