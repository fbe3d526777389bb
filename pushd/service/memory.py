"""How the C library keeps memory: what uploads need is used again and again, what nobody needs goes back."""

from __future__ import annotations

import gc
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from ctypes import CDLL

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""Of mallopt(3)."""

_KEPT: Final = 64 << 20
"""Bytes at the top of the heap that are kept free: as many as the buffers of all uploads have by default."""
_LARGEST: Final = 8 << 20
"""Bytes up to which a block is taken from the heap: more than a piece of an upload has."""


def reuse() -> None:
    """Have the C library use the same memory for one piece of an upload after the other. Before any thread starts.

    By itself it gives a piece back to the system as soon as it has left, and the kernel maps and clears another one for
    the next: a quarter of the CPU of a push (76,000 page faults for a gibibyte in place of 5,000). And each thread that
    reads would have a heap of its own, for what the event loop frees.
    """
    with _nowhere():
        library = _library()
        library.mallopt(_ARENA_MAX, 1)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)


def settle() -> None:
    """Have Python's collector look seldom at what a push makes, and never at what was there before.

    By default it goes through the young objects seven hundred at a time, and nearly nothing of a push is garbage that
    only it finds: 0.9 ms of the CPU of each small job, 0.1 so.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


def give_back() -> None:
    """Have the C library give back what is free in its heap. Takes a few milliseconds.

    Bodies and replies of all sizes leave holes between what stays, which it keeps for good: a hundred thousand odd
    requests left 20 to 28 MiB.
    """
    with _nowhere():
        _library().malloc_trim(0)


def _library() -> CDLL:
    import ctypes  # noqa: PLC0415 (its import is among what may be forbidden)

    return ctypes.CDLL(None)


def _nowhere() -> AbstractContextManager[None]:
    """Let nothing happen where there is no such call (musl), or no ctypes (a kernel that forbids what it needs)."""
    return suppress(ImportError, MemoryError, OSError, AttributeError)
