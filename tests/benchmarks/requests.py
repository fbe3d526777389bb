"""What a client sends, cut into requests: HTTP/1.1 (RFC 9112) without IO, as cheap as it can be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto, unique
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD_END = b"\r\n\r\n"
_HEAD_MAX = 64 << 10


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request; names of headers are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]


class Listener(Protocol):
    """Who is told what was cut."""

    def begin(self, head: Head) -> None:
        """Take a request whose head has arrived."""

    def body(self, piece: memoryview) -> None:
        """Take a piece of its body, without the framing; the memory is good for the length of the call."""

    def end(self) -> None:
        """Take note that it is whole."""


@unique
class _At(Enum):
    HEAD = auto()
    BODY = auto()
    CHUNK_HEAD = auto()
    CHUNK_END = auto()
    TRAILER = auto()


class Requests:
    """Cuts the bytes of one connection.

    Args:
        listener: who is told.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._at = _At.HEAD
        self._held = bytearray()
        self._left = 0
        self._chunked = False

    def feed(self, data: memoryview) -> None:
        """Take what has arrived.

        Raises:
            ValueError: it is no HTTP/1.1.
        """
        start, length = 0, len(data)
        while start < length:
            if self._at is _At.BODY:
                stop = min(start + self._left, length)
                self._listener.body(data[start:stop])
                self._left -= stop - start
                start = stop
                if not self._left:
                    self._body_read()
            else:
                start = self._framing(data, start)

    def _framing(self, data: memoryview, start: int) -> int:
        """Take bytes of a head, or of what lies between chunks; give where it goes on."""
        end = _HEAD_END if self._at is _At.HEAD else b"\r\n"
        known = len(self._held)
        # As much as a head may need, and not the body behind it.
        self._held += data[start : start + (_HEAD_MAX if self._at is _At.HEAD else 64)]
        if self._at is _At.HEAD and not self._held[:1].isalpha():
            raise ValueError("no method")  # a client that tries TLS first is to hear at once that it is not spoken here
        found = self._held.find(end, max(known - len(end) + 1, 0))
        if found < 0:
            taken = len(self._held) - known
            if len(self._held) > _HEAD_MAX:
                raise ValueError("a head without an end")
            return start + taken
        taken = found + len(end) - known
        line = bytes(self._held[:found])
        self._held.clear()
        self._line(line)
        return start + taken

    def _line(self, line: bytes) -> None:
        if self._at is _At.HEAD:
            self._begin(line)
        elif self._at is _At.CHUNK_HEAD:
            self._left = int(line.partition(b";")[0], 16)
            self._at = _At.BODY if self._left else _At.TRAILER
        elif self._at is _At.CHUNK_END:
            if line:
                raise ValueError(f"a chunk is longer than it says: {line!r}")
            self._at = _At.CHUNK_HEAD
        elif not line:  # the empty line behind the trailer
            self._end()

    def _begin(self, text: bytes) -> None:
        first, *lines = text.decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        if version != "HTTP/1.1":
            raise ValueError(f"not HTTP/1.1: {first}")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self._listener.begin(Head(method, target, headers))
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self._left = int(headers.get("content-length", "0"))
        if self._chunked:
            self._at = _At.CHUNK_HEAD
        elif self._left:
            self._at = _At.BODY
        else:
            self._end()

    def _body_read(self) -> None:
        if self._chunked:
            self._at = _At.CHUNK_END
        else:
            self._end()

    def _end(self) -> None:
        self._at = _At.HEAD
        self._listener.end()
