"""The way out for lines: who tells one never waits for whoever takes it.

A line goes at once where that takes no waiting; else it waits in a bounded buffer for a thread. When nobody takes what
is in the buffer, lines are lost, and counted; the work goes on.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOM = 4 << 20
"""Bytes that wait at most: some ten thousand lines."""
_CROWDED = 3 << 20
"""Bytes from which on only what tells most is to be put."""
_AT_ONCE = 64 << 10
"""Bytes written at once, about: as many as a pipe holds (pipe(7))."""


class Drain(Protocol):
    """What takes lines."""

    def offer(self, line: bytes, /) -> bool:
        """Take a line if that takes no waiting; give whether it was taken. Raises nothing."""

    def write(self, lines: list[bytes], /) -> int:
        """Take lines, however long it takes; give how many it could not take. Raises nothing."""

    def close(self) -> None:
        """Take no more."""


class Stream:
    """A file descriptor: a file, a pipe, a terminal.

    It is shared with other processes, so that it cannot be made not to block: everything goes by the thread.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def offer(self, _line: bytes, /) -> bool:
        """Take nothing: nobody knows whether it would block."""
        return False

    def write(self, lines: list[bytes], /) -> int:
        """Write them; give how many were not written whole."""
        rest = memoryview(b"".join(lines))
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:  # a full disk, or a pipe whose reader is gone: there is nobody to tell
            return bytes(rest).count(b"\n")
        return 0

    def close(self) -> None:
        """Leave the descriptor open: it is the process's."""


class Outlet:
    """Takes lines from any thread, and gives them to a drain in their order.

    Args:
        drain: takes them.
        remind: called on the thread of this outlet after each of its turns; gives the seconds after which it is to
            be called again at the latest, or None.

    Attributes:
        failing: whether the drain did not take the last lines it was given.
        lost: lines it did not take, or that there was no room for.
    """

    def __init__(self, drain: Drain, remind: Callable[[], float | None]) -> None:
        self._drain = drain
        self._remind = remind
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._writing = False
        self._called = False
        self._closing = False
        self._changed = threading.Condition(threading.Lock())
        self.failing = False
        self.lost = 0
        # A daemon thread: one that nobody reads from must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def crowded(self) -> bool:
        """Whether little room is left."""
        return self._size > _CROWDED

    def put(self, line: bytes) -> None:
        """Take a line; it is lost when there is no room for it, or this is closed."""
        with self._changed:
            if not self._size and not self._writing and self._drain.offer(line):
                return
            if self._closing or self._size + len(line) > _ROOM:
                self.lost += 1
                return
            self._waiting.append(line)
            self._size += len(line)
            self._changed.notify()

    # What structlog calls, by the level of the line.
    debug = info = warning = error = put

    def take_lost(self) -> int:
        """Give how many lines were lost since this was asked last."""
        with self._changed:
            lost, self.lost = self.lost, 0
        return lost

    def miss(self, lines: int = 1) -> None:
        """Count lines that were not even put, for want of room."""
        with self._changed:
            self.lost += lines

    def call(self) -> None:
        """Have `remind` called soon."""
        with self._changed:
            self._called = True
            self._changed.notify()

    def close(self, patience: float) -> None:
        """Write what waits, for at most `patience` seconds. Idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(patience)

    def _run(self) -> None:
        pause: float | None = None
        going_on = True
        while going_on:
            lines, going_on = self._next(pause)
            if lines:
                lost = self._drain.write(lines)
                self.failing = lost > 0
                self.miss(lost)
            pause = self._remind()
        self._drain.close()

    def _next(self, pause: float | None) -> tuple[list[bytes], bool]:
        """Wait for lines, a call, `pause` seconds or the end; give what is to be written, and whether to go on."""
        with self._changed:
            self._writing = False
            self._changed.wait_for(lambda: self._waiting or self._called or self._closing, pause)
            self._called = False
            lines: list[bytes] = []
            size = 0
            while self._waiting and size < _AT_ONCE:
                lines.append(self._waiting.popleft())
                size += len(lines[-1])
            self._size -= size
            self._writing = bool(lines)
            return lines, bool(lines) or not self._closing
