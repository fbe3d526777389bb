from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pushd.credentials.credential import Credential
from pushd.errors import Code, RequestError, StoreError
from tests.fakes.logins import REFUSED, SEALED

if TYPE_CHECKING:
    import aiohttp

    from pushd.telemetry.events import Event
    from tests.fakes.logins import FakeLogins

GOOD = {"registry": "A.B:5000/team", "username": "u", "password": "hunter2"}


async def answer(response: aiohttp.ClientResponse) -> tuple[int, Any]:
    async with response:
        return response.status, await response.json(content_type=None)


async def test_a_credential_is_stored_under_a_name(http: aiohttp.ClientSession, logins: FakeLogins) -> None:
    logins.resumed = 2

    stored = await answer(await http.put("/v1/logins/work:1", json=GOOD))

    assert stored == (
        200,
        {
            "name": "work:1",
            "registry": "a.b:5000/team",
            "created_at": "2026-07-01T12:00:00Z",
            "expires_at": None,
            "usable": True,
            "verified": True,
            "resumed": 2,
        },
    )
    (handed,) = logins.stored
    assert (handed.scope, handed.credential) == ("a.b:5000/team", Credential("login", "u", "hunter2"))


async def test_that_its_registry_did_not_answer_is_said(http: aiohttp.ClientSession, logins: FakeLogins) -> None:
    logins.verified = None

    assert (await answer(await http.put("/v1/logins/work", json=GOOD)))[1]["verified"] is None


async def test_it_may_be_stored_for_a_time(http: aiohttp.ClientSession, logins: FakeLogins) -> None:
    before = datetime.now(UTC)
    _, stored = await answer(await http.put("/v1/logins/work", json={**GOOD, "expires_in": 60}))

    (handed,) = logins.stored
    assert handed.expires_at is not None
    assert before + timedelta(seconds=60) <= handed.expires_at <= datetime.now(UTC) + timedelta(seconds=60)
    assert stored["expires_at"] == handed.expires_at.isoformat().replace("+00:00", "Z")


async def test_logins_are_listed_without_what_is_in_them(http: aiohttp.ClientSession, logins: FakeLogins) -> None:
    assert await answer(await http.get("/v1/logins")) == (200, {"logins": []})
    await http.put("/v1/logins/work", json=GOOD)
    await http.put("/v1/logins/home", json={"registry": "c.d", "identity_token": "hunter2"})

    status, listed = await answer(await http.get("/v1/logins"))

    assert status == 200
    assert listed["logins"] == [
        {"name": name, "registry": place, "created_at": "2026-07-01T12:00:00Z", "expires_at": None, "usable": True}
        for name, place in (("home", "c.d"), ("work", "a.b:5000/team"))
    ]
    assert SEALED.decode() not in json.dumps(listed)


async def test_a_login_that_is_spent_or_past_its_time_is_not_usable(
    http: aiohttp.ClientSession, logins: FakeLogins
) -> None:
    for name in ("fresh", "past", "spent"):
        await http.put(f"/v1/logins/{name}", json={**GOOD, "expires_in": 3600})
    changes: dict[str, dict[str, Any]] = {"past": {"expires_at": datetime.now(UTC)}, "spent": {"secret": None}}
    for mine, login in logins.logins.items():
        logins.logins[mine] = replace(login, sealed=replace(login.sealed, **changes.get(login.name, {})))

    _, listed = await answer(await http.get("/v1/logins"))

    assert {login["name"]: login["usable"] for login in listed["logins"]} == {
        "fresh": True,
        "past": False,
        "spent": False,
    }


async def test_a_login_is_forgotten_once(http: aiohttp.ClientSession, logins: FakeLogins) -> None:
    await http.put("/v1/logins/work", json=GOOD)

    async with http.delete("/v1/logins/work") as response:
        assert (response.status, await response.read()) == (204, b"")
    status, problem = await answer(await http.delete("/v1/logins/work"))

    assert (status, problem["code"], logins.logins) == (404, "request.not_found", {})


async def test_what_the_registry_refuses_is_not_stored(http: aiohttp.ClientSession, logins: FakeLogins) -> None:
    status, problem = await answer(await http.put("/v1/logins/work", json={**GOOD, "password": REFUSED}))

    assert (status, problem["code"]) == (422, "request.credential_refused")
    assert logins.logins == {}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestError(Code.REQUEST_LIMIT, "uid 1", "has too many"), 429),
        (RequestError(Code.REQUEST_FORBIDDEN, "a.b", "is no destination"), 403),
        (StoreError(Code.STORE_FULL, "/var/lib/pushd", "is full"), 507),
        (StoreError(Code.STORE_UNAVAILABLE, "database", "does not answer"), 503),
    ],
)
async def test_what_keeps_it_from_being_stored_is_said(
    http: aiohttp.ClientSession, logins: FakeLogins, error: Exception, status: int
) -> None:
    logins.raises = error

    assert (await answer(await http.put("/v1/logins/work", json=GOOD)))[0] == status


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "field"),
    [
        ("PUT", "/v1/logins/work", None, 400, "Content-Type"),
        ("PUT", "/v1/logins/work", [], 400, "body"),
        ("PUT", "/v1/logins/work", {}, 400, "registry"),
        ("PUT", "/v1/logins/work", {**GOOD, "registry": "team"}, 400, "registry"),
        ("PUT", "/v1/logins/work", {**GOOD, "password": {"hunter2": 1}}, 400, "password"),
        ("PUT", "/v1/logins/work", {**GOOD, "passwd": "hunter2"}, 400, "passwd"),
        ("PUT", "/v1/logins/work", {**GOOD, "expires_in": -1}, 400, "expires_in"),
        ("PUT", "/v1/logins/auto", GOOD, 400, "name"),
        ("PUT", "/v1/logins/a%2Fb", GOOD, 400, "name"),
        ("PUT", "/v1/logins/%00", GOOD, 400, "name"),
        ("PUT", "/v1/logins/work?force=1", GOOD, 400, "query"),
        ("GET", "/v1/logins?uid=0", None, 400, "query"),
        ("DELETE", "/v1/logins/%ff", None, 400, "name"),
        ("DELETE", "/v1/logins/work", {"force": True}, 400, "force"),
        ("DELETE", "/v1/logins/work?force=1", None, 400, "query"),
        ("POST", "/v1/logins", GOOD, 405, "/v1/logins"),
        ("GET", "/v1/logins/work", None, 405, "/v1/logins/work"),
    ],
)
async def test_what_is_no_login_is_refused_by_name_and_nothing_is_stored(
    *,
    http: aiohttp.ClientSession,
    logins: FakeLogins,
    told: list[Event],
    method: str,
    target: str,
    body: Any,
    status: int,
    field: str,
) -> None:
    answered, problem = await answer(await http.request(method, target, json=body))

    assert answered == status, problem
    assert problem["detail"].startswith(f"{field}: ")
    assert "hunter2" not in json.dumps(problem)
    assert (logins.stored, told) == ([], [])


async def test_a_defect_met_with_a_credential_in_hand_tells_the_log_nothing_of_it(
    http: aiohttp.ClientSession, logins: FakeLogins, told: list[Event]
) -> None:
    logins.raises = LookupError("a defect")

    status, _ = await answer(await http.put("/v1/logins/work", json=GOOD))

    assert status == 500
    (event,) = told
    assert "hunter2" not in str(event)
