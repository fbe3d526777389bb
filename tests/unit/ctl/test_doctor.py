"""pushctl doctor against a scripted daemon, and without one."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from pushd import __version__
from pushd.ctl import main
from pushd.ctl.facts import gather
from tests.fakes.daemon import FakeDaemon, answer, problem
from tests.unit.ctl.documents import STATUS

if TYPE_CHECKING:
    from pathlib import Path

DIAGNOSIS = {
    "target": "r.example.com",
    "checks": [
        {"check": "resolve", "ok": True, "detail": "192.0.2.7", "hint": None},
        {"check": "tls", "ok": False, "detail": "the certificate\x1b[2J is out of date", "hint": "renew it"},
    ],
}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pushd.sock"
    monkeypatch.setenv("PUSHD_SOCKET", str(path))
    return path


def _status() -> dict[str, Any]:
    return {**STATUS, "version": __version__, "now": datetime.now(UTC).isoformat()}


def test_a_healthy_daemon_is_told_check_by_check(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeDaemon(path, answer(_status())):
        assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", name] for name in ("configuration", "socket", "daemon", "version", "rights", "files", "clock")
    ]
    assert "named by PUSHD_SOCKET" in lines[0]


def test_a_registry_is_looked_into_and_a_failure_is_told_with_what_to_do(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeDaemon(path, answer(_status()), answer(DIAGNOSIS)) as daemon:
        assert main(["doctor", "r.example.com/team/app"]) == 1
    output = capsys.readouterr().out
    assert "\n\nr.example.com\nok    own credential you have none for it" in output
    assert "\nok    resolve        192.0.2.7\n" in output
    assert output.endswith(
        "fail  tls            the certificate\ufffd[2J is out of date\n                     next: renew it\n"
    )
    assert unquote(daemon.received[1].path) == "/v1/registries/r.example.com/diagnose"
    assert daemon.received[1].json == {"repository": "team/app"}


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "docker" / "config.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"auths": {"r.example.com": {"username": "alice", "password": "s3cret"}}}))
    file.chmod(0o600)
    monkeypatch.setenv("DOCKER_CONFIG", str(file.parent))
    return file


def _own(lines: str) -> str:
    """Give what is said of the caller's own credential, on one line."""
    said = lines.partition("own credential")[2].partition("\nok ")[0]
    return " ".join(said.split())


def test_the_callers_own_credential_is_told_with_where_it_is_and_handed_over(
    path: Path, capsys: pytest.CaptureFixture[str], docker_config: Path
) -> None:
    with FakeDaemon(path, answer(_status()), answer(DIAGNOSIS)) as daemon:
        main(["doctor", "r.example.com/team/app"])
    output = capsys.readouterr().out
    assert _own(output) == f"yours: alice, from {docker_config}"
    assert "s3cret" not in output
    assert daemon.received[1].json["credentials"] == [
        {"registry": "r.example.com", "username": "alice", "password": "s3cret"}
    ]


def test_a_file_that_everybody_may_read_is_warned_of(
    path: Path, capsys: pytest.CaptureFixture[str], docker_config: Path
) -> None:
    docker_config.chmod(0o644)
    with FakeDaemon(path, answer(_status()), answer(DIAGNOSIS)):
        main(["doctor", "r.example.com"])
    output = capsys.readouterr().out
    assert "warn  own credential" in output
    assert f"next: `chmod go= {docker_config}`" in _own(output)


def test_a_credential_of_a_helper_is_told_with_the_helper(
    path: Path, capsys: pytest.CaptureFixture[str], docker_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = docker_config.parent / "docker-credential-vault"
    helper.write_text('#!/bin/sh\necho \'{"Username": "<token>", "Secret": "hush"}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:{os.environ['PATH']}")
    docker_config.write_text(json.dumps({"credHelpers": {"r.example.com": "vault"}}))
    docker_config.chmod(0o644)
    with FakeDaemon(path, answer(_status()), answer(DIAGNOSIS)) as daemon:
        main(["doctor", "r.example.com"])
    assert _own(capsys.readouterr().out) == f"yours: a token, from {docker_config} by docker-credential-vault"
    assert daemon.received[1].json["credentials"] == [{"registry": "r.example.com", "identity_token": "hush"}]


def test_a_broken_credential_file_is_a_failure_and_the_rest_is_looked_into(
    path: Path, capsys: pytest.CaptureFixture[str], docker_config: Path
) -> None:
    docker_config.write_text("no JSON")
    with FakeDaemon(path, answer(_status()), answer(DIAGNOSIS)) as daemon:
        assert main(["doctor", "r.example.com"]) == 1
    output = capsys.readouterr().out
    assert "fail  own credential" in output
    assert str(docker_config) in _own(output)
    assert "resolve" in output
    assert daemon.received[1].json == {}


def test_another_credential_may_be_tried_instead(
    path: Path, capsys: pytest.CaptureFixture[str], docker_config: Path
) -> None:
    with FakeDaemon(path, answer(_status()), answer(DIAGNOSIS)) as daemon:
        main(["doctor", "r.example.com", "--credential", "daemon"])
    assert daemon.received[1].json == {"credential": "daemon"}
    assert "own credential" not in capsys.readouterr().out


def test_with_json_each_check_is_an_object(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeDaemon(path, answer(_status()), answer(DIAGNOSIS)):
        assert main(["doctor", "--json", "r.example.com"]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found[-1] == {
        "check": "tls", "verdict": "fail", "detail": "the certificate\x1b[2J is out of date", "hint": "renew it",
        "target": "r.example.com",
    }  # fmt: skip


def test_without_a_daemon_it_says_what_can_be_said_and_exits_3(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "r.example.com"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok    configuration")
    assert lines[1].startswith("fail  socket         there is none")
    assert "next: " in lines[2]


def test_a_socket_nobody_listens_on_exits_3(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(str(path))
    left_behind.close()
    assert main(["doctor"]) == 3
    output = capsys.readouterr().out
    assert "ok    socket" in output
    assert "fail  daemon" in output


def test_who_is_turned_away_is_told_why_and_exits_1(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeDaemon(path, problem("request.forbidden", 403, "uid 1000 is not served")):
        assert main(["doctor"]) == 1
    assert "fail  rights" in capsys.readouterr().out


def test_a_registry_the_daemon_will_not_look_into_exits_1(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeDaemon(path, answer(_status()), problem("request.forbidden", 403, "is no destination here")):
        assert main(["doctor", "r.example.com"]) == 1
    assert "fail  registry       is no destination here" in capsys.readouterr().out


def test_where_the_socket_was_looked_for_has_a_reason(tmp_path: Path) -> None:
    own = tmp_path / "pushd" / "pushd.sock"
    own.parent.mkdir()
    own.touch()
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert gather("/typed.sock", None, runtime).socket.chosen == "named by --socket"
    assert gather(None, None, {**runtime, "PUSHD_SOCKET": "/e.sock"}).socket.chosen == "named by PUSHD_SOCKET"
    found = gather(None, None, runtime).socket
    assert (found.path, found.chosen) == (str(own), "of your own daemon, under XDG_RUNTIME_DIR")
    assert not found.is_socket
    own.unlink()
    assert gather(None, None, runtime).socket.chosen.startswith("of the system's daemon")


def test_the_group_of_a_socket_is_named_unless_it_is_roots(tmp_path: Path) -> None:
    path = tmp_path / "pushd.sock"
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(path))
    path.chmod(0o660)
    group = gather(str(path), None, {}).socket.group
    bound.close()
    assert (group == "") is (os.stat(path).st_gid == 0)  # noqa: PTH116 (the same as in the code)


@pytest.mark.parametrize("path", ["/nowhere/pushd.sock", "/etc/hostname/pushd.sock", "/x\0y", "/" + "x" * 200])
def test_a_path_that_cannot_be_looked_at_is_a_fact_and_no_failure(path: str) -> None:
    facts = gather(path, None, {})
    assert facts.socket.error
    assert facts.refusal is not None
