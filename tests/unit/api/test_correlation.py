"""Every answer says by which id its request is known, and a job knows the trace and the request it came with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.telemetry.trace import REQUEST_ID, TRACEPARENT
from tests.unit.api.test_jobs import GOOD

if TYPE_CHECKING:
    import aiohttp

    from tests.fakes.jobs import FakeJobs

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/v1/jobs", 200),
        ("POST", "/v1/jobs", 400),
        ("GET", "/v1/nowhere", 404),
        ("DELETE", "/v1/jobs", 405),
        ("GET", "/v1/events?follow=0", 200),
    ],
)
async def test_every_answer_gives_the_id_of_its_request_back(
    http: aiohttp.ClientSession, method: str, target: str, status: int
) -> None:
    async with http.request(method, target, headers={"X-Request-Id": "build-4711"}) as response:
        assert (response.status, response.headers["X-Request-Id"]) == (status, "build-4711")
    async with http.request(method, target) as first, http.request(method, target) as second:
        made_up = {first.headers["X-Request-Id"], second.headers["X-Request-Id"]}
    assert len(made_up) == 2


async def test_one_that_is_no_id_is_replaced(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/jobs", headers={"X-Request-Id": "a b"}) as response:
        assert len(response.headers["X-Request-Id"]) == 32


async def test_an_expectation_that_is_not_known_is_answered_with_an_id_too(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/jobs", headers={"Expect": "miracles", "X-Request-Id": "mine"}) as response:
        assert (response.status, response.headers["X-Request-Id"]) == (400, "mine")


async def test_what_hands_a_job_in_is_known_while_it_is_taken_and_forgotten_after(
    http: aiohttp.ClientSession, jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str | None, str | None]] = []
    submit = jobs.submit

    async def noting(*args: object, **kwargs: object) -> object:
        seen.append((REQUEST_ID.get(), TRACEPARENT.get()))
        return await submit(*args, **kwargs)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(jobs, "submit", noting)
    headers = {"X-Request-Id": "build-4711", "traceparent": PARENT}
    async with http.post("/v1/jobs", json=GOOD, headers=headers) as response:
        assert response.status == 202
    async with http.post(
        "/v1/jobs", json=GOOD, headers={"X-Request-Id": "other", "traceparent": "nonsense"}
    ) as response:
        assert response.status == 202
    assert seen == [("build-4711", PARENT), ("other", None)]
