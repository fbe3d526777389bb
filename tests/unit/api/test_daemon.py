from __future__ import annotations

import os
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    import aiohttp


async def test_how_the_daemon_stands_is_told_to_who_asks(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/status") as response:
        document = await response.json()

    assert (response.status, document["uid"], document["role"]) == (200, os.getuid(), "administrator")
    assert document["now"] == "2026-07-01T12:00:00Z"


async def test_the_contract_is_served(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/openapi.yaml") as response:
        document = yaml.safe_load(await response.read())

    assert (response.status, response.content_type) == (200, "application/yaml")
    assert document["openapi"].startswith("3.1")
