"""The screen of `pushctl top` on a terminal. Importing this imports rich."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

from pushd.ctl.bars import console_on
from pushd.ctl.screen import lost, screen
from pushd.errors import Code, DaemonError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from pushd.client import Client
    from pushd.ctl.screen import Row

_END = frozenset(b"qQ")


def watch(client: Client, status: Mapping[str, Any], interval: float) -> None:
    """Draw what the daemon does on the alternate screen, once in `interval` seconds, until `q` is pressed.

    Args:
        client: of little patience: while it is asked, nothing is drawn.
        status: the first one, already known.
        interval: seconds.

    Raises:
        KeyboardInterrupt: Ctrl-C was.
        DaemonError: the daemon answers, and not as one.
    """
    console = console_on(sys.stdout)
    live = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    first, gone_since = status, None
    with _single_keys() as keyboard, live:
        while True:
            width, height = console.size
            rows = screen(status, first, width=width, height=height)
            if gone_since is not None:
                rows = [*rows[: height - 1], lost(gone_since, width=width)]
            live.update(_drawing(rows), refresh=True)
            if keyboard.pressed(interval):
                return
            try:
                status, gone_since = client.status(), None
            except DaemonError as error:
                if error.code is not Code.DAEMON_UNREACHABLE:
                    raise
                gone_since = gone_since or datetime.now(UTC)


def _drawing(rows: list[Row]) -> Text:
    text = Text(no_wrap=True, overflow="crop", end="")
    for number, row in enumerate(rows):
        text.append("\n" if number else "")
        text.append(row.text, style=row.style)
    return text


class _Keyboard:
    """Keys as they are pressed; nothing at all where standard input is no terminal."""

    def __init__(self, *, terminal: bool) -> None:
        self._terminal = terminal

    def pressed(self, seconds: float) -> bool:
        """Wait so long, and say whether a key was pressed that ends it."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not self._terminal:
                time.sleep(left)
            elif select.select([sys.stdin], [], [], left)[0]:
                keys = os.read(sys.stdin.fileno(), 64)
                if not keys or _END & frozenset(keys):  # nothing: the terminal is gone
                    return True
        return False


@contextmanager
def _single_keys() -> Iterator[_Keyboard]:
    """Have the terminal hand over each key at once, and show none of them."""
    if not sys.stdin.isatty():
        yield _Keyboard(terminal=False)
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield _Keyboard(terminal=True)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
