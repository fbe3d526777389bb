"""A stream read once and forwards: what comes down a pipe, undone from gzip where it is compressed."""

from __future__ import annotations

import select
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final

from pushd.errors import Code, SourceError
from pushd.oci.magic import HEAD, Format, format_of
from pushd.source import faults

if TYPE_CHECKING:
    from collections.abc import Callable

SUBJECT: Final = "the archive"
"""What errors name."""
_PIECE: Final = 1 << 20
_GZIP_WINDOW: Final = 31  # zlib: gzip, the largest window


class Forward:
    """The bytes of an uncompressed archive, in order.

    Attributes:
        position: how many were read or passed over.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Read from `stream`, which is never asked to go back.

        Raises:
            SourceError: `source.archive_invalid`, it is empty, or compressed in another way; `source.unreadable`.
        """
        self.position = 0
        plain = _Plain(stream)
        head = plain.peek(HEAD)
        if not head:
            raise invalid("is empty", hint="did the command before the pipe fail?")
        compression = format_of(head)
        if compression not in (None, Format.GZIP):
            raise invalid(f"is compressed with {compression}", hint=f"pipe it through {compression.undo} first")
        self._read: Callable[[int], bytes] = plain.read if compression is None else _Gunzip(plain).read

    def read(self, length: int) -> bytes:
        """Give the next `length` bytes, fewer only where the stream ends.

        Raises:
            SourceError: `source.archive_invalid`, its compression is damaged; `source.unreadable`.
        """
        parts = []
        missing = length
        while missing and (part := self._read(missing)):
            parts.append(part)
            missing -= len(part)
        self.position += length - missing
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def pass_over(self, length: int) -> int:
        """Read `length` bytes nobody needs, fewer only where the stream ends; give how many."""
        left = length
        while left and (part := self.read(min(left, _PIECE))):
            left -= len(part)
        return length - left

    def pread(self, length: int, position: int) -> bytes:
        """Read as `os.pread` would, where `position` lies ahead.

        Raises:
            SourceError: as `read` does.
        """
        self.pass_over(position - self.position)
        return self.read(length)


def invalid(detail: str, *, hint: str = "") -> SourceError:
    """Tell what is wrong with the archive: `source.archive_invalid`."""
    return faults.invalid(SUBJECT, detail, hint=hint)


class _Plain:
    """The stream itself."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead = b""

    def peek(self, length: int) -> bytes:
        """Give the first bytes, which are read again afterwards."""
        while len(self._ahead) < length and (part := self._next(length - len(self._ahead))):
            self._ahead += part
        return self._ahead

    def read(self, length: int) -> bytes:
        """Give up to `length` of the next bytes; none at the end."""
        if self._ahead:
            part, self._ahead = self._ahead[:length], self._ahead[length:]
            return part
        return self._next(length)

    def _next(self, length: int) -> bytes:
        try:
            while True:
                part: bytes | None = self._stream.read(length)
                if part is not None:
                    return part
                # Whoever had the pipe before made it non-blocking (Node.js does): there is nothing yet, and no end.
                select.select([self._stream], [], [])
        except OSError as error:
            detail = f"cannot be read: {error.strerror or error}"
            raise SourceError(Code.SOURCE_UNREADABLE, SUBJECT, detail) from error


class _Gunzip:
    """Undoes gzip, one member after the other (RFC 1952, 2.2)."""

    def __init__(self, plain: _Plain) -> None:
        self._plain = plain
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        self._input = b""

    def read(self, length: int) -> bytes:
        """Give up to `length` of the next bytes; none at the end, where all checksums were right."""
        while True:
            if self._inflate.eof and not self._begin_next():
                return b""
            self._input = self._input or self._plain.read(_PIECE)
            if not self._input:
                raise invalid("is truncated: its compression stops before its end")
            try:
                part = self._inflate.decompress(self._input, length)
            except zlib.error as error:
                raise invalid("is damaged: its compression does not add up") from error
            self._input = self._inflate.unconsumed_tail
            if part:
                return part

    def _begin_next(self) -> bool:
        """Go on with the next member, if there is one; zeros, with which tapes are filled up, are none."""
        self._input = self._inflate.unused_data.lstrip(b"\0")
        while not self._input and (part := self._plain.read(_PIECE)):
            self._input = part.lstrip(b"\0")
        if not self._input:
            return False
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        return True
