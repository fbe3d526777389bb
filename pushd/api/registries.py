"""The routes of registries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from pushd.api import parameters
from pushd.api.access import PRINCIPAL
from pushd.api.body import Nothing, read_small
from pushd.api.credentials import Given, read_credentials
from pushd.api.documents import reply
from pushd.api.targets import registry, target
from pushd.job import AUTO

if TYPE_CHECKING:
    from pushd.api.patience import Patience
    from pushd.api.ports import Jobs


class _Diagnosis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    repository: str | None = None
    credential: str = AUTO
    credentials: list[Given] = []


class RegistryRoutes:
    """Hold a registry back, serve it again, cancel what goes there, and try how it is spoken to."""

    def __init__(self, jobs: Jobs, patience: Patience) -> None:
        self._jobs = jobs
        self._patience = patience

    def routes(self) -> list[web.RouteDef]:
        """Give the table of routes."""
        return [
            web.post("/v1/registries/{registry}/pause", self.pause),
            web.post("/v1/registries/{registry}/resume", self.resume),
            web.post("/v1/registries/{registry}/cancel", self.cancel),
            web.post("/v1/registries/{registry}/diagnose", self.diagnose),
        ]

    async def pause(self, request: web.Request) -> web.Response:
        """Send nothing more there."""
        name = await self._named(request)
        return reply(await self._jobs.pause_registry(name, caller=request[PRINCIPAL]))

    async def resume(self, request: web.Request) -> web.Response:
        """Serve it again."""
        name = await self._named(request)
        return reply(await self._jobs.resume_registry(name, caller=request[PRINCIPAL]))

    async def cancel(self, request: web.Request) -> web.Response:
        """End all that goes there."""
        name = await self._named(request)
        return reply(await self._jobs.cancel_registry(name, caller=request[PRINCIPAL]))

    async def diagnose(self, request: web.Request) -> web.Response:
        """Try it step by step; of a repository in it, the right to push there too."""
        parameters.nothing(request.query.items())
        wanted = await read_small(request, self._patience, _Diagnosis, parts={"credentials": Given})
        name = target(request.match_info["registry"], wanted.repository)
        handed = read_credentials(wanted.credentials, wanted.credential, now=datetime.now(UTC))
        found = await self._jobs.diagnose(name, handed=handed, credential=wanted.credential, caller=request[PRINCIPAL])
        return reply(found)

    async def _named(self, request: web.Request) -> str:
        parameters.nothing(request.query.items())
        await read_small(request, self._patience, Nothing)
        return registry(request.match_info["registry"])
