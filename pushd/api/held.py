"""Requests that are held open: long polls and event streams. They end when the daemon stops."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web


class Held:
    """The requests held open now."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._released = False

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Run the block until it ends, or until all are released; either way the code after it goes on."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                if self._released:
                    scope.cancel()
                yield
            finally:
                self._scopes.discard(scope)

    async def release(self, _app: web.Application) -> None:
        """End all that are held, and any that comes later: without it aiohttp waits a minute for each."""
        self._released = True
        for scope in tuple(self._scopes):
            scope.cancel()


def connected(request: web.Request) -> bool:
    """Whether the caller is still there."""
    return request.transport is not None and not request.transport.is_closing()
