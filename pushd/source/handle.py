"""A file descriptor that several threads may use and any of them may close."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Handle:
    """Owns a descriptor; it is closed when `close` was called and nobody uses it any more.

    A number closed under a running `pread` could by then be another file's: a transfer that is cancelled closes its
    reader while a thread still reads. `close` never waits.
    """

    __slots__ = ("_closed", "_fd", "_lock", "_users")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._users = 1  # the owner, until it calls close
        self._closed = False

    @contextlib.contextmanager
    def use(self) -> Iterator[int]:
        """Give the descriptor for as long as the block runs.

        Raises:
            ValueError: it is closed already.
        """
        with self._lock:
            if self._closed:
                raise ValueError("used after it was closed")
            self._users += 1
        try:
            yield self._fd
        finally:
            self._leave()

    def close(self) -> None:
        """Close it as soon as nobody uses it. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            last = not self._users
        if last:
            # Opened for reading: an error on closing loses nothing, and there is nothing to be done about it.
            with contextlib.suppress(OSError):
                os.close(self._fd)
