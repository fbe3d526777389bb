from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import pytest

from pushd.registry import Settings, Timeouts, Wire
from pushd.registry.client import RegistryClient
from pushd.registry.tls import Tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushd.credentials.credential import Credential

QUICK = Timeouts(connect=1.0, stall=0.4, commit=0.8, request=0.6)
PLAIN = Tls()
"""Nothing configured."""


class Connect(Protocol):
    """Make a client of the registry at an address, over the fixture's wire."""

    def __call__(
        self,
        address: str,
        credential: Credential | None = None,
        *,
        plain_http: bool | None = None,
        tls: Tls = PLAIN,
    ) -> RegistryClient:
        """Make it."""


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """Give a wire with little patience, and see that nothing of it is left under way when the test is over."""
    wire = Wire(QUICK)
    yield wire
    await settled(wire)
    await wire.close()


@pytest.fixture
def connect(wire: Wire) -> Connect:
    """Give a function that makes clients."""

    def make(
        address: str, credential: Credential | None = None, *, plain_http: bool | None = None, tls: Tls = PLAIN
    ) -> RegistryClient:
        return RegistryClient(address, Settings(plain_http=plain_http, tls=tls), credential, wire)

    return make


async def settled(wire: Wire) -> None:
    """See that no connection is in use and no body is being written; a cancelled task needs a turn of the loop."""
    connector = wire._session.connector  # behind the door: a leak shows nowhere else
    assert connector is not None

    def writers() -> list[asyncio.Task[object]]:
        return [task for task in asyncio.all_tasks() if "write_bytes" in repr(task.get_coro())]

    for _ in range(20):
        if not connector._acquired and not writers():
            return
        await asyncio.sleep(0.01)
    assert (set(connector._acquired), writers()) == (set(), [])
