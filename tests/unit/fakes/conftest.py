"""A client that decides nothing, to find out what the fake registry answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.fakes.registry import FakeRegistry


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.content)["errors"][0]["code"])

    @property
    def location(self) -> str:
        return self.headers["Location"]


class Peer:
    """A client that decides nothing."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def __call__(
        self, method: str, url: str, body: bytes | AsyncIterator[bytes] | None = None, **headers: str
    ) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(method, url, data=body, headers=named, allow_redirects=False) as reply:
            return Reply(reply.status, reply.headers, await reply.read())

    async def open(self, registry: FakeRegistry, repository: str = "app") -> str:
        reply = await self("POST", f"{registry.url}/v2/{repository}/blobs/uploads/")
        assert reply.status == 202
        return reply.location

    async def patch(self, location: str, body: bytes, start: int) -> Reply:
        return await self("PATCH", location, body, Content_Range=f"{start}-{start + len(body) - 1}")

    async def commit(self, location: str, digest: str, body: bytes = b"") -> Reply:
        return await self("PUT", f"{location}&digest={digest}", body)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        # By itself aiohttp sends an idempotent request (RFC 9110, 9.2.2) once more when the connection breaks.
        session._retry_connection = False
        yield Peer(session)
