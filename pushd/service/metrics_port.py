"""The metrics on a TCP port: `GET /metrics`, for whoever gets there, and nothing else.

Who asks over TCP is nobody the kernel could name, so the API is not within reach from here: this is a server of its
own, which knows one request. It takes one for each connection (RFC 9112, 9.6), and none of them has a body.
"""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import anyio

from pushd.api.metrics import exposition
from pushd.errors import Code, DaemonError, StoreError
from pushd.telemetry.faults import fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushd.api.ports import Metrics
    from pushd.config import TcpAddress
    from pushd.push.ports.emit import Emit

CONNECTIONS: Final = 16
"""Served at once; who comes after them waits in the kernel's queue, and costs no descriptor."""
HEAD_MAX: Final = 8 << 10
"""Bytes of a request, which is a head and nothing else."""
_PATIENCE: Final = 10.0
"""Seconds a connection has, from its first byte to its last: Prometheus waits no longer (`scrape_timeout`)."""
_LEFTOVERS: Final = 64 << 10
"""Bytes that are read and thrown away at the end: closed with some unread, the answer would be lost with them."""
_BREATH: Final = 1.0
"""Seconds until the next try when no connection can be taken, for want of descriptors or memory."""

_END: Final = b"\r\n\r\n"
_REQUEST: Final = re.compile(rb"(?P<method>[!#-'*+.^_`|~0-9A-Za-z-]+) (?P<target>[!-~]+) HTTP/1\.(?P<minor>[0-9])")
_ORIGIN: Final = re.compile(rb"(?i:http)://[^/?#]+")
"""Before the path, where a proxy is asked (RFC 9112, 3.2.2)."""
_FIELD: Final = re.compile(rb"(?P<name>[!#-'*+.^_`|~0-9A-Za-z-]+):[ \t]*(?P<value>[^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_PATH: Final = b"/metrics"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back, after which the connection ends."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"

    def whole(self) -> bytes:
        """Give its bytes, head and body."""
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Date: {formatdate(usegmt=True)}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "Connection: close",
        ]
        if self.status is HTTPStatus.METHOD_NOT_ALLOWED:
            lines.append("Allow: GET")
        return "\r\n".join([*lines, "", ""]).encode("ascii") + self.body


def read_request(head: bytes) -> tuple[str, ...] | Answer:
    """Read the head of a request, its last line break apart; give its `Accept` headers, or why it is refused."""
    first, *lines = head.split(b"\r\n")
    request = _REQUEST.fullmatch(first)
    fields = [_FIELD.fullmatch(line) for line in lines]
    if request is None or None in fields:
        return _refusal(HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1")
    named = [(field["name"].lower(), field["value"].decode("latin-1")) for field in fields if field is not None]
    hosts = sum(name == b"host" for name, _ in named)
    if hosts > 1 or (hosts == 0 and request["minor"] != b"0"):
        return _refusal(HTTPStatus.BAD_REQUEST, "one Host is wanted")  # RFC 9112, 3.2
    if _ORIGIN.sub(b"", request["target"], count=1) != _PATH:
        return _refusal(HTTPStatus.NOT_FOUND, "there is /metrics, and nothing else")
    if request["method"] != b"GET":
        return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "/metrics takes GET, and nothing else")
    return tuple(value for name, value in named if name == b"accept")


@contextmanager
def bound(address: TcpAddress) -> Iterator[socket.socket]:
    """Give a socket that listens there, for as long as the context lasts.

    Raises:
        DaemonError: `daemon.socket`, with what is in the way.
    """
    family = socket.AF_INET6 if address.host.version == 6 else socket.AF_INET  # noqa: PLR2004 (IPv6)
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        try:
            # What an earlier life served may linger (tcp(7), TIME_WAIT), and is not in the way.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((str(address.host), address.port))
            listener.listen(CONNECTIONS)
        except OSError as error:
            detail = f"cannot be listened on for metrics ({error.strerror})"
            hint = "free it, or choose another as listen in [metrics]"
            raise DaemonError(Code.DAEMON_SOCKET, str(address), detail, hint=hint) from error
        listener.settimeout(0)
        yield listener


async def serve_metrics(listener: socket.socket, metrics: Metrics, emit: Emit, *, patience: float = _PATIENCE) -> None:
    """Serve until cancelled.

    Args:
        listener: as `bound` gives it.
        metrics: what is served.
        emit: where a defect is told.
        patience: seconds a connection has.
    """
    loop = asyncio.get_running_loop()
    places = anyio.Semaphore(CONNECTIONS)

    async def converse(connection: socket.socket) -> None:
        with suppress(OSError), anyio.move_on_after(patience):
            await _converse(connection, metrics, emit)
        connection.close()
        taken.remove(connection)
        places.release()

    taken: set[socket.socket] = set()
    try:
        async with anyio.create_task_group() as connections:
            while True:
                await places.acquire()
                try:
                    connection, _ = await loop.sock_accept(listener)
                except OSError:
                    places.release()
                    await anyio.sleep(_BREATH)
                else:
                    connection.settimeout(0)
                    taken.add(connection)
                    connections.start_soon(converse, connection)
    finally:
        for connection in taken:
            connection.close()


async def _converse(connection: socket.socket, metrics: Metrics, emit: Emit) -> None:
    """Take one request, and answer it."""
    loop = asyncio.get_running_loop()
    head = b""
    while _END not in head and len(head) <= HEAD_MAX:
        piece = await loop.sock_recv(connection, HEAD_MAX)
        if not piece:
            return  # nobody is left who could be told anything
        head += piece
    head, end, _ = head.partition(_END)
    if not end or len(head) > HEAD_MAX:
        answer = _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"at most {HEAD_MAX} bytes are taken")
    else:
        wanted = read_request(head)
        answer = wanted if isinstance(wanted, Answer) else await _measured(metrics, wanted, emit)
    await loop.sock_sendall(connection, answer.whole())
    connection.shutdown(socket.SHUT_WR)
    left = _LEFTOVERS
    while left > 0 and (piece := await loop.sock_recv(connection, left)):
        left -= len(piece)


async def _measured(metrics: Metrics, accept: tuple[str, ...], emit: Emit) -> Answer:
    try:
        content_type, body = await exposition(metrics, accept)
    except StoreError as error:
        return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"how everything stands cannot be read now ({error.code})")
    except Exception as error:  # noqa: BLE001 (a defect is told, and ends no more than an answer)
        emit(fault(error, where="GET /metrics"))
        return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the daemon met a defect in itself; its log has daemon.fault")
    return Answer(HTTPStatus.OK, body, content_type)


def _refusal(status: HTTPStatus, text: str) -> Answer:
    return Answer(status, f"{text}\n".encode())
