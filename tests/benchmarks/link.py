"""The way to a registry: a TCP proxy that delays, and counts the requests that pass.

    python -m tests.benchmarks.link UPSTREAM... [--delay SECONDS] [--count]

Each upstream, `host:port`, gets a port of its own. It knows no bandwidth: what is under way lies in memory. Opening a
connection takes no time, which is kind to a client that opens one for each request.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import deque
from typing import TYPE_CHECKING

from tests.benchmarks.counts import Counts
from tests.benchmarks.requests import Requests
from tests.benchmarks.standby import BACKLOG, stand_by

if TYPE_CHECKING:
    from tests.benchmarks.requests import Head


class _Counter:
    """Counts the requests of one connection."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def begin(self, head: Head) -> None:
        self._counts.requests[head.method] += 1

    def body(self, piece: memoryview) -> None:
        self._counts.body += len(piece)

    def end(self) -> None:
        """Nothing more is to be known of it."""


class _End(asyncio.Protocol):
    """One end of a connection: what it reads goes out at the other, `delay` seconds later, in order.

    Args:
        delay: seconds.
        counter: is shown what is read here, or None.
    """

    def __init__(self, delay: float, counter: Requests | None) -> None:
        self._delay = delay
        self._counter = counter
        self._line: deque[tuple[float, bytes]] = deque()
        """What is under way with the time of its arrival; an empty piece is the end."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self.other: _End

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._counter is not None:
            try:
                self._counter.feed(memoryview(data))
            except ValueError:
                self._counter = None  # a client that tries TLS first
        self._send(data)

    def eof_received(self) -> bool:
        self._send(b"")
        return True  # the other direction may have more to say

    def connection_lost(self, exc: Exception | None) -> None:
        self._send(b"")

    def pause_writing(self) -> None:
        # With a delay everything is taken at once: a link holds what is under way.
        if not self._delay:
            self.other.hold(wait=True)

    def resume_writing(self) -> None:
        if not self._delay:
            self.other.hold(wait=False)

    def hold(self, *, wait: bool) -> None:
        """Read nothing more for the time being, or go on."""
        if self._transport is None or self._transport.is_closing():
            return
        if wait:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def deliver(self, data: bytes) -> None:
        """Let it out here."""
        if self._transport is None or self._transport.is_closing():
            return
        if data:
            self._transport.write(data)
        else:
            self._transport.close()

    def _send(self, data: bytes) -> None:
        if not self._delay:
            self.other.deliver(data)
            return
        arrival = self._loop.time() + self._delay
        self._line.append((arrival, data))
        if len(self._line) == 1:
            self._loop.call_at(arrival, self._arrive)

    def _arrive(self) -> None:
        now = self._loop.time()
        while self._line and self._line[0][0] <= now:
            self.other.deliver(self._line.popleft()[1])
        if self._line:
            self._loop.call_at(self._line[0][0], self._arrive)


class _Client(_End):
    """The client's end; opens the way to the upstream, and reads nothing before it is open."""

    def __init__(self, upstream: tuple[str, int], delay: float, counts: Counts | None) -> None:
        super().__init__(delay, None if counts is None else Requests(_Counter(counts)))
        self._upstream = upstream
        self._opening: asyncio.Task[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.hold(wait=True)
        self.other = _End(self._delay, None)
        self.other.other = self
        self._opening = asyncio.create_task(self._open(transport))

    async def _open(self, transport: asyncio.BaseTransport) -> None:
        try:
            await self._loop.create_connection(lambda: self.other, *self._upstream)
        except OSError:
            transport.abort()  # type: ignore[attr-defined]  # connection_made saw to it that it is a Transport
            return
        self.hold(wait=False)


async def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.link", description=__doc__)
    parser.add_argument("upstreams", nargs="+", metavar="UPSTREAM")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds in each direction")
    parser.add_argument("--count", action="store_true", help="read the requests that pass")
    asked = parser.parse_args()
    counts = Counts()
    loop = asyncio.get_running_loop()

    async def listen(upstream: str) -> asyncio.Server:
        host, _, port = upstream.rpartition(":")
        address = (host, int(port))
        return await loop.create_server(
            lambda: _Client(address, asked.delay, counts if asked.count else None), "127.0.0.1", 0, backlog=BACKLOG
        )

    await stand_by([await listen(upstream) for upstream in asked.upstreams], counts)


if __name__ == "__main__":
    asyncio.run(main())
