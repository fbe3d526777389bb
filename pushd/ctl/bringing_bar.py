"""A bar for the bytes that are brought to the daemon. Importing this imports rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.constrain import Constrain
from rich.live import Live

from pushd.ctl.bars import ECHO, REFRESHES, bar, console_on
from pushd.ctl.brought import Brought

if TYPE_CHECKING:
    from typing import TextIO

    from rich.console import RenderableType


class Bar:
    """Draws it, until it is closed; then the drawing is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._brought = Brought()
        self._console = console_on(stream)
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=REFRESHES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def show(self, brought: Brought) -> None:
        """Draw it from now on."""
        self._brought = brought

    def close(self) -> None:
        """Take the drawing away."""
        self._live.stop()

    def _draw(self) -> RenderableType:
        brought = self._brought
        row = bar("to the daemon", brought.done, brought.total, brought.pace)
        return Constrain(row, self._console.width - ECHO)
