"""HTTP/1.1 in bulk over a unix socket: on kept connections, with as little work of ours for a request as can be."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Line:
    """One connection, one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._name = os.urandom(8).hex()
        self._asked = 0

    @classmethod
    async def to(cls, path: Path) -> Line:
        """Connect."""
        return cls(*await asyncio.open_unix_connection(str(path)))

    async def ask(self, method: str, target: str, body: object = None) -> Reply:
        """Send a request and read its reply."""
        content = b"" if body is None else json.dumps(body).encode()
        self._asked += 1
        key = f"Idempotency-Key: {self._name}-{self._asked}\r\n" if method == "POST" else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: pushd\r\n{key}Content-Length: {len(content)}\r\n\r\n"
        self._writer.write(head.encode() + content)
        answered = await self._reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(answered)
        return Reply(int(answered[9:12]), await self._reader.readexactly(int(length[1]) if length else 0))

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def in_turn(path: Path, bodies: Iterable[object], *, lines: int) -> float:
    """Submit jobs over so many connections at once; give the seconds it took. Each must be accepted."""
    waiting = iter(bodies)

    async def submit(line: Line) -> None:
        for body in waiting:
            reply = await line.ask("POST", "/v1/jobs", body)
            if reply.status != 202:
                raise AssertionError(reply)

    opened = [await Line.to(path) for _ in range(lines)]
    start = time.perf_counter()
    async with asyncio.TaskGroup() as submitters:
        for line in opened:
            submitters.create_task(submit(line))
    seconds = time.perf_counter() - start
    for line in opened:
        line.close()
    return seconds
