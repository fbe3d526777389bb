"""A deadline that moves with every slice of a body."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Self

import anyio

if TYPE_CHECKING:
    from types import TracebackType


class Watch:
    """Ends a block that stands still: at its end nothing was raised, and the block was not left through its last line.

    Moving it costs an assignment. A timer that is set anew for each of four thousand slices a second, as moving the
    deadline of a cancel scope does, costs more than handing the slices to the kernel.

    Args:
        seconds: until the block is ended unless `move` or `pause` is called.
        least: seconds, the fewest that `move` will be given.
    """

    def __init__(self, seconds: float, *, least: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._scope = anyio.CancelScope()
        self._least = least
        self._deadline = self._loop.time() + seconds

    def now(self) -> float:
        """Give the time by its clock, seconds."""
        return self._loop.time()

    def move(self, seconds: float) -> None:
        """End the block so many seconds from now."""
        self._deadline = self._loop.time() + seconds

    def pause(self) -> None:
        """Do not end it until `move` is called."""
        self._deadline = math.inf

    def __enter__(self) -> Self:
        self._look()
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._timer.cancel()
        return self._scope.__exit__(kind, error, traceback)

    def _look(self) -> None:
        now = self._loop.time()
        if now >= self._deadline:
            self._scope.cancel()
        else:
            # What it is moved to meanwhile is no sooner.
            self._timer = self._loop.call_at(min(self._deadline, now + self._least), self._look)
