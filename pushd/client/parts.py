"""What is brought to the daemon: bytes at hand, or a stretch of a file; and how much of it has been."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pushd.client.exchange import PIECE, Bytes

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pushd.source.extent import Extent


class StoppedError(Exception):
    """Nobody wants the rest."""


class Tally:
    """Adds up what was brought of all files, for whoever wants to know. Threads may share it."""

    def __init__(self, progress: Callable[[int, int | None], None] | None, total: int | None) -> None:
        """Tell `progress` the bytes brought and `total`, by one thread at a time."""
        self._progress = progress
        self._total = total
        self._lock = threading.Lock()
        self._at: dict[str, int] = {}
        self._brought = 0
        self._stopped = False

    def reached(self, name: str, offset: int) -> None:
        """Note where in a file it has come to; that may be behind where it was.

        Raises:
            StoppedError: after `stop`.
        """
        with self._lock:
            if self._stopped:
                raise StoppedError
            self._brought += offset - self._at.get(name, 0)
            self._at[name] = offset
            if self._progress is not None:
                self._progress(self._brought, self._total)

    def stop(self) -> None:
        """Have whoever still brings something end that."""
        with self._lock:
            self._stopped = True


class Held:
    """Bytes that are in memory until the daemon has them."""

    __slots__ = ("_content", "start")

    def __init__(self, content: bytes, start: int = 0) -> None:
        """Take the bytes that begin in their file at `start`."""
        self._content = memoryview(content)
        self.start = start

    @property
    def stop(self) -> int:
        """Where in the file they end."""
        return self.start + len(self._content)

    def body(self, at: int) -> Bytes:
        """Give those from the place `at` of the file on."""
        return Bytes(self._content[at - self.start :])


class Lying:
    """A blob where it lies on the disk, all of it."""

    __slots__ = ("_extent", "_reached", "start", "stop")

    def __init__(self, extent: Extent, reached: Callable[[int], None]) -> None:
        """Tell `reached` the place that sending has come to."""
        self._extent = extent
        self._reached = reached
        self.start = 0
        self.stop = extent.size

    def body(self, at: int) -> _Rest:
        """Give it from the place `at` on."""
        return _Rest(self._extent, at, self._reached)


class _Rest:
    """The rest of a blob, handed from file to socket by the kernel."""

    __slots__ = ("_at", "_extent", "_reached")

    def __init__(self, extent: Extent, at: int, reached: Callable[[int], None]) -> None:
        self._extent = extent
        self._at = at
        self._reached = reached

    @property
    def size(self) -> int:
        return self._extent.size - self._at

    def write(self, connection: socket.socket, done: int) -> int:
        at = self._at + done
        sent = self._extent.send_to(connection.fileno(), at, min(PIECE, self._extent.size - at))
        self._reached(at + sent)
        return sent
