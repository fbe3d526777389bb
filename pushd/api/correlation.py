"""The request's id and trace, for as long as it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from pushd.telemetry.trace import REQUEST_ID, TRACEPARENT, read_request_id, read_traceparent

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

_HEADER: Final = "X-Request-Id"


def correlated() -> Middleware:
    """Give the middleware that notes by what the request is known."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        known = REQUEST_ID.set(read_request_id(request.headers.getall(_HEADER, [])))
        traced = TRACEPARENT.set(read_traceparent(request.headers.getall("traceparent", [])))
        try:
            return await handler(request)
        finally:
            TRACEPARENT.reset(traced)
            REQUEST_ID.reset(known)

    return middleware


async def give_back(request: web.Request, response: web.StreamResponse) -> None:
    """Have every answer say by which id its request is known; called as the head of it is made."""
    response.headers[_HEADER] = REQUEST_ID.get() or read_request_id(request.headers.getall(_HEADER, []))
