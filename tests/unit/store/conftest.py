"""A store on a directory of the test's own, with a clock that stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.store import open_store
from tests.unit.store.samples import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pushd.store import Store
    from pushd.telemetry.events import Event


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def published() -> list[Event]:
    """Collect what the store published."""
    return []


@pytest.fixture
async def store(tmp_path: Path, clock: Clock, published: list[Event]) -> AsyncIterator[Store]:
    opened = await open_store(tmp_path / "state", publish=published.extend, clock=clock)
    try:
        yield opened
    finally:
        await opened.close()
