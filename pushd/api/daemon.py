"""The routes of the daemon itself: how it stands, and what may be asked of it."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import web

from pushd.api import parameters
from pushd.api.access import PRINCIPAL
from pushd.api.documents import reply

if TYPE_CHECKING:
    from pushd.api.ports import Jobs


class DaemonRoutes:
    """Tell how the daemon stands, and its contract."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._contract = files("pushd.api").joinpath("openapi.yaml").read_bytes()

    def routes(self) -> list[web.RouteDef]:
        """Give the table of routes."""
        return [
            web.get("/v1/status", self.status, allow_head=False),
            web.get("/v1/openapi.yaml", self.contract, allow_head=False),
        ]

    async def status(self, request: web.Request) -> web.Response:
        """Give what the daemon is doing, as far as it concerns the caller."""
        parameters.nothing(request.query.items())
        return reply(await self._jobs.status(caller=request[PRINCIPAL]))

    async def contract(self, request: web.Request) -> web.Response:
        """Give the OpenAPI description of all this; its media type is that of RFC 9512."""
        parameters.nothing(request.query.items())
        return web.Response(body=self._contract, content_type="application/yaml")
