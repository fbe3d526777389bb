"""Memory that was used once goes back to the system."""

from __future__ import annotations

from contextlib import suppress


def give_back() -> None:
    """Have the C library give back what is free in its heap. Takes a few milliseconds.

    Bodies and replies of all sizes leave holes between what stays, which it keeps for good: a hundred thousand odd
    requests left 20 to 28 MiB. Lower thresholds (mallopt(3)) would see to that as well, but then each piece of an
    upload is mapped anew and cleared by the kernel: a third more CPU for a push, measured.

    Where there is no such call (musl), or ctypes is not to be had (a kernel that forbids what it needs), nothing
    happens.
    """
    with suppress(ImportError, MemoryError, OSError, AttributeError):
        import ctypes  # noqa: PLC0415 (its import is among what may be forbidden)

        ctypes.CDLL(None).malloc_trim(0)
