"""Credentials stored with the daemon under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from pushd.client import Client
from pushd.client.logins import login_name
from pushd.errors import Code, RequestError
from tests.fakes.daemon import FakeDaemon, answer, hang_up, login, problem, raw

if TYPE_CHECKING:
    from pathlib import Path

R = "registry.example.com:5000"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pushd.sock"


@pytest.fixture
def client(path: Path) -> Client:
    return Client(str(path), patience=5.0)


@pytest.mark.parametrize(
    ("given", "body"),
    [
        (
            {"username": "alice", "password": "s3cret", "expires_in": 60.0},
            {"username": "alice", "password": "s3cret", "expires_in": 60.0},
        ),
        ({"identity_token": "refresh"}, {"identity_token": "refresh"}),
        ({"username": "alice", "identity_token": "refresh"}, {"username": "alice", "identity_token": "refresh"}),
    ],
)
def test_what_was_given_is_stored_and_nothing_else(
    path: Path, client: Client, given: dict[str, Any], body: dict[str, Any]
) -> None:
    stored = {**login(), "verified": True, "resumed": 2}
    with FakeDaemon(path, hang_up, answer(stored)) as daemon:
        assert client.login(R, **given) == stored
    assert daemon.received[1].json == {"registry": R, **body}
    assert (daemon.received[1].method, unquote(daemon.received[1].path)) == ("PUT", f"/v1/logins/{R}")


def test_a_login_may_have_another_name(path: Path, client: Client) -> None:
    with FakeDaemon(path, answer(login("ci"))) as daemon:
        client.login(R, name="ci", username="alice", password="s3cret")
    assert daemon.received[0].path == "/v1/logins/ci"


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        ("ghcr.io", "ghcr.io"),
        ("GHCR.io/Team/app/", "ghcr.io::team:app"),
        ("localhost:5000", "localhost:5000"),
        ("[::1]:5000", "1:5000"),
    ],
)
def test_a_login_is_called_after_its_registry(registry: str, name: str) -> None:
    assert login_name(registry) == name


def test_logins_for_two_places_have_two_names() -> None:
    # The second would take the place of the first without a word.
    places = ("r.example/team/app", "r.example/team.app", "r.example.team/app", "r.example.team.app")
    assert len(set(map(login_name, places))) == len(places)


def test_a_credential_the_registry_does_not_take_is_a_refusal(path: Path, client: Client) -> None:
    refusal = problem("request.credential_refused", 422, f"{R}: does not take it", hint="check the password")
    with FakeDaemon(path, refusal), pytest.raises(RequestError) as caught:
        client.login(R, username="alice", password="s3cret")
    assert caught.value.code is Code.REQUEST_CREDENTIAL_REFUSED
    assert "s3cret" not in f"{caught.value!r} {caught.value}"


def test_what_is_stored_is_listed(path: Path, client: Client) -> None:
    listed = [login(), login("ci", usable=False)]
    with FakeDaemon(path, answer({"logins": listed})) as daemon:
        assert client.logins() == listed
    assert (daemon.received[0].method, daemon.received[0].path) == ("GET", "/v1/logins")


def test_what_is_stored_is_removed(path: Path, client: Client) -> None:
    with FakeDaemon(path, raw(b"HTTP/1.1 204 No Content\r\n\r\n")) as daemon:
        client.logout("ci")
    assert (daemon.received[0].method, daemon.received[0].path) == ("DELETE", "/v1/logins/ci")


def test_what_is_not_stored_cannot_be_removed(path: Path, client: Client) -> None:
    step = problem("request.not_found", 404, "login ci: there is none")
    with FakeDaemon(path, step), pytest.raises(RequestError) as caught:
        client.logout("ci")
    assert caught.value.code is Code.REQUEST_NOT_FOUND
