"""A credential: what is told of it, and what is not."""

from __future__ import annotations

import base64

import pytest

from pushd.credentials.credential import Credential


@pytest.mark.parametrize(
    ("credential", "told"),
    [
        (Credential("caller", "alice", "s3cr3t", where="/home/alice/.docker/config.json"), "the caller's own, alice"),
        (Credential("login", "alice", "s3cr3t", where="work"), "the login work, alice"),
        (
            Credential("docker-config", "ci", "s3cr3t", where="/etc/pushd/config.json"),
            "the daemon's, ci, found in /etc/pushd/config.json",
        ),
        (
            Credential("podman", identity_token="s3cr3t", where="/run/containers/auth.json"),
            "the daemon's, a token without a name, found in /run/containers/auth.json",
        ),
        (Credential("systemd", "ci", "s3cr3t"), "the daemon's, ci, found in systemd"),
    ],
)
def test_people_are_told_whose_it_is_and_where_it_was_found(credential: Credential, told: str) -> None:
    assert credential.told == told


@pytest.mark.parametrize(
    "credential",
    [
        Credential("caller", "alice", "s3cr3t"),
        Credential("caller", "alice", identity_token="s3cr3t"),
        Credential("caller", registry_token="s3cr3t"),
    ],
)
def test_no_secret_shows(credential: Credential) -> None:
    assert "s3cr3t" not in f"{credential!r} {credential} {credential.name} {credential.told}"


def test_only_a_user_name_and_password_make_basic_authentication() -> None:
    basic = Credential("caller", "alice", "s3cr3t").basic
    assert basic is not None
    assert base64.b64decode(basic.removeprefix("Basic ")) == b"alice:s3cr3t"
    assert Credential("caller", "alice", "s3cr3t", identity_token="t").basic is None
    assert Credential("caller", registry_token="t").basic is None


def test_where_it_was_found_makes_it_no_other() -> None:
    assert Credential("caller", "a", "b", where="x") == Credential("caller", "a", "b", where="y")
    assert Credential("caller", "a", "b") != Credential("login", "a", "b")
