"""An HTTP server on a loopback port, in threads of its own: tests block, and so may its handlers."""

from __future__ import annotations

import http.client
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping
    from types import TracebackType

_PIECE = 64 << 10


class Handler(BaseHTTPRequestHandler):
    """One request. Connections are closed after each: HTTP/1.0.

    Args:
        part: whose request it is.
    """

    def __init__(self, part: Any, *args: Any) -> None:
        self.part = part
        super().__init__(*args)

    def answer(self) -> None:
        """Answer the request, whatever its method."""
        raise NotImplementedError

    do_HEAD = do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = property(attrgetter("answer"))  # noqa: N815 (the names are the library's)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name is the library's)
        """Say nothing: who wants to know asks the part."""

    def body(self) -> bytes:
        """Read what the request carries."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status: int, content: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Answer, as JSON unless the headers say otherwise."""
        self._begin(status, len(content), headers)
        if self.command != "HEAD":
            self.wfile.write(content)

    def stream(self, status: int, size: int) -> Iterator[int]:
        """Answer with `size` bytes that were not announced; give the bytes of each piece that was taken."""
        self._begin(status, None, None)
        for _ in range(size // _PIECE):
            self.wfile.write(b" " * _PIECE)
            yield _PIECE

    def relay(self, upstream: str) -> tuple[http.client.HTTPResponse, bytes]:
        """Send this request with its body, but nobody's authorisation, to `host:port`; give the answer and its body."""
        connection = http.client.HTTPConnection(upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "authorization"):
                    connection.putheader(name, value)
            connection.endheaders()
            left = int(self.headers.get("Content-Length") or 0)
            while left and (piece := self.rfile.read(min(left, _PIECE))):
                connection.send(piece)
                left -= len(piece)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def _begin(self, status: int, length: int | None, headers: Mapping[str, str] | None) -> None:
        fields = {"Content-Type": "application/json", **(headers or {})}
        if length is not None:
            fields.setdefault("Content-Length", str(length))
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Take a peer that hung up, or was not to be spoken TLS with, for what it is: part of the tests."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class ThreadedServer:
    """Serves while it is entered.

    Args:
        handler: answers the requests.
        part: what the handler finds under that name.
        tls: what it speaks TLS with; None for plain HTTP.
    """

    def __init__(self, handler: type[Handler], part: object, tls: ssl.SSLContext | None = None) -> None:
        self._server = _Server(("127.0.0.1", 0), partial(handler, part))
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            # The handshake is the business of each request's thread: a peer that never makes it holds up nobody.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name=handler.__name__)

    @property
    def address(self) -> str:
        """`host:port`, as in references."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """The base of its URLs, without a slash."""
        return f"{self._scheme}://{self.address}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()
