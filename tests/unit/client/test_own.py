"""The caller's own credentials: found where Docker and podman keep them, and handed over with what they ask for."""

from __future__ import annotations

import base64
import io
import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pushd.client import Client, own
from pushd.client.exchange import Request
from pushd.client.handing import handed_over
from pushd.client.own import own_credential, own_credentials, own_files, scoped
from pushd.credentials.credential import Credential
from pushd.credentials.places import callers_places
from pushd.errors import Code, RegistryError
from pushd.job import ANONYMOUS, DAEMON
from pushd.work import Handed
from tests.fakes.daemon import FakeDaemon, answer, delivery, job
from tests.fakes.images import ImageSpec, build_layout, pack
from tests.fakes.spool_server import SpoolServer
from tests.unit.ctl.test_plan_page import PUSH, plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

R, M = "registry.example.com", "mirror.example.net:5000"
ALICE = {"registry": R, "username": "alice", "password": "s3cret"}
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pushd.sock"


@pytest.fixture
def client(path: Path) -> Client:
    return Client(str(path), patience=5.0)


@pytest.fixture
def logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write the file that `docker login` writes, with these entries of `auths`."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))

    def write(auths: object, **more: object) -> Path:
        file = tmp_path / "docker" / "config.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"auths": auths, **more}))
        file.chmod(0o600)
        return file

    return write


def _auth(name: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:{password}".encode()).decode()}


# ------------------------------------------------------------------------------------------------- finding them


def test_the_file_that_docker_login_wrote_is_found(logged_in: Callable[..., Path]) -> None:
    file = logged_in({R: _auth("alice", "s3cret")})
    (handed,) = own_credentials([f"{R}/team/app:1.4"])
    assert (handed.scope, handed.credential.username, handed.credential.password) == (R, "alice", "s3cret")
    assert handed.credential.where == str(file)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("REGISTRY_AUTH_FILE", ""),
        ("XDG_RUNTIME_DIR", "containers/auth.json"),
        ("XDG_CONFIG_HOME", "containers/auth.json"),
        ("HOME", ".config/containers/auth.json"),
        ("DOCKER_CONFIG", "config.json"),
        ("HOME", ".docker/config.json"),
    ],
)
def test_each_place_where_docker_and_podman_keep_them_is_looked_at(tmp_path: Path, name: str, file: str) -> None:
    there = tmp_path / "there" / file
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text(json.dumps({"auths": {R: _auth("alice", "s3cret")}}))
    environ = {"HOME": str(tmp_path / "home"), name: str(tmp_path / "there")}
    assert own_files(environ) == [str(there)]
    (handed,) = own_credentials([f"{R}/app:1"], environ)
    assert handed.credential.where == str(there)


@pytest.mark.parametrize(
    "environ",
    [
        {"HOME": "/home/me"},
        {},
        {"HOME": "me"},
        {"HOME": "/me", "XDG_RUNTIME_DIR": "/run/user/1", "XDG_CONFIG_HOME": "/c/", "REGISTRY_AUTH_FILE": "a.json"},
        {"HOME": "/home/me", "XDG_RUNTIME_DIR": "run", "XDG_CONFIG_HOME": "c", "DOCKER_CONFIG": "docker"},
    ],
)
def test_the_places_are_those_the_lookup_reads(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_absent", lambda _: False)
    read = [os.path.normpath(place.path) for place in callers_places(environ)]
    assert [os.path.normpath(file) for file in own_files(environ)] == read


def test_a_file_that_is_out_of_sight_is_told_and_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(RegistryError) as caught:
        own_credentials([f"{R}/app:1"], {"REGISTRY_AUTH_FILE": str(tmp_path / "loop")})
    assert caught.value.code is Code.REGISTRY_CREDENTIALS_UNREADABLE


def test_somebody_without_any_file_has_none(tmp_path: Path) -> None:
    assert own_credentials([f"{R}/app:1"], {"HOME": str(tmp_path)}) == ()
    assert own_credential(R, {"HOME": str(tmp_path)}) is None


def test_a_registry_that_is_not_in_the_file_is_nothing(logged_in: Callable[..., Path]) -> None:
    logged_in({M: _auth("alice", "s3cret")})
    assert own_credentials([f"{R}/app:1"]) == ()
    assert own_credential(R) is None


def test_a_reference_that_does_not_parse_is_left_to_the_daemon(logged_in: Callable[..., Path]) -> None:
    logged_in({R: _auth("alice", "s3cret")})
    assert own_credentials(["Not A Reference", f"{R}/UPPER:1"]) == ()


def test_two_destinations_of_a_registry_with_one_credential_are_one_entry(logged_in: Callable[..., Path]) -> None:
    logged_in({R: _auth("alice", "s3cret"), M: _auth("bob", "hush")})
    handed = own_credentials([f"{R}/team/app:1", f"{R}/team/app:2", f"{R}/other:1", f"{M}/app:1"])
    assert [(one.scope, one.credential.username) for one in handed] == [(R, "alice"), (M, "bob")]


def test_two_destinations_of_a_registry_may_have_two(logged_in: Callable[..., Path]) -> None:
    logged_in({R: _auth("alice", "s3cret"), f"{R}/team": _auth("bob", "hush")})
    handed = own_credentials([f"{R}/team/app:1", f"{R}/other:1"])
    assert [(one.scope, one.credential.username) for one in handed] == [
        (f"{R}/team/app", "bob"),
        (f"{R}/other", "alice"),
    ]


def test_a_repository_that_has_none_is_not_given_that_of_another(logged_in: Callable[..., Path]) -> None:
    logged_in({f"{R}/team": _auth("bob", "hush")})
    handed = own_credentials([f"{R}/team/app:1", f"{R}/other:1"])
    assert [one.scope for one in handed] == [f"{R}/team/app"]


def test_one_credential_found_twice_expires_when_the_first_of_them_does() -> None:
    it = Credential("caller", "alice", "s3cret")
    later = NOON + timedelta(hours=1)
    (handed,) = scoped({(R, "a"): (it, later), (R, "b"): (it, NOON), (R, "c"): (it, None)})
    assert handed.expires_at == NOON


@pytest.mark.parametrize(("target", "scope"), [(R, R), (f"{R}/team/app", R), (M.upper(), None), ("team/app", None)])
def test_what_is_asked_about_may_be_a_registry_or_a_repository(
    logged_in: Callable[..., Path], target: str, scope: str | None
) -> None:
    logged_in({R: _auth("alice", "s3cret"), "https://index.docker.io/v1/": _auth("hubber", "hush")})
    found = own_credential(target)
    assert (found and found.scope) == scope


def test_a_broken_file_is_named_with_what_else_can_be_done(logged_in: Callable[..., Path]) -> None:
    file = logged_in({R: {"auth": "not base64!"}})
    with pytest.raises(RegistryError) as caught:
        own_credentials([f"{R}/app:1"])
    assert caught.value.code is Code.REGISTRY_CREDENTIALS_ENCODING
    assert str(file) in str(caught.value)
    assert str(caught.value).endswith("or say --credential daemon")
    assert "not base64!" not in str(caught.value)


# ------------------------------------------------------------------------------------------ as the daemon has them


def _document(credential: Credential, **more: Any) -> dict[str, Any]:
    (document,) = handed_over([Handed(scope=R, credential=credential, **more)])["credentials"]
    return dict(document)


def test_each_kind_of_credential_has_its_fields() -> None:
    assert _document(Credential("caller", "alice", "s3cret")) == ALICE
    token = Credential("caller", "alice", identity_token="refresh")
    assert _document(token) == {"registry": R, "username": "alice", "identity_token": "refresh"}
    assert _document(Credential("caller", registry_token="bearer")) == {"registry": R, "registry_token": "bearer"}


def test_a_helpers_word_for_a_token_is_no_user() -> None:
    token = Credential("caller", "<token>", identity_token="refresh")
    assert _document(token) == {"registry": R, "identity_token": "refresh"}


@pytest.mark.parametrize(
    ("left", "least", "most"),
    [(timedelta(hours=1), 3590, 3600), (timedelta(hours=-1), 1, 1), (timedelta(days=4000), 366 * 86400, 366 * 86400)],
)
def test_the_seconds_that_are_left_are_told_as_the_daemon_takes_them(left: timedelta, least: int, most: int) -> None:
    it = Credential("caller", "AWS", "s3cret")
    assert least <= _document(it, expires_at=datetime.now(UTC) + left)["expires_in"] <= most


def test_a_secret_is_in_no_representation_of_what_carries_it() -> None:
    request = Request(method="POST", target="/", body=json.dumps(ALICE).encode())
    handed = Handed(scope=R, credential=Credential("caller", "alice", "s3cret", identity_token="refresh"))
    assert not any(secret in f"{request!r} {handed!r}" for secret in ("s3cret", "refresh"))


# --------------------------------------------------------------------------------------------- handing them over


def _failure(code: str) -> dict[str, object]:
    return {"code": code, "message": "m", "retryable": True}


def test_they_are_handed_over_with_a_job_a_plan_and_a_diagnosis(
    path: Path, client: Client, logged_in: Callable[..., Path]
) -> None:
    logged_in({R: _auth("alice", "s3cret")})
    with FakeDaemon(path, answer(job()), answer(plan(PUSH)), answer({"target": R, "checks": []})) as daemon:
        client.submit("oci:/x", [f"{R}/app:1", f"{M}/app:1"])
        client.plan("oci:/x", [f"{R}/app:1"])
        client.diagnose(f"{R}/app")
    assert [request.json["credentials"] for request in daemon.received] == [[ALICE]] * 3
    assert not any("credential" in request.json for request in daemon.received)


def test_somebody_without_any_says_nothing_that_an_older_daemon_would_refuse(path: Path, client: Client) -> None:
    with FakeDaemon(path, answer(job()), answer(job()), answer({"target": R, "checks": []})) as daemon:
        client.submit("oci:/x", [f"{R}/app:1"])
        client.retry("abc")
        client.diagnose(R)
    assert not any("credential" in request.body.decode() for request in daemon.received)


@pytest.mark.parametrize("choice", [DAEMON, ANONYMOUS, "ghcr"])
def test_whoever_chooses_another_hands_over_nothing_and_a_broken_file_is_not_read(
    path: Path, client: Client, logged_in: Callable[..., Path], choice: str
) -> None:
    logged_in({R: {"auth": "not base64!"}})
    with FakeDaemon(path, answer(job()), answer(plan(PUSH)), answer({"target": R, "checks": []})) as daemon:
        client.submit("oci:/x", [f"{R}/app:1"], credential=choice)
        client.plan("oci:/x", [f"{R}/app:1"], credential=choice)
        client.diagnose(f"{R}/app", credential=choice)
    assert [request.json["credential"] for request in daemon.received] == [choice] * 3
    assert not any("credentials" in request.json for request in daemon.received)


def test_a_broken_file_is_told_before_anything_is_sent(
    path: Path, client: Client, logged_in: Callable[..., Path]
) -> None:
    logged_in({R: {"auth": "not base64!"}})
    with FakeDaemon(path) as daemon:
        for ask in (client.submit, client.plan):
            with pytest.raises(RegistryError):
                ask("oci:/x", [f"{R}/app:1"])
        with pytest.raises(RegistryError):
            client.diagnose(R)
    assert daemon.received == []


def test_a_retry_hands_over_anew_what_failed_or_waits_for_a_credential(
    path: Path, client: Client, logged_in: Callable[..., Path]
) -> None:
    logged_in({name: _auth("alice", "s3cret") for name in (R, M, "waits.example", "held.example")})
    there = job(
        "partial",
        delivery(1, f"{R}/app:1", "failed"),
        delivery(2, f"{M}/app:1", "succeeded"),
        delivery(3, "waits.example/app:1", "held", failure=_failure("registry.needs_credential")),
        delivery(4, "held.example/app:1", "held", failure=_failure("registry.unavailable")),
    )
    with FakeDaemon(path, answer(there), answer({"uid": there["uid"]}), answer(job())) as daemon:
        client.retry("abc")
    assert [request.method for request in daemon.received] == ["GET", "GET", "POST"]
    assert [one["registry"] for one in daemon.received[2].json["credentials"]] == [R, "waits.example"]


def test_nobodys_credential_goes_with_somebody_elses_job(
    path: Path, client: Client, logged_in: Callable[..., Path]
) -> None:
    logged_in({R: _auth("root", "s3cret")})
    there = job("failed", delivery(1, f"{R}/app:1", "failed"))
    with FakeDaemon(path, answer(there), answer({"uid": there["uid"] + 1}), answer(job())) as daemon:
        client.retry("abc")
    assert daemon.received[2].body == b""


def test_a_retry_that_is_to_hand_over_nothing_asks_for_nothing_else(
    path: Path, client: Client, logged_in: Callable[..., Path]
) -> None:
    logged_in({R: _auth("alice", "s3cret")})
    with FakeDaemon(path, answer(job())) as daemon:
        client.retry("abc", credential=DAEMON)
    (request,) = daemon.received
    assert (request.method, request.body) == ("POST", b"")


def test_bytes_that_are_brought_come_with_the_same_credentials(
    path: Path, client: Client, logged_in: Callable[..., Path], tmp_path: Path
) -> None:
    logged_in({R: _auth("alice", "s3cret")})
    layout = build_layout(tmp_path / "app", images=[ImageSpec(tag="1.4", layers=[300])])
    archive = io.BytesIO(pack(layout.path, tmp_path / "app.tar").read_bytes())
    with SpoolServer(path) as daemon:
        client.submit(f"oci:{layout.path}:1.4", [f"{R}/app:1"])
        client.submit_stream(archive, [f"{R}/app:1"], reference="1.4")
        client.submit_files([("app.tar", "")], [f"{R}/app:1"], artifact_type="a/b", directory=str(tmp_path))
        client.plan_files([("app.tar", "")], [f"{R}/app:1"], artifact_type="a/b", directory=str(tmp_path))
    assert [document["credentials"] for document in (*daemon.jobs, *daemon.plans)] == [[ALICE]] * 4
    assert all("spooled" in document for document in (*daemon.jobs, *daemon.plans))


def test_a_broken_file_is_told_before_a_pipe_is_read(
    path: Path, client: Client, logged_in: Callable[..., Path]
) -> None:
    logged_in({R: {"auth": "not base64!"}})
    archive = io.BytesIO(b"an archive")
    with pytest.raises(RegistryError):
        client.submit_stream(archive, [f"{R}/app:1"])
    assert archive.tell() == 0
