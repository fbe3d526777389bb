"""A forward proxy, as between a company and the world: CONNECT for HTTPS, absolute URLs for plain HTTP.

    with ForwardProxy({"registry.test:443": registry.address}, account=("me", "secret")) as proxy:
        push("registry.test/team/app:1.4")  # through proxy.url
        assert proxy.passed

It knows names that nobody else does: who reached one of them went through it, and left the resolving to it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from types import TracebackType

_PIECE = 256 << 10
_HEAD_MAX = 64 << 10


@dataclass(frozen=True, slots=True)
class Passed:
    """One request to the proxy.

    Attributes:
        target: `host:port` of whom it is for.
        headers: values by lower-case name, as the proxy saw them.
        status: 200 when it let it through, else what it answered.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    status: int


class ForwardProxy:
    """The proxy, in a thread of its own while it is entered.

    Args:
        routes: the `host:port` where it finds the names it knows; of any other it says 502.
        account: user and password it wants (Basic); None for none.
        tls: what it speaks TLS with; None for plain HTTP.

    Attributes:
        requests: all it was asked.
    """

    def __init__(
        self,
        routes: Mapping[str, str],
        *,
        account: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[Passed] = []
        self._routes = dict(routes)
        self._account = account
        self._tls = tls
        self._port = 0
        self._loop: asyncio.AbstractEventLoop
        self._leave: asyncio.Event
        self._thread: threading.Thread

    @property
    def address(self) -> str:
        """`host:port` of the proxy."""
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """Its URL, with user and password where it wants some."""
        return self.url_for(self._account)

    def url_for(self, account: tuple[str, str] | None) -> str:
        """Give its URL with this user and password, or none."""
        user = "" if account is None else f"{quote(account[0])}:{quote(account[1])}@"
        return f"{'http' if self._tls is None else 'https'}://{user}{self.address}"

    @property
    def passed(self) -> list[Passed]:
        """What it let through."""
        return [one for one in self.requests if one.status == 200]

    # -------------------------------------------------------------------------------------------- life cycle

    def __enter__(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="forward proxy")
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
        tasks: set[asyncio.Task[None]] = set()
        transports: list[asyncio.WriteTransport] = []

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            transports.append(writer.transport)
            task = self._loop.create_task(self._speak(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=self._tls, limit=_HEAD_MAX)
        self._port = server.sockets[0].getsockname()[1]
        started.set_result(None)
        await self._leave.wait()
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for transport in transports:
            transport.abort()  # TLS would wait for the other end to say goodbye, longer than this loop lives
        await asyncio.sleep(0)

    # ----------------------------------------------------------------------------------------- one connection

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request. The connection is closed after it, so that no second one slips through unseen."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            request, *lines = head.rstrip("\r\n").split("\r\n")
            method, target, _ = request.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            connects = method == "CONNECT"
            parts = urlsplit(target)
            named = target if connects else f"{parts.hostname}:{parts.port or 80}"
            status = self._decide(named, headers)
            self.requests.append(Passed(method, named, headers, status))
            if status != 200:
                wanted = 'Proxy-Authenticate: Basic realm="proxy"\r\n' if status == 407 else ""
                writer.write(f"HTTP/1.1 {status} No\r\n{wanted}Connection: close\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
                return
            host, _, port = self._routes[named].rpartition(":")
            there, to = await asyncio.open_connection(host, int(port))
            with contextlib.closing(to):
                if connects:
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    to.write(_forwarded(method, target, lines))
                await _carry((reader, to), (there, writer))

    def _decide(self, named: str, headers: Mapping[str, str]) -> int:
        if self._account is not None:
            wanted = "Basic " + base64.b64encode(":".join(self._account).encode()).decode()
            if headers.get("proxy-authorization") != wanted:
                return 407
        return 200 if named in self._routes else 502


def _forwarded(method: str, target: str, lines: list[str]) -> bytes:
    """Give the head of a request as the one it is for gets it (RFC 9112, 3.2.1), asking for the connection's end."""
    parts = urlsplit(target)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = [line for line in lines if not line.lower().startswith(("proxy-", "connection:"))]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]).encode("latin-1")


async def _carry(*directions: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    """Carry both directions until the first of them has ended."""
    tasks = [asyncio.ensure_future(_pour(*direction)) for direction in directions]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while piece := await source.read(_PIECE):
        target.write(piece)
        await target.drain()
