from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from pushd.api import make_app
from pushd.api.access import Doors
from pushd.api.patience import Patience
from tests.fakes.jobs import FakeJobs
from tests.fakes.logins import FakeLogins
from tests.fakes.metrics import FakeMetrics
from tests.fakes.serving import serving
from tests.fakes.spool import FakeSpool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aiohttp import web

    from pushd.telemetry.events import Event

PATIENCE = Patience(body=0.3, reader=0.3, look=0.1)
STREAMS = 40
"""Event streams one user may have open."""


@pytest.fixture
def jobs() -> FakeJobs:
    return FakeJobs()


@pytest.fixture
def logins() -> FakeLogins:
    return FakeLogins()


@pytest.fixture
def metrics() -> FakeMetrics:
    return FakeMetrics()


@pytest.fixture
def told() -> list[Event]:
    """What the API told the daemon's listeners: nothing, as long as there is no defect."""
    return []


@pytest.fixture
def path() -> Iterator[Path]:
    """A short path that anybody may reach: a socket's address holds 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="pushd-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory, "s")


@pytest.fixture
def app(jobs: FakeJobs, logins: FakeLogins, metrics: FakeMetrics, told: list[Event]) -> web.Application:
    doors = Doors(os.getuid(), administrators=frozenset(), submitters=frozenset(), caps={})
    return make_app(
        jobs,
        FakeSpool(),
        logins,
        metrics,
        emit=told.append,
        doors=doors,
        streams_per_user=STREAMS,
        request_size=1 << 20,
        patience=PATIENCE,
    )


@pytest.fixture
async def runner(app: web.Application, path: Path) -> AsyncIterator[web.AppRunner]:
    async with serving(app, path) as running:
        yield running


@pytest.fixture
async def http(runner: web.AppRunner, path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.UnixConnector(str(path))
    async with aiohttp.ClientSession("http://pushd", connector=connector) as session:
        yield session
