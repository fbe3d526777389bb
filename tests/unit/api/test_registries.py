from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import aiohttp

    from pushd.telemetry.events import Event
    from tests.fakes.jobs import FakeJobs


async def answer(response: aiohttp.ClientResponse) -> tuple[int, Any]:
    async with response:
        return response.status, await response.json(content_type=None)


async def test_a_registry_is_held_back_and_served_again(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    paused = await answer(await http.post("/v1/registries/A.B:5000/pause"))
    resumed = await answer(await http.post("/v1/registries/a.b:5000/resume", json={}))

    assert paused == (200, {"registry": "a.b:5000", "paused_since": "2026-07-01T12:00:00Z"})
    assert resumed == (200, {"registry": "a.b:5000", "paused_since": None})
    assert jobs.asked == ["pause a.b:5000", "resume a.b:5000"]


async def test_everything_that_goes_to_a_registry_is_cancelled(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    cancelled = await answer(await http.post("/v1/registries/a.b/cancel"))

    assert cancelled == (200, {"registry": "a.b", "cancelled": 2, "stopping": 1})
    assert jobs.asked == ["cancel a.b"]


async def test_a_registry_is_tried_with_and_without_a_repository(http: aiohttp.ClientSession, jobs: FakeJobs) -> None:
    for body in (None, {}, {"repository": None}, {"repository": "team/app"}):
        status, document = await answer(await http.post("/v1/registries/a.b/diagnose", json=body))
        assert status == 200, document
        assert document["checks"][1] == {"check": "tls", "ok": None, "detail": "plain HTTP", "hint": ""}

    assert jobs.asked == ["diagnose a.b"] * 3 + ["diagnose a.b/team/app"]


async def test_a_registry_is_tried_with_what_is_handed_over_or_chosen(
    http: aiohttp.ClientSession, jobs: FakeJobs
) -> None:
    credentials = [{"registry": "a.b", "username": "u", "password": "p"}]
    for body in ({"credentials": credentials}, {"credential": "anonymous"}, {"credential": "work:1"}):
        status, document = await answer(await http.post("/v1/registries/a.b/diagnose", json=body))
        assert status == 200, document

    assert jobs.asked == ["diagnose a.b", "diagnose a.b with anonymous", "diagnose a.b with work:1"]
    ((call, handed),) = jobs.handed
    assert (call, [(each.scope, each.credential.password) for each in handed]) == ("diagnose", [("a.b", "p")])


@pytest.mark.parametrize(
    ("target", "body", "status", "field"),
    [
        ("/v1/registries/team/pause", None, 400, "registry"),
        ("/v1/registries/a.b%2Fc/pause", None, 400, "registry"),
        ("/v1/registries/a.b%00/pause", None, 400, "registry"),
        ("/v1/registries/a.b:99999/resume", None, 400, "registry"),
        ("/v1/registries/a.b/pause?x=1", None, 400, "query"),
        ("/v1/registries/a.b/pause", {"for": 1}, 400, "for"),
        ("/v1/registries/a.b/diagnose", {"repository": "app:1"}, 400, "repository"),
        ("/v1/registries/a.b/diagnose", {"repository": 1}, 400, "repository"),
        ("/v1/registries/a.b/diagnose", {"repo": "app"}, 400, "repo"),
        ("/v1/registries/a.b/diagnose", {"credential": "a b"}, 400, "credential"),
        ("/v1/registries/a.b/diagnose", {"credentials": [{"registry": "a.b"}]}, 400, "credentials[0]"),
        ("/v1/registries/a.b/diagnose", {"credentials": [{"registry": "a.b", "x": 1}]}, 400, "credentials[0].x"),
        ("/v1/registries/team/diagnose", {"repository": "app"}, 400, "registry"),
    ],
)
async def test_what_is_no_registry_is_asked_nothing(
    *, http: aiohttp.ClientSession, jobs: FakeJobs, told: list[Event], target: str, body: Any, status: int, field: str
) -> None:
    answered, document = await answer(await http.post(target, json=body))

    assert answered == status, document
    assert document["detail"].startswith(f"{field}: ")
    assert (jobs.asked, told) == ([], [])
