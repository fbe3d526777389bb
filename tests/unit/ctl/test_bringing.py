from __future__ import annotations

import io

import pytest

from pushd.ctl.bringing import Bringing
from pushd.ctl.brought import Brought


def _brought(*steps: tuple[float, int], total: int | None = 1000) -> Brought:
    brought = Brought()
    for at, done in steps:
        brought = brought.after(done, total, at)
    return brought


def test_the_pace_is_that_of_the_last_seconds() -> None:
    brought = _brought((0.0, 0), (1.0, 100), (2.0, 400))
    assert brought.rate == 200
    assert brought.pace == "200 B/s 3s left"
    assert _brought((0.0, 0), (1.0, 900), (20.0, 900), (21.0, 950)).rate == 50


def test_without_two_points_there_is_no_pace() -> None:
    assert _brought((0.0, 10)).pace == ""
    assert _brought((0.0, 10), (0.0, 20)).pace == ""


def test_of_a_stream_nobody_knows_how_much_is_left() -> None:
    brought = _brought((0.0, 0), (1.0, 100), total=None)
    assert brought.pace == "100 B/s"
    assert not brought.complete


@pytest.mark.parametrize(("done", "complete"), [(0, False), (999, False), (1000, True)])
def test_it_is_complete_when_all_is_there(done: int, complete: bool) -> None:
    assert _brought((0.0, done)).complete is complete


def _told(total: int | None, *steps: int, silent: bool = False) -> list[str]:
    stream = io.StringIO()
    with Bringing(stream, silent=silent, environ={"TERM": "xterm"}) as bringing:
        for done in steps:
            bringing.progress(done, total)
    return stream.getvalue().splitlines()


def test_elsewhere_than_on_a_terminal_each_tenth_is_a_line() -> None:
    lines = _told(1000, *range(0, 1001, 25))
    assert [line.split(",")[0] for line in lines] == [f"to the daemon: {tenth}0%" for tenth in range(1, 11)]
    assert "500 B of 1.0 kB" in lines[4]


def test_a_stream_is_told_of_now_and_then() -> None:
    lines = _told(None, 50_000_000, 100_000_000, 150_000_000, 320_000_000)
    assert [line.split(",")[0] for line in lines] == ["to the daemon: 100.0 MB", "to the daemon: 320.0 MB"]


def test_for_a_machine_nothing_is_told() -> None:
    assert _told(1000, 0, 500, 1000, silent=True) == []


def test_what_did_not_have_to_be_brought_is_not_spoken_of() -> None:
    with Bringing(io.StringIO(), silent=False) as bringing:
        pass
    assert bringing.brought is None


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_is_drawn_and_gone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = _Terminal()
    with Bringing(terminal, silent=False, environ={"TERM": "xterm-256color"}) as bringing:
        bringing.progress(610, 1000)
    text = terminal.getvalue()
    assert "to the daemon" in text
    assert "61%" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_a_stream_has_a_bar_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = _Terminal()
    with Bringing(terminal, silent=False, environ={"TERM": "xterm-256color"}) as bringing:
        bringing.progress(610_000, None)
    assert "610.0 kB" in terminal.getvalue()
    assert "%" not in terminal.getvalue()


def test_a_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    terminal = _Terminal()
    with Bringing(terminal, silent=False, environ={"TERM": "dumb"}) as bringing:
        bringing.progress(500, 1000)
    assert terminal.getvalue() == "to the daemon: 50%, 500 B of 1.0 kB\n"
