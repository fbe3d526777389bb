"""Where an engine's socket is looked for."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from pushd.client.engine_sockets import engine_sockets
from pushd.errors import Code, SourceError

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = ("/var/run/docker.sock", "/run/podman/podman.sock")


def context(configuration: Path, name: str, host: object) -> None:
    """Write what `docker context create` does."""
    directory = configuration / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    directory.mkdir(parents=True)
    document = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (directory / "meta.json").write_text(json.dumps(document))


def refused(environ: dict[str, str]) -> SourceError:
    with pytest.raises(SourceError) as caught:
        engine_sockets(environ)
    return caught.value


def test_where_nothing_is_said_those_of_docker_and_of_podman_are_tried_the_users_own_before_the_systems() -> None:
    assert engine_sockets({}) == KNOWN
    assert engine_sockets({"XDG_RUNTIME_DIR": "/run/user/7"}) == (
        KNOWN[0],
        "/run/user/7/podman/podman.sock",
        KNOWN[1],
    )


def test_docker_host_is_the_only_one_tried_and_goes_before_a_context(tmp_path: Path) -> None:
    context(tmp_path, "rootless", "unix:///run/rootless.sock")
    environ = {"DOCKER_HOST": "unix:///srv/d.sock", "DOCKER_CONTEXT": "rootless", "DOCKER_CONFIG": str(tmp_path)}
    assert engine_sockets(environ) == ("/srv/d.sock",)


@pytest.mark.parametrize(
    ("host", "hint"),
    [
        ("tcp://build.example.com:2376", "docker save IMAGE | pushctl push - DESTINATION"),
        ("ssh://ci@build.example.com", "docker save IMAGE | pushctl push - DESTINATION"),
        ("/srv/d.sock", "unix:///srv/d.sock"),
        ("unix://d.sock", "unix:///PATH"),
        ("unix://", "unix:///PATH"),
        ("unix:///d\0.sock", "unix:///PATH"),
    ],
)
def test_an_engine_that_is_not_behind_a_socket_here_is_refused_by_name(host: str, hint: str) -> None:
    error = refused({"DOCKER_HOST": host})
    assert error.code is Code.SOURCE_UNSUPPORTED
    assert "DOCKER_HOST" in error.subject
    assert hint in error.hint
    assert str(error).isprintable()


@pytest.mark.parametrize("how", ["current", "variable"])
@pytest.mark.parametrize("where", ["HOME", "DOCKER_CONFIG"])
def test_the_current_context_of_docker_is_the_only_one_tried(tmp_path: Path, how: str, where: str) -> None:
    configuration = tmp_path / ".docker" if where == "HOME" else tmp_path
    context(configuration, "rootless", "unix:///run/rootless.sock")
    environ = {where: str(tmp_path)}
    if how == "current":
        (configuration / "config.json").write_text('{"auths": {}, "currentContext": "rootless"}')
    else:
        environ["DOCKER_CONTEXT"] = "rootless"
    assert engine_sockets(environ) == ("/run/rootless.sock",)


@pytest.mark.parametrize("content", ['{"currentContext": "default"}', '{"currentContext": ""}', "{}", None])
def test_no_context_and_the_one_named_default_say_nothing(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    assert engine_sockets({"DOCKER_CONFIG": str(tmp_path)}) == KNOWN


def test_a_context_elsewhere_is_refused_by_name(tmp_path: Path) -> None:
    context(tmp_path, "far", "ssh://ci@build.example.com")
    error = refused({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "far"})
    assert (error.code, error.subject) == (Code.SOURCE_UNSUPPORTED, "Docker's context far")
    assert "ssh://ci@build.example.com" in error.detail
    assert "docker save IMAGE | pushctl push - DESTINATION" in error.hint


@pytest.mark.parametrize("host", [None, 7, ""])
def test_a_context_without_an_engine_is_refused(tmp_path: Path, host: object) -> None:
    context(tmp_path, "cluster", host)
    error = refused({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "cluster"})
    assert error.code is Code.SOURCE_UNSUPPORTED
    assert "DOCKER_HOST=unix:///PATH" in error.hint


def test_a_context_that_is_not_there_is_told_and_no_other_engine_asked(tmp_path: Path) -> None:
    error = refused({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "gone"})
    assert error.code is Code.SOURCE_UNREADABLE
    assert error.subject == "Docker's context gone"
    assert "`docker context ls`" in error.hint


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, '{"currentContext": 7}', '"\\ud800"'])
def test_a_configuration_that_cannot_be_read_is_told_and_no_engine_is_guessed(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    error = refused({"DOCKER_CONFIG": str(tmp_path)})
    assert error.code is Code.SOURCE_UNREADABLE
    assert error.subject == f"{tmp_path}/config.json"
    assert "DOCKER_HOST=unix:///PATH" in error.hint
