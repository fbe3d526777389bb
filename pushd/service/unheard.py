"""Failures of connections that nobody waits for any more: no defect, and nothing an operator is to be woken for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    import asyncio

_LOST = (ConnectionError, aiohttp.ClientConnectionError)


def unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle what the event loop has nobody to tell of (`asyncio.loop.set_exception_handler`).

    When a connection is lost while a body is written, the HTTP library tells whoever waits to write the next piece; a
    request that has ended meanwhile, by an early answer, waits no more (aiohttp, `BaseProtocol.connection_lost`). The
    request itself was told, and told of it.
    """
    if "future" in context and isinstance(context.get("exception"), _LOST):
        return
    loop.default_exception_handler(context)
