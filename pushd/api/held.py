"""Requests that are held open: long polls and event streams. They end when their callers leave, or the daemon stops."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web


class Held:
    """The requests held open now.

    Args:
        look: seconds between two looks whether the callers are still there. The HTTP server does not tell: it would
            only when something is written to them, and they wait because there is nothing to write.
    """

    def __init__(self, look: float) -> None:
        self._look = look
        self._scopes: dict[anyio.CancelScope, web.Request | None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._released = False

    @contextmanager
    def hold(self, request: web.Request | None = None) -> Iterator[None]:
        """Run the block until it ends, `request`'s caller is found gone, or all are released.

        Whichever it is, the code after the block goes on.
        """
        with anyio.CancelScope() as scope:
            self._scopes[scope] = request
            self._watch()
            try:
                if self._released:
                    scope.cancel()
                yield
            finally:
                del self._scopes[scope]

    async def release(self, _app: web.Application) -> None:
        """End all that are held, and any that comes later: without it aiohttp waits a minute for each."""
        self._released = True
        if self._timer is not None:
            self._timer.cancel()
        for scope in tuple(self._scopes):
            scope.cancel()

    def _watch(self) -> None:
        if self._timer is None and not self._released:
            self._timer = asyncio.get_running_loop().call_later(self._look, self._drop_departed)

    def _drop_departed(self) -> None:
        self._timer = None
        for scope, request in tuple(self._scopes.items()):
            if request is not None and not connected(request):
                scope.cancel()
        if self._scopes:
            self._watch()


def connected(request: web.Request) -> bool:
    """Whether the caller is still there."""
    return request.transport is not None and not request.transport.is_closing()
