"""Something that takes the lines of a log: at once, or not before it is let."""

from __future__ import annotations

import threading


class Lines:
    """A drain that keeps what it takes.

    Attributes:
        taken: the lines.
        offered: lines that were offered, taken or not.
        closed: whether it was told to take no more.
    """

    def __init__(self, *, at_once: bool = True) -> None:
        self.taken: list[bytes] = []
        self.offered = 0
        self.closed = False
        self._at_once = at_once

    def offer(self, line: bytes, /) -> bool:
        self.offered += 1
        if self._at_once:
            self.taken.append(line)
        return self._at_once

    def write(self, lines: list[bytes], /) -> int:
        self.taken += lines
        return 0

    def close(self) -> None:
        self.closed = True


class Shut(Lines):
    """One that takes nothing until it is opened, like a pipe nobody reads.

    Attributes:
        asked: set when lines wait before it.
    """

    def __init__(self) -> None:
        super().__init__(at_once=False)
        self.asked = threading.Event()
        self._open = threading.Event()

    def write(self, lines: list[bytes], /) -> int:
        self.asked.set()
        assert self._open.wait(60), "nobody opened it"
        return super().write(lines)

    def open(self) -> None:
        self._open.set()


class Broken(Lines):
    """One that takes nothing, like a full disk, until it is mended."""

    def __init__(self) -> None:
        super().__init__(at_once=False)
        self.refused = threading.Event()
        self.mended = False

    def write(self, lines: list[bytes], /) -> int:
        if self.mended:
            return super().write(lines)
        self.refused.set()
        return len(lines)
