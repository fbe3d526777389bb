"""Who is calling, as the kernel says, and whether they are served."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Final

from aiohttp import web

from pushd.errors import Code, RequestError

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket

    from aiohttp.typedefs import Handler, Middleware

UID: Final = web.RequestKey("uid", int)
"""Where the caller's uid is found in a request that was let through."""

_UCRED: Final = struct.Struct("=iII")
"""`struct ucred` of Linux: pid, uid, gid (unix(7), SO_PEERCRED)."""

_ROOT: Final = 0


def peer_uid(connection: socket.socket | TransportSocket | None) -> int | None:
    """Give the uid that opened the connection; None when it is gone or no unix socket."""
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)


def check(uid: int | None, *, own_uid: int) -> int:
    """Give `uid` when it is served: root, and the user the daemon runs as.

    Raises:
        RequestError: `request.forbidden`.
    """
    if uid is None:
        raise RequestError(Code.REQUEST_FORBIDDEN, "caller", "the kernel does not say who it is")
    if uid not in (_ROOT, own_uid):
        raise RequestError(
            Code.REQUEST_FORBIDDEN,
            f"uid {uid}",
            "is not served by this daemon",
            hint=f"it serves root and uid {own_uid}; run a daemon of your own, or ask its administrator",
        )
    return uid


def access(own_uid: int) -> Middleware:
    """Give the middleware that lets through who is served, and writes down who they are."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        transport = request.transport
        connection = transport.get_extra_info("socket") if transport is not None else None
        request[UID] = check(peer_uid(connection), own_uid=own_uid)
        return await handler(request)

    return middleware
