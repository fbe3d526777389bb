"""A caller at the socket: sends shots one after the other, and looks at what comes back."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.shot import Shot

PATIENCE: Final = 0.2
"""Seconds for the answers to one shot. Many a shot has none coming: its end is missing, or it asked for a stream."""

_MOMENT: Final = 0.002
"""Seconds between two pieces."""
_FAILED: Final = 500
_BY_DESIGN: Final = frozenset({503, 507})
_BY_THE_SERVER: Final = frozenset({400, 417})
"""What aiohttp answers itself, in plain text: to what is no HTTP, and to a CONNECT that expects what nobody knows."""
_STATUS: Final = re.compile(rb"HTTP/1\.[01] [1-5][0-9]{2} ")
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")
_TYPE: Final = re.compile(rb"(?i)\r\ncontent-type: *([^\r;]+)")
_CHUNKED: Final = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `body` may not be whole."""

    status: int
    media_type: bytes
    body: bytes

    def fault(self) -> str | None:
        """Say what is wrong with it, whatever was asked."""
        if self.status >= _FAILED and self.status not in _BY_DESIGN:
            return f"answered {self.status}: {self.body[:300]!r}"
        if b"Traceback" in self.body:
            return f"told of its inside: {self.body[:300]!r}"
        if self.status < 400:
            return None
        if self.media_type == b"text/plain" and self.status in _BY_THE_SERVER:
            return None
        if self.media_type != b"application/problem+json":
            return f"answered {self.status} as {self.media_type!r}"
        try:
            whole = not self.body or {"code", "detail", "hint"} <= json.loads(self.body).keys()
        except ValueError:
            whole = False
        return None if whole else f"answered {self.status} with no problem: {self.body[:300]!r}"


class Caller:
    """One connection after the other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, shot: Shot) -> list[Answer]:
        """Send a shot; give the answers there were."""
        answers: list[Answer] = []
        good = False
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await self._connected()
                for number, piece in enumerate(shot.pieces):
                    if number:
                        await asyncio.sleep(_MOMENT)
                    writer.write(piece)
                    await writer.drain()
                if shot.stays:
                    while len(answers) < shot.answers:
                        answers.append(await _answer(reader, headed=shot.headed))
                    good = shot.clean
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, _GarbledError):
            pass  # it was not answered, or not to its end: so be it
        if not good:
            self.leave()
        return answers

    def leave(self) -> None:
        """Close the connection, whatever is on it."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[0].at_eof():
            self.leave()
            self._streams = await asyncio.open_unix_connection(self._path)
        return self._streams


class _GarbledError(Exception):
    """What came is no answer: perhaps the body of one to a HEAD that chance made."""


async def _answer(reader: asyncio.StreamReader, *, headed: bool) -> Answer:
    """Read one answer; those that only say to go on are left out."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        if not _STATUS.match(head):
            raise _GarbledError
        status = int(head[9:12])
        if status >= 200:
            break
    media = _TYPE.search(head)
    media_type = media[1] if media is not None else b""
    if headed:
        return Answer(status, media_type, b"")
    length = _LENGTH.search(head)
    if _CHUNKED.search(head):
        return Answer(status, media_type, await _chunks(reader))
    return Answer(status, media_type, await reader.readexactly(int(length[1])) if length is not None else b"")


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return bytes(body)
