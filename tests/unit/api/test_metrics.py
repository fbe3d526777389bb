from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from pushd.api import make_app
from pushd.api.access import Cap, Doors
from pushd.errors import Code, StoreError
from pushd.principal import Role
from tests.fakes.jobs import FakeJobs
from tests.fakes.logins import FakeLogins
from tests.fakes.metrics import OPENMETRICS, TEXT, FakeMetrics
from tests.fakes.serving import serving
from tests.fakes.spool import FakeSpool

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.telemetry.events import Event

AS_TEXT = "text/plain; version=0.0.4; charset=utf-8"
AS_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


async def problem(response: aiohttp.ClientResponse) -> tuple[int, Any]:
    async with response:
        return response.status, await response.json(content_type="application/problem+json")


@pytest.mark.parametrize(
    ("accept", "content_type", "body"),
    [
        pytest.param(None, AS_TEXT, TEXT, id="nothing said"),
        pytest.param("*/*", AS_TEXT, TEXT, id="curl"),
        pytest.param("text/plain", AS_TEXT, TEXT, id="text"),
        pytest.param("application/json", AS_TEXT, TEXT, id="neither"),
        pytest.param("application/openmetrics-text", AS_OPENMETRICS, OPENMETRICS, id="openmetrics"),
        pytest.param("application/openmetrics-text;q=0.1, text/plain", AS_TEXT, TEXT, id="rather text"),
        pytest.param(PROMETHEUS_2, AS_OPENMETRICS, OPENMETRICS, id="Prometheus 2"),
        pytest.param(PROMETHEUS_3, AS_OPENMETRICS, OPENMETRICS, id="Prometheus 3"),
    ],
)
async def test_the_metrics_come_in_the_form_that_is_asked_for(
    http: aiohttp.ClientSession, accept: str | None, content_type: str, body: bytes
) -> None:
    headers = {} if accept is None else {"Accept": accept}
    async with http.get("/v1/metrics", headers=headers, skip_auto_headers=["Accept"]) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == content_type
        assert await response.read() == body


async def test_who_only_submits_is_refused_and_told_what_is_for_them(path: Path, told: list[Event]) -> None:
    metrics = FakeMetrics()
    doors = Doors(
        os.getuid(),
        administrators=frozenset(),
        submitters=frozenset(),
        caps={str(path): Cap(Role.SUBMITTER, paths=True)},
    )
    app = make_app(
        FakeJobs(),
        FakeSpool(),
        FakeLogins(),
        metrics,
        emit=told.append,
        doors=doors,
        streams_per_user=1,
        request_size=1 << 20,
    )
    connector = aiohttp.UnixConnector(str(path))
    async with serving(app, path), aiohttp.ClientSession("http://pushd", connector=connector) as http:
        status, document = await problem(await http.get("/v1/metrics"))

    assert (status, document["code"]) == (403, "request.forbidden")
    assert "/v1/status" in document["hint"]
    assert metrics.asked == 0


async def test_a_store_that_cannot_be_read_is_no_metrics(http: aiohttp.ClientSession, metrics: FakeMetrics) -> None:
    metrics.raises = StoreError(Code.STORE_UNAVAILABLE, "", "the store is closed")

    assert (await problem(await http.get("/v1/metrics")))[0] == 503


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("POST", "/v1/metrics", 405), ("HEAD", "/v1/metrics", 405), ("GET", "/v1/metrics?name[]=up", 400)],
)
async def test_there_is_nothing_else_to_ask_of_them(
    *, http: aiohttp.ClientSession, metrics: FakeMetrics, method: str, target: str, status: int
) -> None:
    async with http.request(method, target) as response:
        assert response.status == status
    assert metrics.asked == 0
