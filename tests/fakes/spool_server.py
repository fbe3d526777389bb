"""A daemon as far as bringing bytes to it goes: the spool's protocol and what follows, on a unix socket, in threads.

    with SpoolServer(path) as daemon:
        daemon.refuse_path(Refusal(403, "request.path_refused"))
        daemon.faults.append(Cut(after=5_000_000))
        Client(str(path)).submit(...)
    daemon.jobs[0]["spooled"], daemon.entries, daemon.files(entry)

It is written from the protocol and not from the daemon: a file's offset is its length, bytes that do not belong there
are refused with the place that does, a digest is compared when the file is complete, and a complete file answers with
itself. Faults are taken one by one by the requests that bring bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer
from typing import TYPE_CHECKING, Any, Self

from tests.fakes.daemon import job

if TYPE_CHECKING:
    from pathlib import Path

_FILE = re.compile(r"/v1/spool/([^/]+)/files/([^/]+)")
_ENTRY = re.compile(r"/v1/spool/([^/]+)")
_PIECE = 1 << 16


class Refusal(Exception):  # noqa: N818 (an answer)
    def __init__(self, status: int, code: str, detail: str = "no", **headers: str) -> None:
        super().__init__(code)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection after so many bytes of the body were kept, or before the answer to all of them."""

    after: int | None = None


@dataclass(frozen=True, slots=True)
class Restart:
    """Keep so many bytes of the body, then be gone for so many seconds; with `forget`, come back without any entry."""

    after: int = 0
    seconds: float = 0.2
    forget: bool = False


@dataclass(frozen=True, slots=True)
class Lose:
    """Keep no more of the file than so many bytes, whatever was acknowledged, and close the connection."""

    keep: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with a problem, before the body is read."""

    status: int
    code: str
    detail: str = "no"


Fault = Cut | Restart | Lose | Answer


@dataclass
class Stored:
    reserved: int
    incoming: dict[str, bytearray] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    complete: dict[str, bytes] = field(default_factory=dict)

    @property
    def held(self) -> int:
        return sum(map(len, self.incoming.values())) + sum(map(len, self.complete.values()))


class SpoolServer:
    """Serves on `path` from entering it to leaving it.

    Attributes:
        quota: bytes that may be reserved in one entry.
        faults: taken by the requests that bring bytes, in order; None for one without.
        jobs, plans: the bodies of what was accepted.
        keys: the idempotency keys of all submissions, refused ones included; `preferences` what they preferred.
        entries: what is in the spool.
        reserved: the sizes asked for, in order.
        connections: how many were made; `requests`: how many that brought bytes.
    """

    def __init__(self, path: Path, *, quota: int = 1 << 40) -> None:
        self.path = path
        self.quota = quota
        self.faults: deque[Fault | None] = deque()
        self.jobs: list[dict[str, Any]] = []
        self.plans: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.preferences: list[str] = []
        self.entries: dict[str, Stored] = {}
        self.reserved: list[int] = []
        self.deleted: list[str] = []
        self.connections = 0
        self.requests: list[tuple[str, int, bool]] = []
        self.refuse_submission: Refusal | None = None
        self._refuse_path: Refusal | None = Refusal(403, "source.forbidden", "may not be read by uid 1000")
        self._made = 0
        self._lock = threading.Lock()
        self._restarting = threading.Lock()
        self._over = threading.Event()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._restarting:
            self.stop()

    def refuse_path(self, refusal: Refusal | None) -> None:
        """Choose what is said of a source named by its path; None accepts it."""
        self._refuse_path = refusal

    def start(self) -> None:
        self._server = _Server(str(self.path), _Handler)
        self._server.daemon_of = self
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            self.path.unlink()
            server.shutdown()
            server.server_close()

    def files(self, entry: str) -> dict[str, bytes]:
        """Give the complete files of an entry."""
        return self.entries[entry].complete

    # ------------------------------------------------------------------------------------------------- requests

    def answer(self, handler: _Handler) -> tuple[int, object]:
        method, path = handler.command, handler.path
        if (method, path) == ("POST", "/v1/jobs"):
            return self._submit(handler)
        if (method, path) == ("POST", "/v1/plan"):
            document = handler.json()
            self._check_source(document)
            self.plans.append(document)
            return 200, {"source": document["source"], "destinations": []}
        if (method, path) == ("POST", "/v1/spool"):
            return self._create(handler.json()["size"])
        if (found := _FILE.fullmatch(path)) and method == "PATCH":
            return 200, self._receive(handler, found[1], found[2].replace("%3A", ":"))
        if found := _ENTRY.fullmatch(path):
            if method == "DELETE":
                self._entry(found[1])
                del self.entries[found[1]]
                self.deleted.append(found[1])
                return 204, None
            if method == "PATCH":
                return 200, self._resize(found[1], handler.json()["size"])
        raise Refusal(404, "request.not_found", f"{method} {path}")

    def _submit(self, handler: _Handler) -> tuple[int, object]:
        self.keys.append(handler.headers["Idempotency-Key"])
        self.preferences.append(handler.headers.get("Prefer", ""))
        document = handler.json()
        self._check_source(document)
        if self.refuse_submission is not None:
            raise self.refuse_submission
        self.jobs.append(document)
        return 202, job(source=document["source"])

    def _check_source(self, document: dict[str, Any]) -> None:
        spooled = document.get("spooled")
        if spooled is None and self._refuse_path is not None:
            raise self._refuse_path
        if spooled is not None:
            if spooled["entry"] not in self.entries:
                raise Refusal(422, "source.not_found", "is not in the spool")
            assert spooled["digest"] in self.entries[spooled["entry"]].complete
            assert len(self.files(spooled["entry"])[spooled["digest"]]) == spooled["size"]

    def _create(self, size: int) -> tuple[int, object]:
        self.reserved.append(size)
        if size > self.quota:
            raise Refusal(429, "request.limit", f"only {self.quota} bytes are left")
        with self._lock:
            self._made += 1
            entry = f"entry-{self._made}"
            self.entries[entry] = Stored(size)
        return 201, {"id": entry, "size": size, "files": []}

    def _resize(self, entry: str, size: int) -> object:
        self.reserved.append(size)
        stored = self._entry(entry)
        if size > self.quota:
            raise Refusal(429, "request.limit", f"only {self.quota} bytes are left")
        stored.reserved = max(size, stored.held)
        return {"id": entry, "size": stored.reserved, "files": []}

    def _receive(self, handler: _Handler, entry: str, name: str) -> object:
        offset, last = int(handler.headers["Upload-Offset"]), handler.headers["Upload-Complete"] == "?1"
        self.requests.append((name, offset, last))
        with self._lock:
            fault = self.faults.popleft() if self.faults and handler.left else None
        if isinstance(fault, Answer):
            raise Refusal(fault.status, fault.code, fault.detail)
        stored = self._entry(entry)
        known = stored.labels.get(name, name)
        if known in stored.complete:
            handler.drain()
            return {"name": known, "offset": len(stored.complete[known]), "complete": True}
        file = stored.incoming.setdefault(name, bytearray())
        if offset != len(file):
            raise Refusal(409, "request.offset", f"ends at byte {len(file)}", **{"Upload-Offset": str(len(file))})
        self._fill(handler, stored, file, fault)
        if not last:
            return {"name": name, "offset": len(file), "complete": False}
        digest = f"sha256:{hashlib.sha256(file).hexdigest()}"
        del stored.incoming[name]
        if name.startswith("sha256:") and name != digest:
            raise Refusal(400, "request.invalid_digest", f"{name} has the digest {digest}")
        stored.labels[name] = digest
        stored.complete[digest] = bytes(file)
        if isinstance(fault, Cut):
            raise ConnectionAbortedError
        return {"name": digest, "offset": len(file), "complete": True}

    def _fill(self, handler: _Handler, stored: Stored, file: bytearray, fault: Fault | None) -> None:
        taken = 0
        limit = fault.after if isinstance(fault, Cut | Restart) else None
        while piece := handler.piece(_PIECE if limit is None else min(_PIECE, limit - taken)):
            if stored.held + len(piece) > stored.reserved:
                raise Refusal(429, "request.limit", "more than was reserved")
            file += piece
            taken += len(piece)
        if isinstance(fault, Lose):
            del file[fault.keep :]
        if isinstance(fault, Restart):
            threading.Thread(target=self._restart, args=(fault,), daemon=True).start()
        if isinstance(fault, Restart | Lose) or (limit is not None and handler.left):
            raise ConnectionAbortedError

    def _restart(self, fault: Restart) -> None:
        with self._restarting:
            self.stop()
            if self._over.wait(fault.seconds):
                return
            if fault.forget:
                self.entries.clear()
            self.start()

    def _entry(self, entry: str) -> Stored:
        if entry not in self.entries:
            raise Refusal(404, "request.not_found", f"spool entry {entry}: there is none")
        return self.entries[entry]


class _Server(ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    daemon_of: SpoolServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: connections break here on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    left = 0

    def setup(self) -> None:
        super().setup()
        self.server.daemon_of.connections += 1

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Log nothing."""

    def piece(self, length: int) -> bytes:
        piece: bytes = self.rfile.read1(min(length, self.left)) if self.left else b""
        self.left -= len(piece)
        return piece

    def drain(self) -> bytes:
        return b"".join(iter(lambda: self.piece(_PIECE), b""))

    def json(self) -> Any:
        return json.loads(self.drain())

    def _serve(self) -> None:
        self.left = int(self.headers.get("Content-Length", "0"))
        headers: dict[str, str] = {}
        try:
            status, document = self.server.daemon_of.answer(self)
            media_type = "application/json"
        except Refusal as refusal:
            status, headers, media_type = refusal.status, refusal.headers, "application/problem+json"
            document = {"code": refusal.code, "detail": refusal.detail, "hint": ""}
        except ConnectionAbortedError:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = b"" if document is None else json.dumps(document).encode()
        self.close_connection = self.close_connection or self.left > 0
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PATCH = do_DELETE = do_GET = _serve  # noqa: N815 (how the base class finds them)
