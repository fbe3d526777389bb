"""Compressed files, told by how they begin."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final

HEAD: Final = 6
"""First bytes that tell."""


@unique
class Format(StrEnum):
    """How a file is compressed."""

    GZIP = "gzip"
    ZSTD = "zstd"
    XZ = "xz"
    BZIP2 = "bzip2"

    @property
    def undo(self) -> str:
        """The command that undoes it."""
        return _UNDO[self]


_UNDO: Final = {Format.GZIP: "gunzip", Format.ZSTD: "unzstd", Format.XZ: "unxz", Format.BZIP2: "bunzip2"}
_BEGINNINGS: Final = (
    (b"\x1f\x8b", Format.GZIP),  # RFC 1952, 2.3.1
    (b"\x28\xb5\x2f\xfd", Format.ZSTD),  # RFC 8878, 3.1.1
    (b"\xfd7zXZ\0", Format.XZ),
    (b"BZh", Format.BZIP2),
)
_SKIPPABLE: Final = b"\x2a\x4d\x18"
"""Of a frame of zstd's that others pass over, after a byte from 0x50 to 0x5f (RFC 8878, 3.1.2)."""


def format_of(head: bytes) -> Format | None:
    """Give how a file is compressed that begins with `head`, of `HEAD` bytes where there are as many; None if not."""
    if head[1:4] == _SKIPPABLE and head[0] >> 4 == 0x5:  # noqa: PLR2004 (as above)
        return Format.ZSTD
    return next((found for beginning, found in _BEGINNINGS if head.startswith(beginning)), None)
