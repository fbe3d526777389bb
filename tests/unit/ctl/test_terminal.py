"""pushctl on a terminal, which here is a pseudo-terminal of 80 columns."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.daemon import DIGEST, FakeDaemon, answer, delivery, event, gated, job, stream

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

SOURCE = "oci:/srv/builds/app:1.4"
FIRST, SECOND = "registry.example.com/team/app:1.4", "mirror.example.net/team/app:1.4"
ID = "abc123DEF-_x"
BLOB = "sha256:" + "1234abcd" * 8
ENDED = job(
    "succeeded", delivery(1, FIRST, "succeeded", digest=DIGEST), delivery(2, SECOND, "succeeded", digest=DIGEST)
)


class Terminal:
    """A process behind a pseudo-terminal, and what it has written."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        inherited = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pushd.ctl", *arguments],
            stdin=theirs, stdout=theirs, stderr=theirs,
            env={**inherited, "TERM": "xterm-256color", **environment},
            start_new_session=True,  # what asks for a password would find the terminal the tests are run on
        )  # fmt: skip
        os.close(theirs)
        self.written = ""

    def read_until(self, seen: Callable[[str], bool]) -> None:
        """Read until `seen` is true of what was written, or the process has closed the terminal."""
        until = time.monotonic() + 20
        while not seen(self.written):
            assert time.monotonic() < until, self.written
            if not select.select([self._ours], [], [], 1)[0]:
                continue
            try:
                self.written += os.read(self._ours, 65536).decode()
            except OSError:  # EIO: the other side is closed
                return

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def finish(self) -> int:
        """Read all that is left and give the exit code."""
        self.read_until(lambda _: False)
        os.close(self._ours)
        return self.process.wait(10)


def _text(written: str) -> str:
    """Give what was written without the sequences that move the cursor or choose colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)


def _screen(written: str) -> list[str]:
    """Give what stands on the terminal in the end: just enough of one for what rich uses."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if token == "\r":
            column = 0
        elif token == "\n":
            row += 1
            lines.extend([""] * (row + 1 - len(lines)))
        elif token.startswith("\x1b["):
            argument, final = token[2:-1], token[-1]
            if final == "A":
                row = max(0, row - int(argument or 1))
            elif final == "K":
                assert argument == "2"
                lines[row] = ""
            else:
                assert final in "mhl", token
        else:
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + len(token) :]
            column += len(token)
    return [line.rstrip() for line in lines]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "pushd.sock") as daemon:
        yield daemon


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _moving() -> list[dict[str, Any]]:
    """Tell of one destination with a blob on its way and one mounted, and of another that is held."""
    held = {"code": "registry.throttled", "reason": "too many", "until": "2026-11-22T21:05:00Z"}
    return [
        event(1, "delivery.started", "to it", delivery=1, attempt=1),
        event(2, "delivery.planned", "plan", level="debug", delivery=1, blobs=3, size=30_000_000, manifests=1),
        event(3, "transfer.finished", delivery=1, digest="sha256:aa", size=1_000_000, sent=0, state="mounted"),
        event(4, "delivery.held", f"to {SECOND} waits\x1b[31m", level="warning", delivery=2, **held),
        _progress(0),
        _progress(12_000_000),
    ]


def _progress(done: int) -> dict[str, Any]:
    return event(
        None, "transfer.progress", level="debug", delivery=1, digest=BLOB, size=29_000_000, done=done, sent=done,
        state="running", at=_now(),
    )  # fmt: skip


def _in_two_parts(first: list[dict[str, Any]], gate: threading.Event) -> Any:
    def step(connection: socket.socket) -> None:
        stream(*first, broken=True)(connection)
        assert gate.wait(10)

    return step


def _push_to(daemon: FakeDaemon, gate: threading.Event) -> None:
    two = job("queued", delivery(1, FIRST), delivery(2, SECOND), size=30_000_000)
    last = [event(5, "delivery.succeeded", delivery=1), event(6, "job.finished")]
    daemon.then(answer(two), _in_two_parts(_moving(), gate), stream(*last), answer(ENDED))


def test_bars_are_drawn_and_at_the_end_only_the_result_stands(daemon: FakeDaemon) -> None:
    gate = threading.Event()
    _push_to(daemon, gate)
    terminal = Terminal("--socket", str(daemon.path), "push", "--wait", SOURCE, FIRST, SECOND)
    terminal.read_until(lambda written: bool(re.search(rf"job {ID} [^\n]*MB/s [^\n]* left", _text(written))))
    drawn = _screen(terminal.written)
    gate.set()
    assert terminal.finish() == 0
    assert drawn[0].endswith(f"warning: to {SECOND} waits\ufffd[31m")
    assert drawn[1] == f"{FIRST}  1/3 blobs, 1 mounted"
    assert drawn[2].startswith("  sha256:1234abcd ")
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in drawn[2]
    assert "41%" in drawn[2]
    assert drawn[3].startswith(f"{SECOND}  held until ")
    assert drawn[4].startswith(f"job {ID} ")
    assert "MB/s" in drawn[4]
    assert max(len(line) for line in drawn) <= 80
    assert [line for line in _screen(terminal.written) if line][1:] == [
        f"{FIRST}@{DIGEST}",
        f"{SECOND}@{DIGEST}",
        f"job {ID} succeeded: 2 of 2 destinations",
    ]
    assert terminal.written.rindex("\x1b[?25h") > terminal.written.rindex("\x1b[?25l")


def test_ctrl_c_takes_the_bars_away_and_says_how_to_come_back(daemon: FakeDaemon) -> None:
    gate = threading.Event()
    daemon.then(answer(job("running")), _in_two_parts(_moving(), gate))
    terminal = Terminal("--socket", str(daemon.path), "watch", ID)
    terminal.read_until(lambda written: "12.0 MB / 29.0 MB" in _text(written))
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() == 8
    gate.set()
    shown = "\n".join(_screen(terminal.written))
    assert f"`pushctl watch {ID}`" in shown
    assert "29.0 MB" not in shown
    assert "\x1b[?25h" in terminal.written[terminal.written.rindex("\x1b[?25l") :]
    assert "Traceback" not in shown


def test_no_color_leaves_the_bars_and_takes_the_colours(daemon: FakeDaemon) -> None:
    gate = threading.Event()
    _push_to(daemon, gate)
    terminal = Terminal("--socket", str(daemon.path), "push", "--wait", SOURCE, FIRST, SECOND, NO_COLOR="1")
    terminal.read_until(lambda written: "12.0 MB / 29.0 MB" in _text(written))
    gate.set()
    assert terminal.finish() == 0
    assert not re.search(r"\x1b\[(3[0-9]|38;|9[0-7])", terminal.written)


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(daemon: FakeDaemon) -> None:
    gate = threading.Event()
    gate.set()
    _push_to(daemon, gate)
    terminal = Terminal("--socket", str(daemon.path), "push", "--wait", SOURCE, FIRST, SECOND, TERM="dumb")
    assert terminal.finish() == 0
    assert "\x1b" not in terminal.written
    assert "40%, 13.0 MB of" not in terminal.written  # held destinations count: 13 of 60
    assert "20%, 13.0 MB of 60.0 MB" in terminal.written


def test_on_a_terminal_a_push_without_waiting_says_how_to_look_on(daemon: FakeDaemon) -> None:
    gate = threading.Event()
    gate.set()
    daemon.then(gated(answer(job()), gate=gate))
    terminal = Terminal("--socket", str(daemon.path), "push", SOURCE, FIRST)
    assert terminal.finish() == 0
    assert terminal.written.splitlines() == [ID, f"job {ID} is taken; `pushctl watch {ID}` shows how it goes"]


def test_the_table_of_jobs_fits_the_terminal(daemon: FakeDaemon) -> None:
    long = job("running", delivery(1, "registry.example.com/" + "very/" * 20 + "app:1.4"), source="oci:/" + "x/" * 50)
    daemon.then(answer({"jobs": [long], "next": None}))
    terminal = Terminal("--socket", str(daemon.path), "jobs")
    assert terminal.finish() == 0
    assert all(len(line) <= 80 for line in terminal.written.splitlines())
    assert "app:1.4" in terminal.written
