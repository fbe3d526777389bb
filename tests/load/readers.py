"""Many readers of events, half of them stalled, beside a push: what they cost it."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fakes.images import ImageSpec, build_layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.registry import FakeRegistry
    from tests.integration.daemon import Daemon

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured, pair by pair.

    Attributes:
        alone: seconds of a push nobody looks at, the median.
        watched: of one that all the readers watch.
        ratios: watched to alone, pair by pair.
        before: resident bytes after a first push, before there was any reader.
        after: when all had been there, and gone.
        events: read by those that read.
    """

    alone: float
    watched: float
    ratios: list[float]
    before: int
    after: int
    events: int


def measure(
    daemon: Daemon, registry: FakeRegistry, directory: Path, *, readers: int, size: int, layers: int, pairs: int
) -> Figures:
    """Push the same bytes again and again, now alone, now watched, each time to a fresh repository."""
    layout = build_layout(directory / "image", [ImageSpec(layers=[size // layers] * layers)])
    numbers = iter(range(1 << 30))

    def push() -> float:
        start = time.perf_counter()
        job = daemon.wait(daemon.submit(f"oci:{layout.path}", f"{registry.address}/team/app{next(numbers)}:1"))
        assert job["state"] == "succeeded", job
        return time.perf_counter() - start

    push()
    before = daemon.memory().now
    alone, watched, events = [], [], 0
    for _ in range(pairs):
        alone.append(push())
        with _watching(daemon.socket, readers) as crowd:
            watched.append(push())
        events += crowd.events
    push()
    return Figures(
        alone=statistics.median(alone),
        watched=statistics.median(watched),
        ratios=[second / first for first, second in zip(alone, watched, strict=True)],
        before=before,
        after=daemon.memory().now,
        events=events,
    )


class _Crowd:
    """Readers in a thread of their own; every second one takes the head of its answer and nothing more."""

    def __init__(self, socket: Path, readers: int) -> None:
        self._socket = socket
        self._readers = readers
        self._there = threading.Event()
        self._leave: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self.events = 0

    def run(self) -> None:
        """Read until told to leave."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        connections = [await self._connect() for _ in range(self._readers)]
        reading = [asyncio.create_task(self._read(reader)) for reader, _ in connections[::2]]
        self._there.set()
        await self._leave.wait()
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        for _, writer in connections:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # From the beginning, with a small buffer: one that stalls has much to be sent from its first moment on.
        reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=1024)
        writer.write(b"GET /v1/events?after=0 HTTP/1.1\r\nHost: pushd\r\n\r\n")
        answered = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in answered.partition(b"\r\n")[0], answered
        return reader, writer

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while piece := await reader.read(1 << 16):
            self.events += piece.count(b'"event":')

    def wait_until_there(self) -> None:
        assert self._there.wait(30)

    def leave(self) -> None:
        self._loop.call_soon_threadsafe(self._leave.set)


@contextmanager
def _watching(socket: Path, readers: int) -> Iterator[_Crowd]:
    crowd = _Crowd(socket, readers)
    thread = threading.Thread(target=crowd.run)
    thread.start()
    try:
        crowd.wait_until_there()
        yield crowd
    finally:
        crowd.leave()
        thread.join(30)
