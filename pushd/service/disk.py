"""The disk as the daemon uses it, looked at no oftener than it can change by much."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from pushd.push.budget import Disk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_FRESH: Final = 0.5
"""Seconds a look is good for: a thousand submissions may come in one, each asks, and all are far below the reserve."""


class Gauge:
    """Measures the filesystems that state and spool are on.

    Args:
        directories: on them.
        database: gives the bytes of the database.
        spool: gives the bytes of the spool, those promised and not yet there included: never out of date.
        clock: seconds that do not go back.
    """

    def __init__(
        self,
        directories: Sequence[Path],
        *,
        database: Callable[[], int],
        spool: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directories = directories
        self._database = database
        self._spool = spool
        self._clock = clock
        self._seen: tuple[float, int, int, int] | None = None

    def __call__(self, *, fresh: bool = False) -> Disk:
        """Give how things stand; with `fresh`, now, and not a moment ago."""
        now = self._clock()
        if fresh or self._seen is None or now - self._seen[0] > _FRESH:
            # The fuller one counts, where they are two.
            status = min(map(os.statvfs, self._directories), key=lambda one: one.f_bavail * one.f_frsize)
            free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
            self._seen = now, free, total, self._database()
        _, free, total, database = self._seen
        return Disk(free=free, total=total, used=database + self._spool())
