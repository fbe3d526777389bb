"""Completion scripts, written from the parser and run in the shells they are for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pushd.ctl import main
from pushd.ctl.completion import script
from pushd.ctl.completion.outline import Kind, outline
from pushd.ctl.parser import parser
from tests.fakes.daemon import FakeDaemon, answer, job, login
from tests.unit.ctl.documents import STATUS, registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ID = "abc123DEF-_x"

# Sets what bash sets when somebody presses the tabulator behind $LINE, and prints what it is offered.
_BASH = """
source "$SCRIPT"
COMP_LINE=$LINE COMP_POINT=${#LINE}
_pushctl
printf '%s\\n' "${COMPREPLY[@]}"
"""
# Has zsh complete on a terminal of its own, where all that is offered is printed instead of shown (zshmodules, zpty).
_ZSH = """
zmodload zsh/zpty
zpty terminal zsh -f -i
zpty -w terminal 'PROMPT=; unset zle_bracketed_paste; autoload -U compinit; compinit -u -D'
zpty -w terminal 'source $SCRIPT'
zpty -w terminal 'compadd() { if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi
    local -a hits; builtin compadd -A hits "$@"; builtin compadd "$@"
    (( $#hits )) && print -rl -- "<"${^hits}">" >>$OFFERED }'
zpty -w terminal 'done-completing() { print END >>$OFFERED }; zle -N done-completing; bindkey "^X" done-completing'
zpty -w terminal 'print READY >>$OFFERED'
while [[ $(<$OFFERED) != *READY* ]]; do zpty -r -t terminal _; sleep 0.05; done 2>/dev/null
zpty -w -n terminal "$LINE"$'\\t\\x18'
while [[ $(<$OFFERED) != *END* ]]; do zpty -r -t terminal _; sleep 0.05; done 2>/dev/null
zpty -d terminal
sed -n 's/^<\\(.*\\)>$/\\1/p' $OFFERED
"""
_FISH = """
source $SCRIPT
complete -C $LINE | string replace -r '\\t.*' ''
true
"""


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed here")
    return name


@pytest.fixture
def offered(shell: str, tmp_path: Path) -> Callable[[str], list[str]]:
    """Give what the shell offers behind a line, with the daemon in the same directory."""
    (tmp_path / "completion").write_text(script(shell, parser()))
    command = tmp_path / "bin" / "pushctl"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m pushd.ctl "$@"\n')
    command.chmod(0o755)
    (tmp_path / "offered").touch()
    (tmp_path / "build").mkdir()
    (tmp_path / "build.tar").touch()
    program = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}[shell]
    options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]

    def ask(line: str) -> list[str]:
        ran = subprocess.run(
            [shell, *options, "-c", program], check=True, capture_output=True, text=True, cwd=tmp_path, timeout=60,
            env={
                **os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "LINE": line, "HOME": str(tmp_path),
                "SCRIPT": str(tmp_path / "completion"), "OFFERED": str(tmp_path / "offered"), "TERM": "dumb",
                "PUSHD_SOCKET": str(tmp_path / "pushd.sock"),
            },
        )  # fmt: skip
        return sorted({word.strip() for word in ran.stdout.split("\n")} - {""})

    return ask


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pushd.sock"


def test_commands_are_offered(offered: Callable[[str], list[str]]) -> None:
    assert offered("pushctl re") == ["resume", "retry"]


def test_options_of_a_command_are_offered(offered: Callable[[str], list[str]]) -> None:
    assert offered("pushctl push --d") == ["--deadline", "--dry-run"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pushctl jobs --state pa", ["partial", "paused"]),
        ("pushctl push --verify ", ["blobs", "tag"]),
        ("pushctl push --validate ", ["digest", "full"]),
        ("pushctl push --if-tag ", ["absent"]),
        ("pushctl push --credential a", ["anonymous", "auto"]),
        ("pushctl push --compress ", ["auto", "default", "gzip", "none", "zstd"]),
        ("pushctl push --tags ", ["each", "together"]),
        ("pushctl push --platform linux/ar", ["linux/arm/v7", "linux/arm64"]),
        ("pushctl completion z", ["zsh"]),
        ("pushctl push oc", ["oci-archive:", "oci:"]),
        ("pushctl push d", ["dir:", "docker-archive:", "docker-daemon:"]),
        ("pushctl push docker-daemon:", []),
        ("pushctl push docker-daemon:bui", []),
    ],
)
def test_words_that_are_known_are_offered(offered: Callable[[str], list[str]], line: str, words: list[str]) -> None:
    assert offered(line) == words


@pytest.mark.parametrize("option", ["--artifact-type a/b", "--artifact-type=a/b"])
@pytest.mark.parametrize(("typed", "words"), [("bui", ["build", "build.tar"]), ("oc", [])])
def test_files_are_offered_where_an_artifact_is_pushed_and_no_sources(
    offered: Callable[[str], list[str]], option: str, typed: str, words: list[str]
) -> None:
    files = offered(f"pushctl push {option} r.example.com/team/x {typed}")
    assert sorted(word.rstrip("/") for word in files) == words


def test_the_ids_of_jobs_are_asked_of_the_daemon(offered: Callable[[str], list[str]], path: Path) -> None:
    with FakeDaemon(path, answer({"jobs": [job(), job(id="xyz")], "next": None})):
        assert offered("pushctl wait abc") == [ID]


@pytest.mark.parametrize("line", ["pushctl logout c", "pushctl push --credential c"])
def test_stored_credentials_are_asked_of_the_daemon(offered: Callable[[str], list[str]], path: Path, line: str) -> None:
    with FakeDaemon(path, answer({"logins": [login("ci"), login("ghcr.io")]})):
        assert offered(line) == ["ci"]


def test_a_command_that_takes_several_jobs_goes_on_offering_them(
    offered: Callable[[str], list[str]], path: Path
) -> None:
    with FakeDaemon(path, answer({"jobs": [job(), job(id="xyz")], "next": None})):
        assert offered(f"pushctl cancel {ID} x") == ["xyz"]


def test_registries_are_asked_of_the_daemon_that_was_named(offered: Callable[[str], list[str]], tmp_path: Path) -> None:
    other = tmp_path / "other.sock"
    with FakeDaemon(other, answer(STATUS)):
        words = offered(f"pushctl --socket {other} pause --registry reg")
    assert words == ["registry.example.com"]


def test_without_a_daemon_nothing_is_offered_and_nothing_is_said(offered: Callable[[str], list[str]]) -> None:
    assert offered("pushctl show ") == []


@pytest.mark.parametrize("shell", ["bash"], indirect=True)
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pushctl push oci:bui", ["build.tar", "build/"]),
        ("pushctl push oci-archive:build.", ["build.tar"]),
        ("pushctl push docker-archive:build.", ["build.tar"]),
        ("pushctl push dir:bui", ["build.tar", "build/"]),
        ("pushctl --socket bui", ["build.tar", "build/"]),
        ("pushctl --so", ["--socket"]),
        ("pushctl show --socket x --js", ["--json"]),
    ],
)
def test_bash_is_told_only_what_follows_the_colon_it_breaks_words_at(
    offered: Callable[[str], list[str]], line: str, words: list[str]
) -> None:
    assert offered(line) == words


@pytest.mark.parametrize("shell", ["bash"], indirect=True)
def test_a_port_is_offered_behind_its_colon(offered: Callable[[str], list[str]], path: Path) -> None:
    with FakeDaemon(path, answer({**STATUS, "registries": {"r.example.com:5000": registry()}})):
        assert offered("pushctl doctor r.example.com:5") == ["5000"]


def test_what_a_daemon_says_is_never_run(offered: Callable[[str], list[str]], path: Path, tmp_path: Path) -> None:
    hostile = {"$(touch owned)": registry(), "`touch owned`": registry(), "a;b": registry(), "ok.example": registry()}
    with FakeDaemon(path, answer({**STATUS, "registries": hostile})):
        assert offered("pushctl doctor ") == ["ok.example"]
    assert not (tmp_path / "owned").exists()


def test_words_are_for_scripts_and_harmless(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUSHD_SOCKET", str(path))
    with FakeDaemon(path, answer({"jobs": [job(), job(id="$(x)"), job(id="a b")], "next": None})):
        assert main(["completion", "bash", "--words", "jobs"]) == 0
    assert capsys.readouterr().out == f"{ID}\n"


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_every_command_and_option_of_the_parser_is_in_every_script(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", name]) == 0
    written = capsys.readouterr().out
    for command in outline(parser()).commands:
        assert command.name in written
        for option in command.options:
            for spelling in option.names:
                assert (spelling.lstrip("-") if name == "fish" else spelling) in written


def test_the_outline_knows_what_stands_where() -> None:
    commands = {command.name: command for command in outline(parser()).commands}
    assert [value.kind for value in commands["push"].operands] == [Kind.SOURCE, Kind.OTHER]
    assert commands["push"].operands[1].many
    assert commands["push"].other is not None
    assert commands["push"].other.option in {option.names[-1] for option in commands["push"].options}
    assert [value.kind for value in commands["push"].other.operands] == [Kind.OTHER, Kind.FILES]
    assert commands["pause"].operands[0].kind is Kind.JOBS
    options = {option.names[-1]: option for option in commands["jobs"].options}
    assert options["--state"].value is not None
    assert "paused" in options["--state"].value.words
    assert options["--state"].repeats
    assert options["--json"].value is None
    assert "--socket" in options
    assert "--words" not in {option.names[-1] for option in commands["completion"].options}
