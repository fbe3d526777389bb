"""The daemon's command line: what an operator gets wrong is said in plain words, and nothing else is."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pushd import __version__
from pushd.service.command import main
from pushd.telemetry.events import LIBRARY_FAILURE, Event

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pushd.config import Config
    from pushd.push.ports.emit import Emit
    from pushd.telemetry.metrics import Meter


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own configuration."""
    for name in os.environ:
        if name.startswith(("PUSHD_", "XDG_", "LISTEN_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], str]:
    """Give what writes a configuration file."""

    def write(text: str) -> str:
        file = tmp_path / "pushd.toml"
        file.write_text(text)
        return str(file)

    return write


def test_a_good_configuration_is_said_to_be_good(
    written: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = written('[limits]\nattempts = 3\n[registries."registry.example.com"]\nmax_uploads = 2\n')
    assert main(["--check-config", "--config", file]) == 0
    assert capsys.readouterr() == (f"{file}: good\n", "")


def test_no_configuration_at_all_is_good_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    places = ["--socket", str(tmp_path / "s"), "--state-dir", str(tmp_path / "state")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.geteuid", lambda: 4711)
        assert main(["--check-config", *places]) == 0
    assert capsys.readouterr() == ("no configuration file, defaults: good\n", "")


def test_checking_a_configuration_touches_nothing(written: Callable[[str], str], tmp_path: Path) -> None:
    file = written("")
    before = sorted(tmp_path.rglob("*"))
    assert main(["--check-config", "--config", file, "--socket", f"{tmp_path}/s", "--state-dir", f"{tmp_path}/d"]) == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_all_mistakes_of_a_configuration_are_told_at_once(
    written: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = written('[limits]\nattemps = 3\nmemory = "lots"\n\n[registries."r.example.com"]\nmax_uploads = 0\n')
    assert main(["--check-config", "--config", file]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == f"pushd: {file}: 3 mistakes"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["line 2", "line 3", "line 6"]
    assert "did you mean attempts?" in lines[1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("[limits\n", "is not TOML", id="not TOML"),
        pytest.param("[daemon]\nsocket = 'relative'\n", "absolute path", id="relative path"),
        pytest.param("[nonsense]\n", "is not known", id="unknown table"),
    ],
)
def test_a_bad_configuration_keeps_the_daemon_from_starting(
    written: Callable[[str], str], capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str, said: str
) -> None:
    file = written(content)
    assert main(["--config", file, "--socket", f"{tmp_path}/s", "--state-dir", f"{tmp_path}/d"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"pushd: {file}: ")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "s").exists()
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(("file", "said"), [("nowhere.toml", "is not there"), (".", "cannot be read: Is a directory")])
def test_a_configuration_file_that_cannot_be_read_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, file: str, said: str
) -> None:
    assert main(["--check-config", "--config", str(tmp_path / file)]) == 1
    assert capsys.readouterr().err == f"pushd: {tmp_path / file}: {said}\n"


def test_without_a_place_for_the_socket_the_option_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4711)  # root has places of its own
    assert main(["--check-config"]) == 1
    assert "--socket" in capsys.readouterr().err


def test_a_file_name_that_is_not_utf_8_can_be_spoken_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"\xff\x1b[31m.toml")  # noqa: PTH118 (bytes)
    monkeypatch.setenv("PUSHD_CONFIG", os.fsdecode(name))
    assert main(["--check-config"]) == 1
    assert "\x1b" not in capsys.readouterr().err, "nor does it command the terminal"
    Path(os.fsdecode(name)).write_text("")
    assert main(["--check-config"]) == 0
    assert capsys.readouterr().out.endswith(".toml: good\n")


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr() == (f"pushd {__version__}\n", "")


def test_the_help_names_every_option_and_pushctl(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for word in ("python -m pushd", "--config", "--socket", "--state-dir", "--check-config", "--version", "pushctl"):
        assert word in out


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["push"], ["--socket"], ["--socket", ""], ["--state-dir="], ["--config", ""]]
)
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An empty value above all: a script's unset variable leaves one, and Python takes it for the working directory."""
    with pytest.raises(SystemExit) as ended:
        main(["--check-config", *arguments])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m pushd")


def test_interrupted_before_it_serves_it_ends_as_a_shell_expects_and_without_a_traceback(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def interrupted(config: Config, listener: socket.socket, **_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("pushd.service.command.serve", interrupted)
    monkeypatch.setattr("pushd.service.command.hear_libraries", lambda _: None)  # pytest hears them itself
    assert main(["--socket", str(place / "s"), "--state-dir", str(place / "state")]) == 130
    assert capfd.readouterr() == ("", "")
    assert not (place / "s").exists()


def test_what_libraries_complain_of_is_counted_among_the_events(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    heard: list[Emit] = []
    counted: list[float | None] = []

    async def complaining(config: Config, listener: socket.socket, *, meter: Meter, **_: object) -> None:
        (hear,) = heard
        hear(Event(LIBRARY_FAILURE, datetime.now(UTC), fields={"logger": "asyncio", "text": "a complaint"}))
        counted.append(meter.collectors.get_sample_value("pushd_log_events_total", {"level": "error"}))

    monkeypatch.setattr("pushd.service.command.serve", complaining)
    monkeypatch.setattr("pushd.service.command.hear_libraries", heard.append)
    assert main(["--socket", str(place / "s"), "--state-dir", str(place / "state")]) == 0
    assert counted == [1]
    assert capfd.readouterr().err.count('"event":"library.failure"') == 1
