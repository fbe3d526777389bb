"""The tar of a layer, checked as its bytes come."""

from __future__ import annotations

from typing import Final

from pushd.inspection.member import check_member
from pushd.oci.tar import BLOCK, Extension, Headers, MalformedTarError, lone_zeros, padded

MAX_HEADERS: Final = 4_000_000
"""More headers than that are refused: some times more than the largest images have files, a minute's work."""


class TarCheck:
    """Is fed the bytes of a tar, cut in any way, and then told that they have ended.

    The end may be marked by two blocks of zeros, or more, or not at all, and the last member need not fill its last
    block (umoci writes such): nobody who unpacks asks for either, and that nothing is missing the digest says. Anything
    but zeros behind the mark is refused: it is unpacked by nobody.
    """

    def __init__(self) -> None:
        self._headers = Headers()
        self._position = 0
        self._count = 0
        self._skip = 0  # bytes before the next header
        self._due = 0  # where the data of the member before it ends
        self._held = bytearray()
        self._wanted = BLOCK
        self._extension: Extension | None = None  # whose bytes are wanted
        self._zeros = 0  # blocks of them that were met, up to two

    def feed(self, content: bytes) -> None:
        """Take the next bytes.

        Raises:
            MalformedTarError: they are no tar, or go beyond the bounds.
            RefusedError: a member is one that unpackers refuse.
        """
        at, length = 0, len(content)
        while at < length:
            if self._zeros > 1:
                self._check_rest(content[at:])
                return
            if self._skip:
                step = min(self._skip, length - at)
                self._skip -= step
            else:
                step = min(self._wanted - len(self._held), length - at)
                self._held += content[at : at + step]
            at += step
            self._position += step
            if not self._skip and len(self._held) == self._wanted:
                self._take()

    def finish(self) -> None:
        """Take the end.

        Raises:
            MalformedTarError: it is truncated.
        """
        if self._zeros < 2 and (self._position < self._due or self._held or self._extension):  # noqa: PLR2004 (a whole end)
            raise MalformedTarError(f"is truncated: it stops at byte {self._position}, within a member")

    def _take(self) -> None:
        """Take the header, or the bytes of an extension, that are all there."""
        block, self._held = bytes(self._held), bytearray()
        extension, self._extension = self._extension, None
        self._wanted = BLOCK
        if extension is not None:
            self._headers.extend(extension, block[: extension.size])
            return
        start = self._position - BLOCK
        header = self._headers.read(block, start)
        if header is None:
            self._zeros += 1
            return
        if self._zeros:
            raise lone_zeros(start - BLOCK)
        self._count += 1
        if self._count > MAX_HEADERS:
            raise MalformedTarError(f"has more than {MAX_HEADERS} headers")
        if isinstance(header, Extension):
            if header.size:
                self._extension, self._wanted = header, padded(header.size)
            return
        check_member(header)
        self._skip = padded(header.size)
        self._due = header.offset + header.size

    def _check_rest(self, content: bytes) -> None:
        self._position += len(content)
        if content.count(0) != len(content):
            raise MalformedTarError("has something behind its end, which nobody would unpack")
