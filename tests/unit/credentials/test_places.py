"""Where credentials are looked for, and in which order."""

from __future__ import annotations

import pytest

from pushd.credentials.places import File, callers_places, daemons_places
from pushd.credentials.systemd import CredentialsDirectory

HOME = {"HOME": "/home/ada"}
EVERYTHING = {
    **HOME,
    "REGISTRY_AUTH_FILE": "/secrets/auth.json",
    "XDG_RUNTIME_DIR": "/run/user/1000",
    "XDG_CONFIG_HOME": "/home/ada/.config2",
    "DOCKER_CONFIG": "/home/ada/docker",
    "CREDENTIALS_DIRECTORY": "/run/credentials/pushd.service",
}


def paths(environ: dict[str, str]) -> list[str]:
    return [file.path for file in callers_places(environ)]


def test_a_callers_are_podmans_and_then_dockers() -> None:
    assert paths(EVERYTHING) == [
        "/secrets/auth.json",
        "/run/user/1000/containers/auth.json",
        "/home/ada/.config2/containers/auth.json",
        "/home/ada/docker/config.json",
    ]


def test_whatever_file_a_caller_has_it_is_the_callers() -> None:
    assert {file.source for file in callers_places(EVERYTHING)} == {"caller"}


def test_the_home_directory_tells_what_is_not_said() -> None:
    assert paths(HOME) == ["/home/ada/.config/containers/auth.json", "/home/ada/.docker/config.json"]


def test_a_home_may_be_the_root() -> None:
    assert paths({"HOME": "/"}) == ["/.config/containers/auth.json", "/.docker/config.json"]


def test_where_nothing_is_said_there_is_no_place() -> None:
    assert paths({}) == []
    assert paths(dict.fromkeys(EVERYTHING, "")) == []


def test_relative_directories_of_xdg_are_ignored_and_dockers_and_podmans_are_not() -> None:
    relative = {**HOME, "XDG_RUNTIME_DIR": "run", "XDG_CONFIG_HOME": "c", "DOCKER_CONFIG": "d"}
    assert paths({**relative, "REGISTRY_AUTH_FILE": "a.json"}) == [
        "a.json",
        "/home/ada/.config/containers/auth.json",
        "d/config.json",
    ]


@pytest.mark.parametrize("configured", ["/etc/pushd/docker-config.json", None])
def test_the_daemons_are_systemds_the_configured_one_and_then_those_of_its_user(configured: str | None) -> None:
    directory, *files = daemons_places(EVERYTHING, configured=configured, names={"Registry.example:5000": "harbor"})
    assert directory == CredentialsDirectory(
        path="/run/credentials/pushd.service", names={"registry.example:5000": "harbor"}
    )
    assert files == [
        *([File("/etc/pushd/docker-config.json", "docker-config")] if configured else []),
        File("/secrets/auth.json", "auth-file"),
        File("/run/user/1000/containers/auth.json", "podman"),
        File("/home/ada/.config2/containers/auth.json", "podman"),
        File("/home/ada/docker/config.json", "docker-config"),
    ]


def test_a_daemon_without_any_has_an_empty_directory() -> None:
    assert daemons_places({}, configured=None, names={}) == (CredentialsDirectory(path=None),)
