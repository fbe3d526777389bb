"""A terminal of 80 columns with a shell in it, as a person sits before it: tmux draws it, and shows what is on it."""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.parts import Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TMUX = Tool("tmux", "PUSHD_TEST_TMUX", required=True)

PROMPT = "$ "
_PATIENCE = 30.0


class Screen:
    """The terminal; what is typed goes to the shell."""

    def __init__(self, tmux: str, server: Path) -> None:
        self._command = [tmux, "-S", str(server), "-f", "/dev/null"]

    def run(self, *arguments: str) -> str:
        """Ask tmux."""
        done = subprocess.run(
            [*self._command, *arguments], check=True, capture_output=True, encoding="utf-8", timeout=10
        )
        return done.stdout

    def type(self, text: str) -> None:
        """Type a line, and press Enter."""
        self.run("send-keys", "-l", text)
        self.run("send-keys", "Enter")

    def press(self, key: str) -> None:
        """Press one key by tmux's name for it."""
        self.run("send-keys", key)

    @property
    def shown(self) -> str:
        """What is on it, without the empty lines below."""
        lines = [line.rstrip() for line in self.run("capture-pane", "-p").splitlines()]
        return "\n".join(lines).rstrip()

    def until(self, seen: Callable[[str], bool], what: str) -> str:
        """Wait until something is on it; give all that is."""
        end = time.monotonic() + _PATIENCE
        while True:
            shown = self.shown
            if seen(shown):
                return shown
            if time.monotonic() > end:
                pytest.fail(f"after {_PATIENCE:g} s still not on the screen: {what}\n{shown}")
            time.sleep(0.05)

    def until_prompt(self) -> str:
        """Wait until the command has ended; give what is there, without the new prompt."""
        shown = self.until(lambda text: text.rsplit("\n", 1)[-1] == PROMPT.rstrip(), "a prompt")
        return shown.removesuffix(PROMPT.rstrip()).rstrip()

    def clear(self) -> None:
        """Begin on an empty screen."""
        self.run("send-keys", "-R")
        self.run("clear-history")
        self.press("C-l")
        self.until(lambda text: text == PROMPT.rstrip(), "an empty screen")


@contextmanager
def terminal(environment: Mapping[str, str], *, width: int = 80, height: int = 32) -> Iterator[Screen]:
    """Give a terminal with a shell of no habits."""
    tmux = TMUX.find()
    with tempfile.TemporaryDirectory(prefix="pushd-") as directory:
        screen = Screen(tmux, Path(directory) / "tmux")
        shell = ["env", *(f"{name}={value}" for name, value in environment.items()), f"PS1={PROMPT}"]
        screen.run(
            "new-session", "-d", "-x", str(width), "-y", str(height), "-c", directory,
            *shell, "bash", "--norc", "--noprofile",
        )  # fmt: skip
        try:
            screen.until(lambda text: text == PROMPT.rstrip(), "a prompt")
            yield screen
        finally:
            screen.run("kill-server")
