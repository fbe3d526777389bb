"""A TCP proxy on loopback: the network between the daemon and a registry, with everything networks do.

    with Proxy(registry.address, rate=50e6, delay=0.02) as proxy:
        push(f"{proxy.address}/team/app:1.4")
        proxy.cut(0.5, rng)
        assert proxy.up < 1.1 * size

It knows nothing of HTTP. A side that closes is closed towards the other after what it sent before, so that what a
killed process left in its socket still arrives, late, as it does in the field.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from random import Random
    from types import TracebackType

_PIECE = 256 << 10
_LINE = 16
"""Pieces of one direction of a connection that are under way at most."""
_RECEIVE_BUFFER = 256 << 10
"""What the kernel takes on the proxy's behalf: little, so that what is counted is what was sent."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger (socket(7)): closing sends RST."""

_Line = asyncio.Queue[tuple[float, bytes]]
"""Pieces with the time of their arrival; an empty one is the end."""


@dataclass(slots=True, eq=False)
class _Connection:
    """A client, its connection to the upstream, and the task that carries what they say."""

    client: socket.socket
    upstream: socket.socket = field(default_factory=socket.socket)
    task: asyncio.Task[None] | None = None

    def break_off(self) -> None:
        """End it with RST on both sides; what is under way is lost."""
        for end in (self.client, self.upstream):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if self.task is not None:
            self.task.cancel()

    def close(self) -> None:
        """Close both sides."""
        self.client.close()
        self.upstream.close()


class Proxy:
    """The proxy, in a thread of its own while it is entered.

    Args:
        upstream: `host:port` it leads to; nobody needs to listen there all the time.
        rate: bytes a second of all connections and both directions together, or None for as fast as it goes.
        delay: seconds every piece is under way, in each direction.

    Attributes:
        up: bytes read from clients so far.
        down: bytes read from the upstream so far.
        port: where it listened first.
    """

    def __init__(self, upstream: str, *, rate: float | None = None, delay: float = 0.0) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self._rate = rate
        self._delay = delay
        self._free_at = 0.0
        self._connections: list[_Connection] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._thread: threading.Thread
        self._tasks: asyncio.TaskGroup
        self._loop: asyncio.AbstractEventLoop
        self._leave: asyncio.Event
        self.up = 0
        self.down = 0
        self.port = 0

    @property
    def address(self) -> str:
        """`host:port`, as in references."""
        return f"127.0.0.1:{self.port}"

    def listen(self) -> str:
        """Listen at one more address, and give it: another name for the same upstream."""
        asked: Future[int] = Future()
        self._loop.call_soon_threadsafe(lambda: asked.set_result(self._open()))
        return f"127.0.0.1:{asked.result(10)}"

    def cut(self, share: float, rng: Random) -> int:
        """Break off about this share of the connections, one at least if there is any; give how many."""
        asked: Future[int] = Future()

        def cut() -> None:
            count = min(len(self._connections), max(1, round(share * len(self._connections))))
            for connection in rng.sample(self._connections, count):
                connection.break_off()
            asked.set_result(count)

        self._loop.call_soon_threadsafe(cut)
        return asked.result(10)

    # -------------------------------------------------------------------------------------------- life cycle

    def __enter__(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="proxy", daemon=True)
        self._thread.start()
        started.result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(10)

    async def _serve(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        async with asyncio.TaskGroup() as self._tasks:
            self.port = self._open()
            started.set_result(None)
            await self._leave.wait()
            for accepting in self._accepting:
                accepting.cancel()
            for connection in self._connections:
                connection.break_off()

    def _open(self) -> int:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        listener.setblocking(False)
        self._accepting.append(self._tasks.create_task(self._accept(listener)))
        return int(listener.getsockname()[1])

    async def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                client, _ = await self._loop.sock_accept(listener)
                connection = _Connection(client)
                for end in (connection.client, connection.upstream):
                    end.setblocking(False)
                self._connections.append(connection)
                connection.task = self._tasks.create_task(self._carry(connection))
                # Not in a `finally`: a task that is cancelled before its first step never comes to one.
                connection.task.add_done_callback(partial(self._forget, connection))

    def _forget(self, connection: _Connection, _: asyncio.Task[None]) -> None:
        self._connections.remove(connection)
        connection.close()

    # ----------------------------------------------------------------------------------------- one connection

    async def _carry(self, connection: _Connection) -> None:
        """Carry both directions until the upstream has closed and its last word was delivered."""
        client, upstream = connection.client, connection.upstream
        with contextlib.suppress(OSError):  # nobody listens there just now
            await self._loop.sock_connect(upstream, self._upstream)
            async with asyncio.TaskGroup() as directions:
                sending = directions.create_task(self._direct(client, upstream, up=True))
                await self._direct(upstream, client, up=False)
                sending.cancel()

    async def _direct(self, source: socket.socket, target: socket.socket, *, up: bool) -> None:
        """Carry one direction until its source closes, and close it towards its target."""
        line: _Line = asyncio.Queue(_LINE)
        async with asyncio.TaskGroup() as ends:
            ends.create_task(self._deliver(line, target))
            with contextlib.suppress(ConnectionError):  # who breaks off has closed
                while piece := await self._loop.sock_recv(source, _PIECE):
                    if up:
                        self.up += len(piece)
                    else:
                        self.down += len(piece)
                    await self._pace(len(piece))
                    await line.put((self._loop.time() + self._delay, piece))
            await line.put((self._loop.time() + self._delay, b""))

    async def _deliver(self, line: _Line, target: socket.socket) -> None:
        gone = False
        while True:
            due, piece = await line.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            if not piece:
                break
            if not gone:
                try:
                    await self._loop.sock_sendall(target, piece)
                except ConnectionError:
                    gone = True  # the other direction notices as well, and ends what is to be ended
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    async def _pace(self, count: int) -> None:
        """Wait until as many bytes may pass."""
        if self._rate is not None:
            now = self._loop.time()
            self._free_at = max(self._free_at, now) + count / self._rate
            await asyncio.sleep(self._free_at - now)
