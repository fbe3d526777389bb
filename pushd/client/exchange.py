"""HTTP/1.1 exchanges with the daemon over its unix socket (RFC 9112), a connection for each or one for many.

The standard library's `http.client` would do, but importing it costs more time than everything else a short command
does together: it brings `email` and `ssl` for headers and hosts that a unix socket does not have.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from pushd.client.framing import read_body, read_head
from pushd.errors import Code, DaemonError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONNECT_TIMEOUT = 5.0
"""Seconds; longer than any backlog of a daemon that is alive."""
MAX_PATH = 107
"""Bytes of a unix socket's address, the final NUL apart (unix(7))."""
PIECE = 1 << 20
"""Bytes of a body that are handed to the kernel at once."""
_BUFFER = 1 << 20
"""Bytes that may be on their way to the daemon. More of them at once are fewer changes between the two processes."""
_CREDENTIALS = 12
"""Bytes of a `struct ucred`: pid, uid, gid."""
_BODILESS = frozenset({204, 304})
"""Statuses of answers that end with their head (RFC 9112, 6.3)."""


class Broken(Exception):  # noqa: N818 (a state of the conversation that is usually mended, not an error yet)
    """The daemon was not reached, or the connection ended before the answer did: trying again may well help.

    Attributes:
        reason: what happened, without a full stop.
        absent: there is no socket at all, so perhaps no daemon was ever started.
    """

    def __init__(self, reason: str, *, absent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.absent = absent


class Body(Protocol):
    """What is sent with a request, piece by piece."""

    @property
    def size(self) -> int:
        """Bytes of it."""

    def write(self, connection: socket.socket, done: int) -> int:
        """Send some of what follows the first `done` bytes, and give how many.

        Raises:
            OSError: the connection's.
            PushdError: the bytes are not to be had; nothing more is sent then.
        """


class Bytes:
    """A body that is in memory."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes | memoryview) -> None:
        self._content = memoryview(content)

    @property
    def size(self) -> int:
        """Bytes of it."""
        return len(self._content)

    def write(self, connection: socket.socket, done: int) -> int:
        """Send some of it."""
        return connection.send(self._content[done : done + PIECE])


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request.

    Attributes:
        target: path and query, already encoded.
        answer_within: seconds without a byte after which the daemon is given up.
        secret: whether it is to be sent to nobody but the daemon (see `trust`).
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Body = field(default=b"", repr=False)  # a credential may be handed over in it
    answer_within: float = 30.0
    secret: bool = False

    @property
    def content(self) -> Body:
        """The body."""
        return Bytes(self.body) if isinstance(self.body, bytes) else self.body

    def head(self, *, lasting: bool = False) -> bytes:
        """Give what goes before the body; with `lasting` another request follows on the same connection."""
        lines = [
            f"{self.method} {self.target} HTTP/1.1",
            "Host: pushd",
            *([] if lasting else ["Connection: close"]),
            f"Content-Length: {self.content.size}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Connection:
    """A connection for one request after the other, of one thread. Made when needed, and anew when it was lost."""

    __slots__ = ("_lasting", "_path", "_socket", "_stream")

    def __init__(self, path: str, *, lasting: bool = True) -> None:
        """Speak to the socket at `path`; without `lasting`, for one exchange at a time."""
        self._path = path
        self._lasting = lasting
        self._socket: socket.socket | None = None
        self._stream: BinaryIO | None = None

    def exchange(self, request: Request) -> Response:
        """Send `request`, and read the head of the answer, which is to be used as a context manager.

        Raises:
            Broken: nobody answered, or not to the end; worth another try.
            DaemonError: `daemon.socket`, the path cannot be a socket's or what answers is not the daemon;
                `daemon.unreachable`, the socket is there but not for the caller.
            PushdError: what the body raises.
        """
        connection, stream = self._open()
        try:
            connection.settimeout(request.answer_within)
            if request.secret:
                from pushd.client.trust import check_trusted  # noqa: PLC0415 (most requests are of no secret)

                check_trusted(self._path, _listener(connection))
            whole = _transmit(connection, request, lasting=self._lasting)
            return Response(self, self._path, stream, reusable=self._lasting and whole)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise _interrupted(error) from error
            if isinstance(error, ValueError):
                raise _not_http(self._path) from error
            raise

    def close(self) -> None:
        """Release what is open. Idempotent, and no end: the next exchange connects again."""
        if self._stream is not None:
            self._stream.close()
        if self._socket is not None:
            self._socket.close()
        self._socket = self._stream = None

    def _open(self) -> tuple[socket.socket, BinaryIO]:
        # Something to be read where nothing was asked is the end: the daemon closed an idle connection, or restarted.
        if self._socket is not None and _ready(self._socket, select.POLLIN, 0):
            self.close()
        if self._socket is None or self._stream is None:
            self._socket = _connect(self._path)
            self._stream = self._socket.makefile("rb")
        return self._socket, self._stream


class Response:
    """An answer whose head was read; its body is read by `pieces`, once.

    Attributes:
        status: the status code.
        headers: by lower-case name.
    """

    def __init__(self, connection: Connection, path: str, stream: BinaryIO, *, reusable: bool) -> None:
        self._connection = connection
        self._path = path
        self._stream = stream
        self._reusable = reusable
        self._read = False
        self.status, self.headers = read_head(stream)
        self._bodiless = self.status in _BODILESS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        framed = self._bodiless or "content-length" in self.headers or "transfer-encoding" in self.headers
        closing = "close" in self.headers.get("connection", "").lower()
        if not (self._reusable and self._read and framed) or closing:
            self._connection.close()

    def pieces(self) -> Iterator[bytes]:
        """Give the body as it arrives.

        Raises:
            Broken: it ended early.
            DaemonError: `daemon.socket`, it is not framed as HTTP frames it.
        """
        try:
            if not self._bodiless:
                yield from read_body(self._stream, self.headers)
            self._read = True
        except OSError as error:
            raise _interrupted(error) from error
        except ValueError as error:
            raise _not_http(self._path) from error

    def body(self) -> bytes:
        """Read all of the body.

        Raises:
            Broken: it ended early.
        """
        return b"".join(self.pieces())

    def lines(self) -> Iterator[bytes]:
        """Give the body line by line, without the ends of line, each as soon as it is complete.

        Raises:
            Broken: it ended early.
        """
        rest = b""
        for piece in self.pieces():
            *complete, rest = (rest + piece).split(b"\n")
            yield from complete
        if rest:
            yield rest


def send(path: str, request: Request) -> Response:
    """Send one request over a connection of its own to the socket at `path`; otherwise as `Connection.exchange`."""
    return Connection(path, lasting=False).exchange(request)


def _listener(connection: socket.socket) -> int:
    """Give the uid of whoever listens at the other end (unix(7), SO_PEERCRED)."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS))
    return int(uid)


def _transmit(connection: socket.socket, request: Request, *, lasting: bool) -> bool:
    """Send a request, and tell whether all of it went.

    A daemon may answer before it has read everything, with a refusal worth reading: then the rest is not sent.
    """
    body: Body = request.content
    head = request.head(lasting=lasting)
    if body.size <= PIECE and isinstance(request.body, bytes):
        head, body = head + request.body, Bytes(b"")  # one message, and the daemon wakes once
    try:
        connection.sendall(head)
        done = 0
        while done < body.size:
            happened = _ready(connection, select.POLLIN | select.POLLOUT, request.answer_within)
            if not happened:
                raise TimeoutError
            if happened & ~select.POLLOUT:
                return False
            with contextlib.suppress(BlockingIOError):  # less room than it seemed
                done += body.write(connection, done)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def _ready(connection: socket.socket, events: int, within: float) -> int:
    """Wait for one of `events` at most `within` seconds; give what happened, nothing when nothing did."""
    poll = select.poll()
    poll.register(connection, events)
    return next((happened for _, happened in poll.poll(within * 1000)), 0)


def _connect(path: str) -> socket.socket:
    length = len(path.encode(errors="surrogateescape"))
    if length > MAX_PATH:
        raise DaemonError(
            Code.DAEMON_SOCKET, path, f"has {length} bytes, and a socket's path at most {MAX_PATH}",
            hint="choose a shorter path, or a symbolic link to the directory",
        )  # fmt: skip
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        connection.settimeout(CONNECT_TIMEOUT)
        connection.connect(path)
    except PermissionError as error:
        connection.close()
        raise DaemonError(
            Code.DAEMON_UNREACHABLE, path, "permission denied",
            hint="only who may write to the socket may talk to pushd: ask its administrator, or run it as yourself",
        ) from error  # fmt: skip
    except FileNotFoundError as error:
        connection.close()
        raise Broken("there is no such socket", absent=True) from error
    except ConnectionRefusedError as error:
        connection.close()
        raise Broken("nobody listens there") from error
    except (BlockingIOError, TimeoutError) as error:  # EAGAIN: the backlog is full (connect(2))
        connection.close()
        raise Broken("too many are waiting to be let in") from error
    except OSError as error:
        connection.close()
        raise DaemonError(Code.DAEMON_UNREACHABLE, path, error.strerror or str(error)) from error
    return connection


def _interrupted(error: OSError) -> Broken:
    if isinstance(error, TimeoutError):
        return Broken("no answer in time")
    return Broken("the connection was closed before the answer was complete")


def _not_http(path: str) -> DaemonError:
    return DaemonError(
        Code.DAEMON_SOCKET,
        path,
        "what listens there does not speak HTTP",
        hint="set PUSHD_SOCKET or --socket to the socket of pushd",
    )
