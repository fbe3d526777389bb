"""Storing credentials with the daemon: what is asked where, what is printed, and what is never said."""

from __future__ import annotations

import io
import json
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pushd.ctl import main
from pushd.ctl.logins_page import chosen, logins_table, stored
from tests.fakes.daemon import FakeDaemon, answer, login, problem, raw
from tests.unit.ctl.test_terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

R = "registry.example.com"
NOW = datetime(2026, 11, 22, 21, tzinfo=UTC)
STORED: dict[str, Any] = {**login(), "verified": True, "resumed": 0}
GONE = raw(b"HTTP/1.1 204 No Content\r\n\r\n")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pushd.sock"
    monkeypatch.setenv("PUSHD_SOCKET", str(path))
    return path


@pytest.fixture
def daemon(path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(path) as daemon:
        yield daemon


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def pipe(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    return pipe


# ---------------------------------------------------------------------------------------------- from standard input


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"s3cret\n", "s3cret"),
        (b"s3cret", "s3cret"),
        (b" s3 cret \n\n", " s3 cret \n"),
        (b"s3cret\r\n", "s3cret\r"),
        ("schlüssel\n".encode(), "schlüssel"),
    ],
)
def test_one_line_break_is_taken_from_the_end_of_a_password_and_nothing_else(
    daemon: FakeDaemon, piped: Callable[[bytes], None], content: bytes, password: str
) -> None:
    piped(content)
    daemon.then(answer(STORED))
    assert main(["login", R, "--username", "alice", "--password-stdin"]) == 0
    assert daemon.received[0].json == {"registry": R, "username": "alice", "password": password}


def test_a_token_a_name_and_a_time_are_handed_on(daemon: FakeDaemon, piped: Callable[[bytes], None]) -> None:
    piped(b"refresh\n")
    daemon.then(answer(STORED))
    assert main(["login", f"{R}/team", "--token-stdin", "--name", "ci", "--expires", "12h"]) == 0
    (request,) = daemon.received
    assert request.json == {"registry": f"{R}/team", "identity_token": "refresh", "expires_in": 43200.0}
    assert (request.method, request.path) == ("PUT", "/v1/logins/ci")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "standard input is empty"),
        (b"\n", "standard input is empty"),
        (b"hush" * (1 << 15), "that is no password"),
        (b"hush\xff\n", "standard input is not UTF-8"),
    ],
)
def test_what_can_be_no_password_is_told_and_nothing_is_sent(
    daemon: FakeDaemon,
    piped: Callable[[bytes], None],
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    words: str,
) -> None:
    piped(content)
    with pytest.raises(SystemExit) as caught:
        main(["login", R, "--username", "alice", "--password-stdin"])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert "hush" not in error
    assert daemon.received == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([R, "--password-stdin"], "--password-stdin needs --username"),
        ([R, "--password-stdin", "--token-stdin"], "not allowed with argument"),
        ([R], "standard input is no terminal to ask on"),
        ([R, "--username", "alice"], "--password-stdin"),
        ([], "REGISTRY"),
        ([R, "--username", ""], "must not be empty"),
    ],
)
def test_a_login_that_makes_no_sense_is_a_usage_error(
    arguments: list[str], words: str, piped: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    piped(b"s3cret\n")
    with pytest.raises(SystemExit) as caught:
        main(["login", *arguments])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("typed", [["--password", "hush"], ["--password=hush"], ["-p", "hush"], ["-phush"]])
def test_a_password_on_the_command_line_is_refused_without_saying_it_again(
    typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["login", R, "--username", "alice", *typed])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert "--password-stdin" in error.splitlines()[-1]
    assert "hush" not in error


@pytest.mark.parametrize(
    "typed", [["alice", "hush"], ["--pass=hush"], ["--pass", "hush"], ["--password-stdin", "hush"]]
)
def test_what_is_typed_too_much_is_not_said_again_either(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["login", R, *typed])
    error = capsys.readouterr().err
    assert "unrecognized arguments" in error
    assert "hush" not in error


# ------------------------------------------------------------------------------------------------- what is printed


def test_what_was_stored_is_told_with_what_came_of_it(
    daemon: FakeDaemon, piped: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    piped(b"s3cret\n")
    daemon.then(answer({**STORED, "resumed": 2}))
    assert main(["login", R, "--username", "alice", "--password-stdin"]) == 0
    output, error = capsys.readouterr()
    first, *rest = output.splitlines()
    assert first.startswith(f"{R} is stored for {R}, until 2027-02-2")
    assert rest == ["the registry takes it", "2 deliveries that waited for it go on"]
    assert error == ""


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"verified": None}, "the registry did not say if it takes it"),
        ({"verified": False}, "the registry does not take it"),
        ({"resumed": 1}, "1 delivery that waited for it goes on"),
    ],
)
def test_what_is_not_known_is_not_claimed(fields: dict[str, object], words: str) -> None:
    assert words in stored({**STORED, **fields}, NOW)


def test_a_credential_the_registry_does_not_take_is_a_refusal(
    daemon: FakeDaemon, piped: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    piped(b"s3cret\n")
    daemon.then(problem("request.credential_refused", 422, f"{R}: does not take it", hint="check the password"))
    assert main(["login", R, "--username", "alice", "--password-stdin"]) == 6
    assert capsys.readouterr() == ("", f"pushctl: {R}: does not take it; check the password\n")


def test_with_json_the_daemons_words_are_printed(
    daemon: FakeDaemon, piped: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    piped(b"s3cret\n")
    daemon.then(answer(STORED), answer({"logins": [login(), login("ci")]}), answer({"logins": [login("ci")]}), GONE)
    assert main(["login", "--json", R, "--username", "alice", "--password-stdin"]) == 0
    assert json.loads(capsys.readouterr().out) == STORED
    assert main(["logins", "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [login(), login("ci")]
    assert main(["logout", "--json", "ci"]) == 0
    assert json.loads(capsys.readouterr().out) == login("ci")


def test_what_is_stored_is_listed_with_how_long_it_is_good() -> None:
    lines = list(
        logins_table(
            [
                login("ci\x1b[2J"),
                login("old", usable=False, expires_at="2026-11-01T00:00:00Z"),
                login("refused", usable=False),
                login("for-ever", expires_at=None),
            ],
            NOW,
        )
    )
    assert lines[0].split() == ["NAME", "REGISTRY", "AGE", "STATE"]
    assert [line.split(maxsplit=3)[3] for line in lines[1:]] == ["good for 90d", "expired", "spent", "good"]
    assert all(line.isprintable() for line in lines)


# ------------------------------------------------------------------------------------------------------- logging out


@pytest.mark.parametrize("typed", ["ci", f"{R}/team", f"{R.upper()}/team/"])
def test_a_login_is_forgotten_by_its_name_or_its_registry(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    daemon.then(answer({"logins": [login(), login("ci", registry=f"{R}/team")]}), GONE)
    assert main(["logout", typed]) == 0
    assert (daemon.received[1].method, daemon.received[1].path) == ("DELETE", "/v1/logins/ci")
    assert capsys.readouterr().out == f"ci for {R}/team is forgotten\n"


def test_a_name_goes_before_a_registry() -> None:
    assert chosen([login("ci"), login()], R) == [login()]


def test_a_registry_with_several_logins_is_not_guessed_at(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.then(answer({"logins": [login("one"), login("two")]}))
    with pytest.raises(SystemExit):
        main(["logout", R])
    assert f"there are several for {R}, name one: one, two" in capsys.readouterr().err


def test_what_is_not_stored_is_a_refusal(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.then(answer({"logins": [login()]}))
    assert main(["logout", "nope"]) == 6
    assert capsys.readouterr().err == "pushctl: login nope: there is none; `pushctl logins` shows what is stored\n"


# ------------------------------------------------------------------------------------------------------ on a terminal


def test_on_a_terminal_the_user_is_asked_and_the_password_is_not_shown(daemon: FakeDaemon, path: Path) -> None:
    daemon.then(answer(STORED))
    terminal = Terminal("login", R)
    terminal.read_until(lambda written: "user name: " in written)
    terminal.type("alice\n")
    terminal.read_until(lambda written: "password: " in written)
    terminal.type("hush\n")
    assert terminal.finish() == 0
    assert "hush" not in terminal.written
    assert "the registry takes it" in terminal.written
    assert daemon.received[0].json == {"registry": R, "username": "alice", "password": "hush"}


@pytest.mark.parametrize("keys", ["\n", "\x04"])
def test_whoever_says_nothing_is_told_so(daemon: FakeDaemon, path: Path, keys: str) -> None:
    terminal = Terminal("login", R, "--username", "alice")
    terminal.read_until(lambda written: "password: " in written)
    terminal.type(keys)
    assert terminal.finish() == 2
    assert "no password was given" in terminal.written


def test_ctrl_c_at_the_password_ends_it_quietly(daemon: FakeDaemon, path: Path) -> None:
    terminal = Terminal("login", R, "--username", "alice")
    terminal.read_until(lambda written: "password: " in written)
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    assert "Traceback" not in terminal.written
