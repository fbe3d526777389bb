"""The routes of logins: credentials that callers store under a name."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

import msgspec
from aiohttp import web

from pushd.api import parameters
from pushd.api.access import PRINCIPAL
from pushd.api.body import Nothing, read_body, read_small
from pushd.api.credentials import LOGIN, Given, login_name, read_credential
from pushd.api.documents import reply
from pushd.api.fields import read_fields

if TYPE_CHECKING:
    from pushd.api.patience import Patience
    from pushd.api.ports import Logins
    from pushd.work import Login

_DECODER: Final = msgspec.json.Decoder(Given)


class LoginRoutes:
    """Store a credential, list those that are stored, forget one."""

    def __init__(self, logins: Logins, patience: Patience) -> None:
        self._logins = logins
        self._patience = patience

    def routes(self) -> list[web.RouteDef]:
        """Give the table of routes."""
        return [
            web.get("/v1/logins", self.list, allow_head=False),
            web.put("/v1/logins/{name}", self.store),
            web.delete("/v1/logins/{name}", self.remove),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """Give the caller's, without what is in them."""
        parameters.nothing(request.query.items())
        found = await self._logins.list(caller=request[PRINCIPAL])
        now = datetime.now(UTC)
        return reply({"logins": [_shown(login, now) for login in found]})

    async def store(self, request: web.Request) -> web.Response:
        """Try a credential at its registry, and keep it unless it is refused there."""
        parameters.nothing(request.query.items())
        name = login_name(request.match_info["name"])
        given = read_fields(await read_body(request, self._patience), _DECODER)
        handed = read_credential(given, source=LOGIN, now=datetime.now(UTC))
        stored = await self._logins.store(name, handed, caller=request[PRINCIPAL])
        shown = _shown(cast("Login", stored["login"]), datetime.now(UTC))
        return reply({**shown, "verified": stored["verified"], "resumed": stored["resumed"]})

    async def remove(self, request: web.Request) -> web.Response:
        """204: it is forgotten."""
        parameters.nothing(request.query.items())
        await read_small(request, self._patience, Nothing)
        await self._logins.remove(login_name(request.match_info["name"]), caller=request[PRINCIPAL])
        return web.Response(status=HTTPStatus.NO_CONTENT)


def _shown(login: Login, now: datetime) -> dict[str, object]:
    """Show a login: field by field, so that what is sealed stays where it is."""
    sealed = login.sealed
    gone = sealed.secret is None or (sealed.expires_at is not None and sealed.expires_at <= now)
    return {
        "name": login.name,
        "registry": sealed.scope,
        "created_at": sealed.created_at,
        "expires_at": sealed.expires_at,
        "usable": not gone,
    }
