"""Layers decompressed as their bytes come, with bounded memory however much comes out of how little."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol

import zstandard

from pushd.inspection.compression import Compression
from pushd.oci.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PIECE: Final = 1 << 20
_SLICE: Final = 1 << 8
"""Bytes of zstd that are decompressed at once. A block of 4 bytes gives at most 128 KiB: so 8 MiB come out of it."""
_WINDOW: Final = 1 << 27
"""Bytes of the largest window: what `zstd -d` takes unless it is told otherwise."""
_GZIP_BITS: Final = 31
_REASON: Final = 100


class CorruptError(ValueError):
    """It cannot be decompressed; the text says why."""


class Unpacking(Protocol):
    """Decompresses one layer."""

    def feed(self, content: bytes) -> Iterator[bytes]:
        """Take the next bytes; give what they decompress to, in pieces of at most 8 MiB.

        Raises:
            CorruptError: it cannot be decompressed, or other bytes follow its end.
        """

    def finish(self) -> None:
        """Take the end.

        Raises:
            CorruptError: it is cut off.
        """


class Plain:
    """A layer that is not compressed."""

    def feed(self, content: bytes) -> Iterator[bytes]:
        """Give it back."""
        yield content

    def finish(self) -> None:
        """Take the end, wherever it is."""


class Gzip:
    """Members of gzip, one behind the other (RFC 1952, 2.2). Anything else, be it zeros, Go does not take either."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_BITS)

    def feed(self, content: bytes) -> Iterator[bytes]:
        """Take the next bytes; give what they decompress to."""
        rest, piece = content, b""
        while rest or len(piece) == _PIECE:  # a full piece: there may be more where it came from
            if self._member.eof:
                if not rest:
                    return
                self._member = zlib.decompressobj(_GZIP_BITS)
            try:
                piece = self._member.decompress(rest, _PIECE)
            except zlib.error as error:
                raise CorruptError(printable(str(error), _REASON)) from error
            if piece:
                yield piece
            rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def finish(self) -> None:
        """Take the end."""
        if not self._member.eof:
            raise CorruptError("it is cut off")


class Zstd:
    """Frames of zstd, one behind the other (RFC 8878, 3.1), skippable ones among them."""

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        self._frame = self._decompressor.decompressobj()

    def feed(self, content: bytes) -> Iterator[bytes]:
        """Take the next bytes; give what they decompress to."""
        for start in range(0, len(content), _SLICE):
            rest = content[start : start + _SLICE]
            while rest:
                if self._frame.eof:
                    self._frame = self._decompressor.decompressobj()
                try:
                    piece = self._frame.decompress(rest)
                except zstandard.ZstdError as error:
                    raise CorruptError(printable(str(error), _REASON)) from error
                if piece:
                    yield piece
                rest = self._frame.unused_data if self._frame.eof else b""

    def finish(self) -> None:
        """Take the end."""
        if not self._frame.eof:
            raise CorruptError("it is cut off")


UNPACKINGS: Final[Mapping[Compression, Callable[[], Unpacking]]] = {
    Compression.NONE: Plain,
    Compression.GZIP: Gzip,
    Compression.ZSTD: Zstd,
}
"""What decompresses what."""
