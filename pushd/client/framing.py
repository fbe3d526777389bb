"""How HTTP/1.1 frames an answer (RFC 9112): where its head ends, and its body."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MAX_LINE = 65536
_PIECE = 65536


def read_head(stream: BinaryIO) -> tuple[int, dict[str, str]]:
    """Read a status line and the header fields (RFC 9112, 4 and 5).

    Returns:
        The status code, and the fields by lower-case name.

    Raises:
        OSError: the stream's, or it ended early.
        ValueError: it is not HTTP.
    """
    status_line = _line(stream)
    version, _, rest = status_line.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(status_line)
    headers: dict[str, str] = {}
    while line := _line(stream):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(rest[:3]), headers


def read_body(stream: BinaryIO, headers: Mapping[str, str]) -> Iterator[bytes]:
    """Give the body that follows a head with these fields, as it arrives (RFC 9112, 6.3).

    Raises:
        OSError: the stream's, or it ended early.
        ValueError: it is not framed as its head says.
    """
    if "chunked" in headers.get("transfer-encoding", "").lower():
        yield from _chunked(stream)
    elif "content-length" in headers:
        yield from _counted(stream, int(headers["content-length"]))
    else:
        while piece := _read_some(stream, _PIECE):
            yield piece


def _line(stream: BinaryIO) -> str:
    line = stream.readline(_MAX_LINE)
    if len(line) == _MAX_LINE:
        raise ValueError("a line without an end")
    if not line.endswith(b"\n"):
        raise ConnectionResetError
    return line.decode("latin-1").rstrip("\r\n")


def _read_some(stream: BinaryIO, at_most: int) -> bytes:
    # read1 gives what is there without waiting for more; `makefile` returns a BufferedReader, which has it.
    piece: bytes = stream.read1(at_most)  # type: ignore[attr-defined]  # BinaryIO does not declare it
    return piece


def _counted(stream: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0:
        piece = _read_some(stream, min(length, _PIECE))
        if not piece:
            raise ConnectionResetError
        length -= len(piece)
        yield piece


def _chunked(stream: BinaryIO) -> Iterator[bytes]:
    """Undo the chunked coding (RFC 9112, 7.1); extensions and trailers are read over."""
    while size := int(_line(stream).partition(";")[0], 16):
        yield from _counted(stream, size)
        _line(stream)
    while _line(stream):
        pass
