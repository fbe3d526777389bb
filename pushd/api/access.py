"""Who is served, and as what: decided from what the kernel says of the caller and the socket they came by."""

from __future__ import annotations

import grp
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from aiohttp import web

from pushd.api.peer import nameless, peer
from pushd.api.view import own_root, shares_view
from pushd.errors import Code, RequestError
from pushd.principal import Principal, Role

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping

    from aiohttp.typedefs import Handler, Middleware

    from pushd.api.peer import Connection
    from pushd.api.view import Root

PRINCIPAL: Final = web.RequestKey("principal", Principal)
"""Where the caller is found in a request that was let through."""

_ROOT: Final = 0


@dataclass(frozen=True, slots=True)
class Cap:
    """The most a caller is who comes by one socket.

    Attributes:
        role: administrators are no more than this.
        paths: whether they may name paths at all.
    """

    role: Role
    paths: bool


@dataclass(slots=True)
class Doors:
    """Who is served. What is changed counts for connections that are opened from then on.

    Attributes:
        own_uid: the user the daemon runs as: an administrator, like root.
        administrators: groups whose members are.
        submitters: groups whose members submit.
        caps: what sockets take away, by their address as `getsockname` gives it. One that is not here takes nothing.
    """

    own_uid: int
    administrators: frozenset[int]
    submitters: frozenset[int]
    caps: Mapping[str | bytes, Cap]


_FULL: Final = Cap(Role.ADMINISTRATOR, paths=True)


def role_of(uid: int, gids: frozenset[int], doors: Doors) -> Role | None:
    """Give what a user is, whichever way they came; None for who is not served."""
    if uid in (_ROOT, doors.own_uid) or not gids.isdisjoint(doors.administrators):
        return Role.ADMINISTRATOR
    return Role.SUBMITTER if not gids.isdisjoint(doors.submitters) else None


def access(doors: Doors) -> Middleware:
    """Give the middleware that lets through who is served, and writes down who they are.

    It asks the kernel once for each connection. What it says was fixed when the connection was opened.
    """
    known: WeakKeyDictionary[asyncio.BaseTransport, Principal] = WeakKeyDictionary()
    own = own_root()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            raise nameless()
        principal = known.get(transport)
        if principal is None:
            principal = known[transport] = _principal(transport.get_extra_info("socket"), doors, own)
        request[PRINCIPAL] = principal
        return await handler(request)

    return middleware


def _principal(connection: Connection | None, doors: Doors, own: Root | None) -> Principal:
    """Say who opened the connection.

    Raises:
        RequestError: `request.forbidden`: nobody knows, or they are not served.
    """
    if connection is None:
        raise nameless()
    caller = peer(connection)
    role = role_of(caller.uid, caller.gids, doors)
    if role is None:
        hint = _hint(doors.submitters)
        raise RequestError(Code.REQUEST_FORBIDDEN, f"uid {caller.uid}", "is not served by this daemon", hint=hint)
    address = connection.getsockname()
    cap = doors.caps.get(address, _FULL)
    return Principal(
        uid=caller.uid,
        gids=caller.gids,
        role=role if cap.role is Role.ADMINISTRATOR else cap.role,
        paths=cap.paths and shares_view(connection, caller, own),
        logins=address not in doors.caps,
    )


def _hint(submitters: Iterable[int]) -> str:
    names = sorted(_group_name(gid) for gid in submitters)
    join = f"join group {' or '.join(names)} and log in again" if names else "ask its administrator"
    return f"{join}, or run a daemon of your own"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return str(gid)
