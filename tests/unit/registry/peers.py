"""Servers that break HTTP itself: raw sockets on loopback, one coroutine of the test per connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable


@dataclass(slots=True)
class Heard:
    """One request as it came over the wire, not a byte of it interpreted.

    Attributes:
        target: of the request line, verbatim.
        headers: in their order, names and values verbatim.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Give the one header of that name."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) < 2, f"{name} came {len(found)} times"
        return found[0] if found else None


@dataclass(slots=True)
class Line:
    """One connection, from the server's end."""

    peer: Peer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> Heard:
        """Hear a request up to its body. Ends the connection's coroutine when none comes."""
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("utf-8")
        line, *rest = raw[:-4].split("\r\n")
        method, target, version = line.split(" ")
        assert version == "HTTP/1.1"
        heard = Heard(method, target, [(name, value) for name, _, value in (each.partition(": ") for each in rest)])
        self.peer.heard.append(heard)
        return heard

    async def request(self) -> Heard:
        """Hear a request with its body."""
        heard = await self.head()
        assert heard.header("Transfer-Encoding") is None
        heard.body = await self.reader.readexactly(int(heard.header("Content-Length") or 0))
        return heard

    async def say(self, text: str | bytes) -> None:
        """Send this."""
        self.writer.write(text.encode() if isinstance(text, str) else text)
        await self.writer.drain()

    async def answer(self, status: int, *headers: str, body: bytes = b"") -> None:
        """Answer in proper HTTP."""
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
        await self.say("\r\n".join([*lines, "", ""]).encode() + body)

    def reset(self) -> None:
        """End the connection with RST."""
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def narrow(self) -> None:
        """Let the kernel take little on our behalf, so that the other end feels that we do not read."""
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)

    async def gone(self) -> None:
        """Wait until the other end has closed or reset the connection, dropping what it still sends."""
        try:
            while await self.reader.read(1 << 16):
                pass
        except OSError:
            pass

    def _socket(self) -> socket.socket:
        found = self.writer.get_extra_info("socket")
        assert found is not None
        return found  # type: ignore[no-any-return]  # asyncio says Any


@dataclass(slots=True)
class Peer:
    """A server.

    Attributes:
        port: where it listens.
        heard: all requests, in order of arrival.
        connections: how many there have been.
        open: how many there are.
    """

    port: int = 0
    heard: list[Heard] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    failures: list[Exception] = field(default_factory=list)

    @property
    def address(self) -> str:
        """`host:port`, as in references."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The base of its URLs, without a slash."""
        return f"http://{self.address}"


@asynccontextmanager
async def listening(
    script: Callable[[Line], Awaitable[None]],
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
    window: int | None = None,
) -> AsyncIterator[Peer]:
    """Serve: `script` is run for each connection, which is closed when it ends.

    Args:
        script: what happens on a connection. That the other end goes away ends it; other failures fail the test.
        host: to listen on.
        tls: spoken when given.
        window: bytes the kernel takes before they are read; None leaves it alone.
    """
    peer = Peer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.connections += 1
        peer.open += 1
        try:
            await script(Line(peer, reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        except Exception as error:  # noqa: BLE001 (told when the test is over)
            peer.failures.append(error)
        finally:
            peer.open -= 1
            writer.close()

    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if window is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)  # inherited by each connection
    listener.bind((host, 0))
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(begin, sock=listener, ssl=tls, backlog=200)
    peer.port = listener.getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports tell of their end on the next turn of the loop
    assert not peer.failures, peer.failures


async def forever() -> None:
    """Wait until the test is over."""
    await asyncio.Event().wait()


def answering(*replies: tuple[int, list[str]] | tuple[int, list[str], bytes]) -> Callable[[Line], Awaitable[None]]:
    """Give a script that answers one request after another with these, the last for ever, over all connections."""
    left = list(replies)

    async def script(line: Line) -> None:
        while True:
            await line.request()
            status, headers, *body = left.pop(0) if len(left) > 1 else left[0]
            await line.answer(status, *headers, body=body[0] if body else b"")

    return script
