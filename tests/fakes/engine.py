"""A container engine as far as exporting images goes: the part of Docker's API that does it, on a unix socket.

    with FakeEngine(path) as engine:
        engine.images["app:1.4"] = docker_archive([SavedImage([layer], names=["app:1.4"])])
        engine.mood = Breaks(after=5000)
    engine.asked

Written from the Engine API ("Export an image"; errors are `{"message": ...}`): the name may be percent-encoded, and the
path may have a version before it. What Docker notices once it has begun stands as JSON behind the bytes it wrote (moby,
`getImagesGet`), and the answer ends as if it were whole.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_EXPORT = re.compile(r"(?:/v1\.\d+)?/images/(.+)/get")
_PIECE = 30_000


class Framing(Enum):
    """How it says where an answer ends."""

    CHUNKED = auto()
    LENGTH = auto()
    CLOSE = auto()


@dataclass(frozen=True, slots=True)
class Fails:
    """Answers with an error."""

    status: int
    message: str
    kind: str = "application/json"


@dataclass(frozen=True, slots=True)
class Breaks:
    """Closes the connection after so many bytes of the archive."""

    after: int


@dataclass(frozen=True, slots=True)
class Regrets:
    """Says behind so many bytes of the archive, as Docker does, what went wrong."""

    after: int
    message: str


@dataclass(frozen=True, slots=True)
class Hangs:
    """Falls silent after so many bytes of the archive; None for before it answers."""

    after: int | None = None


@dataclass(frozen=True, slots=True)
class Says:
    """Writes these bytes and closes the connection, whatever it was asked."""

    content: bytes


class FakeEngine:
    """Serves on `path` from entering it to leaving it.

    Attributes:
        images: the archive of each, by the name it is asked for.
        framing: of the answers.
        mood: what it does instead of answering well.
        asked: the targets of all requests.
        heads: their header fields.
        reached: set once it fell silent.
    """

    def __init__(self, path: Path, images: Mapping[str, bytes] | None = None) -> None:
        self.path = path
        self.images = dict(images or {})
        self.framing = Framing.CHUNKED
        self.mood: Fails | Breaks | Regrets | Hangs | Says | None = None
        self.asked: list[str] = []
        self.heads: list[dict[str, str]] = []
        self.reached = threading.Event()
        self.over = threading.Event()
        self._server: _Server | None = None

    @property
    def host(self) -> str:
        """What `DOCKER_HOST` has to be."""
        return f"unix://{self.path}"

    def __enter__(self) -> Self:
        self._server = _Server(str(self.path), _Handler)
        self._server.engine = self
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        self.path.unlink()


class _Server(ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    engine: FakeEngine

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: connections break here on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Log nothing."""

    def do_GET(self) -> None:
        engine = self.server.engine
        engine.asked.append(self.path)
        engine.heads.append({name.lower(): value for name, value in self.headers.items()})
        self.close_connection = True
        mood = engine.mood
        if mood == Hangs():
            self._hang()
            return
        if isinstance(mood, Says):
            self.wfile.write(mood.content)
            return
        if isinstance(mood, Fails):
            self._fail(mood)
            return
        found = _EXPORT.fullmatch(self.path)
        name = unquote(found[1]) if found else ""
        if name not in engine.images:
            self._fail(Fails(404, f"No such image: {name}"))
            return
        self._export(engine.images[name], engine)

    def _fail(self, failure: Fails) -> None:
        document = failure.kind == "application/json"
        body = (json.dumps({"message": failure.message}) if document else failure.message).encode()
        self.send_response(failure.status)
        self.send_header("Content-Type", failure.kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _export(self, content: bytes, engine: FakeEngine) -> None:
        mood = engine.mood
        self.send_response(200)
        self.send_header("Content-Type", "application/x-tar")
        match engine.framing:
            case Framing.CHUNKED:
                self.send_header("Transfer-Encoding", "chunked")
            case Framing.LENGTH:
                self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if isinstance(mood, Regrets):
            error = json.dumps({"errorDetail": {"message": mood.message}, "error": mood.message}) + "\r\n"
            content = content[: mood.after] + error.encode()
        if isinstance(mood, Breaks | Hangs) and mood.after is not None:
            self._write(content[: mood.after], engine.framing)
            if isinstance(mood, Hangs):
                self._hang()
            return
        self._write(content, engine.framing)
        if engine.framing is Framing.CHUNKED:
            self.wfile.write(b"0\r\n\r\n")

    def _write(self, content: bytes, framing: Framing) -> None:
        for at in range(0, len(content), _PIECE):
            piece = content[at : at + _PIECE]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if framing is Framing.CHUNKED else piece)

    def _hang(self) -> None:
        self.server.engine.reached.set()
        self.server.engine.over.wait()
