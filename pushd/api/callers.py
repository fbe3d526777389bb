"""Callers who do not keep to HTTP: what they are told, and what is not worth a line in the log."""

from __future__ import annotations

import logging
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from pushd.api.problems import problem
from pushd.errors import Code, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LINE_SIZE: Final = 1 << 20
"""Bytes a request line may have: the longest question of the contract, 64 labels percent-encoded, has 0.8 MiB."""

_THEIRS: Final = (HttpProcessingError, web.RequestPayloadError, ConnectionError)
"""What the HTTP server meets when a caller sends something else than it says, or stops in the middle."""


def make_runner(app: web.Application, *, shutdown_timeout: float) -> web.AppRunner:
    """Give what serves the application: all the questions of its contract, and no word of callers in the log.

    Args:
        app: as `make_app` builds it.
        shutdown_timeout: seconds requests under way get to end when the runner is cleaned up.
    """
    return web.AppRunner(
        app,
        access_log=None,
        logger=_server_logger(),
        shutdown_timeout=shutdown_timeout,
        handle_signals=False,
        max_line_size=_LINE_SIZE,
    )


def _server_logger() -> logging.Logger:
    """Give the logger for the HTTP server, which tells of our failures and not of our callers'.

    Anyone who may connect could otherwise fill the log, with a traceback for each line of garbage.
    """
    logger = logging.getLogger("pushd.http")
    if _ours not in logger.filters:
        logger.addFilter(_ours)
    return logger


def _ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, _THEIRS)


def add_routes(app: web.Application, routes: Iterable[web.RouteDef]) -> None:
    """Add all routes there are, and ours for every request that fits none.

    aiohttp would answer those as well, but an `Expect` header (RFC 9110, 10.1.1) before our middleware sees them: with
    a 417 in plain text, or with a 500 when the header is not UTF-8.
    """
    app.add_routes(
        web.RouteDef(route.method, route.path, route.handler, {**route.kwargs, "expect_handler": _expected})
        for route in sorted(routes, key=attrgetter("path"))  # aiohttp makes one resource of those side by side
    )
    for resource in tuple(app.router.resources()):
        allowed = sorted(route.method for route in resource)
        if isinstance(resource, web.Resource):
            resource.add_route(hdrs.METH_ANY, partial(_wrong_method, allowed), expect_handler=_expected)
    app.router.add_route(hdrs.METH_ANY, "/{path:.*}", _nowhere, expect_handler=_expected)


async def _wrong_method(allowed: Sequence[str], request: web.Request) -> web.StreamResponse:
    raise web.HTTPMethodNotAllowed(request.method, allowed)


async def _nowhere(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


async def _expected(request: web.Request) -> web.StreamResponse | None:
    if request.version < HttpVersion11:
        return None  # one that knows no interim replies must not be sent any (RFC 9110, 10.1.1)
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        return problem(RequestError(Code.REQUEST_MALFORMED, "Expect", "must be 100-continue, or not be there"))
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # as aiohttp does itself: this was no part of the reply yet
    return None
