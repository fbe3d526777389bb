from __future__ import annotations

import json
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from pushd.api.problems import STATUS, problem, problems
from pushd.errors import Code, DaemonError, OffsetError, Origin, RequestError, SourceError, StoreError
from tests.fakes.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.telemetry.events import Event


def test_every_code_has_a_status() -> None:
    assert STATUS.keys() == set(Code)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.REQUEST_MALFORMED, 400),
        (Code.REQUEST_INVALID_REFERENCE, 400),
        (Code.REQUEST_FORBIDDEN, 403),
        (Code.REQUEST_NOT_FOUND, 404),
        (Code.REQUEST_METHOD, 405),
        (Code.REQUEST_CONFLICT, 422),
        (Code.REQUEST_STATE, 409),
        (Code.REQUEST_OFFSET, 409),
        (Code.REQUEST_EVENTS_GONE, 410),
        (Code.REQUEST_PATH_REFUSED, 403),
        (Code.REQUEST_LIMIT, 429),
        (Code.REQUEST_TOO_LARGE, 413),
        (Code.SOURCE_FORBIDDEN, 403),
        (Code.SOURCE_NOT_FOUND, 422),
        (Code.DAEMON_INTERNAL, 500),
        (Code.REGISTRY_UNREACHABLE, 502),
        (Code.REGISTRY_TAG_EXISTS, 409),
        (Code.STORE_UNAVAILABLE, 503),
        (Code.STORE_FULL, 507),
        (Code.STORE_BUDGET, 507),
    ],
)
def test_a_code_has_the_status_http_has_for_it(code: Code, status: int) -> None:
    assert STATUS[code] == status


@pytest.mark.parametrize("code", list(Code))
def test_who_is_to_blame_shows_in_the_status(code: Code) -> None:
    # Of what a registry says one thing alone is what the caller asked for: to leave a tag that is there.
    callers_fault = code.origin in (Origin.REQUEST, Origin.SOURCE) or code is Code.REGISTRY_TAG_EXISTS

    assert STATUS[code].value // 100 == (4 if callers_fault else 5)
    assert STATUS[code] != 401, "who somebody is comes from the kernel: there is nothing to log in with"


def test_a_problem_has_the_fields_of_rfc_9457_and_ours() -> None:
    response = problem(SourceError(Code.SOURCE_NOT_FOUND, "/srv/x", "is not there", hint="build it first"))

    assert (response.status, response.content_type) == (422, "application/problem+json")
    assert json.loads(response.body or b"") == {  # type: ignore[arg-type] # aiohttp types a body as anything
        "type": "urn:pushd:error:source.not_found",
        "title": "Source: not found",
        "status": 422,
        "detail": "/srv/x: is not there",
        "code": "source.not_found",
        "hint": "build it first",
    }


def test_a_problem_without_a_subject_has_the_detail_alone() -> None:
    response = problem(DaemonError(Code.DAEMON_INTERNAL, "", "the daemon met a defect"))

    assert b'"detail":"the daemon met a defect"' in bytes(response.body or b"")  # type: ignore[arg-type] # as above


def test_when_to_come_back_is_told_in_whole_seconds() -> None:
    response = problem(StoreError(Code.STORE_FULL, "disk", "is full", retry_after=1.2))

    assert response.headers["Retry-After"] == "2"


def test_who_brings_bytes_to_the_wrong_place_is_told_the_right_one() -> None:
    response = problem(OffsetError("blob", 4096))

    assert (response.status, response.headers["Upload-Offset"]) == (409, "4096")


def test_a_file_name_that_is_not_utf8_can_be_told() -> None:
    response = problem(RequestError(Code.REQUEST_MALFORMED, "/srv/\udcff", "is odd"))

    assert b'"detail":"/srv/?: is odd"' in bytes(response.body or b"")  # type: ignore[arg-type] # as above


async def test_what_else_the_http_server_refuses_is_a_malformed_request(path: Path, told: list[Event]) -> None:
    async def picky(_request: web.Request) -> web.Response:
        raise web.HTTPUnsupportedMediaType

    app = web.Application(middlewares=[problems(told.append)])
    app.router.add_get("/x", picky)
    connector = aiohttp.UnixConnector(str(path))
    async with (
        serving(app, path),
        aiohttp.ClientSession(connector=connector) as http,
        http.get("http://pushd/x") as response,
    ):
        read = await response.json(content_type="application/problem+json")

    assert (read["status"], read["code"], read["detail"]) == (
        400,
        "request.malformed",
        "/x: Unsupported Media Type",
    )
    assert told == []
