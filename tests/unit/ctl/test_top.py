"""pushctl top: once, for machines, and live on a pseudo-terminal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pushd.ctl import main
from pushd.ctl.verbs import top
from tests.fakes.daemon import FakeDaemon, answer, hang_up, problem
from tests.unit.ctl.documents import STATUS
from tests.unit.ctl.test_terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

RESTARTED = {**STATUS, "epoch": 4, "uptime": 1.0}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pushd.sock"
    monkeypatch.setenv("PUSHD_SOCKET", str(path))
    return path


def _endless(daemon: FakeDaemon, *documents: dict[str, object]) -> None:
    """Answer with these documents, and with the last one on and on."""
    daemon.then(*map(answer, documents), *[answer(documents[-1])] * 100)


def test_once_prints_a_screen_as_plain_text(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeDaemon(path, answer(STATUS)):
        assert main(["top", "--once"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("pushd 0.1.0  ")
    assert "registry.example.com" in output
    assert "\x1b" not in output


def test_into_a_pipe_it_prints_once_without_being_asked(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeDaemon(path, answer(STATUS)):
        assert main(["top"]) == 0
    assert "SLOWEST TRANSFERS" in capsys.readouterr().out


def test_once_with_json_prints_the_document(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeDaemon(path, answer(STATUS)):
        assert main(["top", "--once", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS


def test_with_json_there_is_a_document_each_time_also_over_a_restart(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top, "INTERVAL", 0.0)
    end = problem("daemon.internal", 500, "the end of the test")
    with FakeDaemon(path, answer(STATUS), answer(STATUS), hang_up, answer(RESTARTED), end):
        assert main(["top", "--json"]) == 1
    output, error = capsys.readouterr()
    assert [json.loads(line)["epoch"] for line in output.splitlines()] == [3, 3, 4]
    assert "no daemon answers" in error.splitlines()[0]


def test_an_interrupt_between_two_documents_is_no_failure(path: Path) -> None:
    with FakeDaemon(path) as daemon:
        _endless(daemon, STATUS)
        running = subprocess.Popen(
            [sys.executable, "-m", "pushd.ctl", "--socket", str(path), "top", "--json"], stdout=subprocess.PIPE
        )
        assert running.stdout is not None
        assert json.loads(running.stdout.readline()) == STATUS
        running.send_signal(signal.SIGINT)
        running.stdout.close()
        assert running.wait(10) == 0
        daemon._steps.clear()


def test_without_a_daemon_it_does_not_begin(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top"]) == 3
    assert capsys.readouterr().out == ""


def test_the_live_screen_is_the_alternate_one_and_q_ends_it(path: Path) -> None:
    with FakeDaemon(path) as daemon:
        _endless(daemon, STATUS)
        terminal = Terminal("--socket", str(path), "top")
        terminal.read_until(lambda written: "SLOWEST TRANSFERS" in written)
        terminal.type("x")
        terminal.type("q")
        assert terminal.finish() == 0
        daemon._steps.clear()
    assert "\x1b[?1049h" in terminal.written
    assert terminal.written.rindex("\x1b[?1049l") > terminal.written.rindex("\x1b[?1049h")
    assert terminal.written.rindex("\x1b[?25h") > terminal.written.rindex("\x1b[?25l")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_as_well_and_puts_the_terminal_back(path: Path, how: signal.Signals) -> None:
    with FakeDaemon(path) as daemon:
        _endless(daemon, STATUS)
        terminal = Terminal("--socket", str(path), "top")
        terminal.read_until(lambda written: "SLOWEST TRANSFERS" in written)
        terminal.process.send_signal(how)
        assert terminal.finish() == 0
        daemon._steps.clear()
    assert terminal.written.rindex("\x1b[?1049l") > terminal.written.rindex("\x1b[?1049h")
    assert "Traceback" not in terminal.written


def test_the_screen_survives_a_daemon_that_restarts_and_says_so(path: Path) -> None:
    with FakeDaemon(path, answer(STATUS), hang_up) as daemon:
        _endless(daemon, RESTARTED)
        terminal = Terminal("--socket", str(path), "top")
        terminal.read_until(lambda written: "no answer since" in written)
        terminal.read_until(lambda written: "restarted meanwhile, 1 time" in written)
        terminal.type("q")
        assert terminal.finish() == 0
        daemon._steps.clear()


def test_an_answer_that_is_none_ends_it_and_leaves_the_terminal_well(path: Path) -> None:
    with FakeDaemon(path, answer(STATUS), problem("daemon.internal", 500, "a defect")):
        terminal = Terminal("--socket", str(path), "top")
        assert terminal.finish() == 1
    assert "pushctl: a defect" in terminal.written
    assert terminal.written.rindex("\x1b[?1049l") > terminal.written.rindex("\x1b[?1049h")
