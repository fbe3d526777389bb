"""One daemon per state directory."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from pushd.errors import Code, StoreError

if TYPE_CHECKING:
    from pathlib import Path


class StateLock:
    """An exclusive lock on a state directory, held until `release` or the process's end.

    The kernel gives it up with the process, however that ends, so a lock file left behind is never stale.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock, at once or not at all.

        Args:
            path: the lock file; created when missing, never removed.

        Raises:
            StoreError: `store.unavailable`, another process holds it.
            OSError: the file cannot be opened.
        """
        self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            self.release()
            named = f" (pid {holder})" if holder.isdecimal() else ""
            raise StoreError(
                Code.STORE_UNAVAILABLE,
                str(path.parent),
                f"another daemon{named} works on this state directory",
                hint="stop it first, or give this one a state directory of its own",
            ) from error
        except BaseException:
            self.release()
            raise
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    @property
    def held(self) -> bool:
        """Whether it was not given up yet."""
        return self._file is not None

    def release(self) -> None:
        """Give the lock up. Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
