"""Following the bytes of an image that the daemon cannot read itself and that are brought to it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from pushd.ctl.brought import Brought, View


class Bringing:
    """Hears what the client tells of the bytes it brings, and shows it; most pushes bring none, and import nothing.

    Attributes:
        brought: how far it is; None when no byte had to be brought.
    """

    def __init__(self, stream: TextIO, *, silent: bool, environ: Mapping[str, str] = os.environ) -> None:
        self._stream = stream
        self._silent = silent
        self._draws = stream.isatty() and environ.get("TERM", "dumb") != "dumb"
        self._view: View | None = None
        self.brought: Brought | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._view is not None:
            self._view.close()

    def progress(self, done: int, total: int | None) -> None:
        """Hear of the client that `done` bytes of `total` are there, from whichever thread, one at a time."""
        from pushd.ctl.brought import Brought  # noqa: PLC0415 (most pushes do without it)

        self.brought = (self.brought or Brought()).after(done, total, time.monotonic())
        if self._view is None:
            self._view = self._choose()
        self._view.show(self.brought)

    def _choose(self) -> View:
        from pushd.ctl.brought import Lines, Silent  # noqa: PLC0415 (as above)

        if self._silent:
            return Silent()
        if self._draws:
            from pushd.ctl.bringing_bar import Bar  # noqa: PLC0415 (imports rich, which takes longer than most pushes)

            return Bar(self._stream)
        return Lines(self._stream)
