"""aioresponses works with the aiohttp we use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from tests.fakes.registry import FakeRegistry


async def test_a_mocked_status_becomes_a_response(responses: Any) -> None:
    responses.head("http://registry.example.com/v2/app/manifests/1.4", status=429, headers={"Retry-After": "7"})
    async with (
        aiohttp.ClientSession() as session,
        session.head("http://registry.example.com/v2/app/manifests/1.4") as reply,
    ):
        assert (reply.status, reply.headers["Retry-After"]) == (429, "7")


async def test_loopback_goes_through_to_real_servers(responses: Any, registry: FakeRegistry) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{registry.url}/v2/") as reply:
        assert (reply.status, await reply.read()) == (200, b"{}")
    assert registry.count() == 1
