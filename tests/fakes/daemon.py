"""A daemon that follows a script: an HTTP/1.1 server on a unix socket, in a thread.

Each connection is answered by the next step of the script, in order. A connection nobody wrote a step for, and a
step nobody came for, fail the test when the daemon is left.
"""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    Step = Callable[[socket.socket], None]


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Unread:
    """A step that is done without reading the request first."""

    step: Step

    def __call__(self, connection: socket.socket) -> None:
        self.step(connection)


drop = Unread(lambda _: None)
"""Close without reading, so that the client sees a reset."""


class FakeDaemon:
    """Serves its script on `path` from `start` (or entering it) to `stop` (or leaving it).

    Attributes:
        received: the requests so far, those answered unread apart.
    """

    def __init__(self, path: Path, *steps: Step) -> None:
        self.path = path
        self.received: list[Received] = []
        self._steps = deque(steps)
        self._unexpected = 0
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.stop()
        if kind is None:
            assert not self._unexpected, f"{self._unexpected} requests too many: {self.received}"
            assert not self._steps, f"{len(self._steps)} steps were not asked for"

    def then(self, *steps: Step) -> None:
        """Add to the script."""
        self._steps.extend(steps)

    def start(self) -> None:
        """Listen."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._serve, args=(self._listener,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and remove the socket, as a daemon that ends does."""
        if self._listener is None or self._thread is None:
            return
        self.path.unlink()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._listener.close()
        self._listener = None

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                if not self._steps:
                    self._unexpected += 1
                    problem("daemon.internal", 500, "the script has ended")(connection)
                    continue
                step = self._steps.popleft()
                if not isinstance(step, Unread):
                    self.received.append(_read(connection))
                try:
                    step(connection)
                except OSError:
                    continue  # the client left first


def answer(document: object, *, status: int = 200, headers: Sequence[str] = ()) -> Step:
    """Answer with JSON."""
    return _body(status, "application/json", json.dumps(document).encode(), headers)


def problem(code: str, status: int, detail: str, *, hint: str = "", headers: Sequence[str] = ()) -> Step:
    """Answer with a problem."""
    document = {
        "type": f"urn:pushd:error:{code}",
        "title": "?",
        "status": status,
        "detail": detail,
        "code": code,
        "hint": hint,
    }
    return _body(status, "application/problem+json", json.dumps(document).encode(), headers)


def raw(data: bytes) -> Step:
    """Answer with exactly these bytes, and close."""
    return lambda connection: connection.sendall(data)


def hang_up(connection: socket.socket) -> None:
    """Read the request, and close without an answer."""


def stream(*events: object, broken: bool = False) -> Step:
    """Answer with lines of JSON, a chunk each; a string is sent as it is. `broken` leaves out the last chunk."""

    def step(connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for event in events:
            line = (event if isinstance(event, str) else json.dumps(event)).encode() + b"\n"
            connection.sendall(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        if not broken:
            connection.sendall(b"0\r\n\r\n")

    return step


def gated(step: Step, *, reached: threading.Event | None = None, gate: threading.Event) -> Step:
    """Do `step` once the gate is open, and say when it is being waited for."""

    def waiting(connection: socket.socket) -> None:
        if reached is not None:
            reached.set()
        assert gate.wait(10)
        step(connection)

    return waiting


def _body(status: int, media_type: str, body: bytes, headers: Iterable[str]) -> Step:
    head = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {media_type}", f"Content-Length: {len(body)}", *headers]
    return raw("\r\n".join([*head, "", ""]).encode() + body)


def _read(connection: socket.socket) -> Received:
    with connection.makefile("rb") as stream:
        method, target, version = stream.readline().decode().split()
        assert version == "HTTP/1.1"
        headers = {}
        while line := stream.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", "0")))
    split = urlsplit(target)
    return Received(method, split.path, parse_qs(split.query), headers, body)


# ------------------------------------------------------------------------------------------------ documents

DIGEST = "sha256:" + "ab" * 32
AT = "2026-11-22T21:00:00Z"


def delivery(
    number: int = 1, destination: str = "registry.example.com/team/app:1.4", state: str = "queued", **fields: object
) -> dict[str, Any]:
    """Give a delivery as the API shows it."""
    return {
        "id": number, "destination": destination, "state": state, "attempt": 1, "digest": None, "failure": None,
        "not_before": None, "started_at": None, "finished_at": None, "transfers": [], "history": [], "ready": False,
        **fields,
    }  # fmt: skip


def job(state: str = "queued", *deliveries: dict[str, Any], **fields: object) -> dict[str, Any]:
    """Give a job as the API shows it, with one delivery in the same state unless others are given."""
    return {
        "id": "abc123DEF-_x", "state": state, "source": "oci:/srv/builds/app:1.4", "uid": 1000, "priority": 0,
        "labels": {"build": "4711"}, "digest": DIGEST, "media_type": "application/vnd.oci.image.manifest.v1+json",
        "size": 3_000_000, "created_at": AT, "deadline_at": "2026-11-23T21:00:00Z", "finished_at": None,
        "not_before": None, "if_tag": None, "retain": "source", "paused_at": None, "platforms": [],
        "validate": "digest", "compress": "none", "tags": "each", "ready_at": None, "referrers": None,
        "deliveries": list(deliveries) or [delivery(state=state, digest=DIGEST if state == "succeeded" else None)],
        **fields,
    }  # fmt: skip


def login(name: str = "registry.example.com", **fields: object) -> dict[str, Any]:
    """Give a stored credential as the API shows it."""
    return {
        "name": name, "registry": "registry.example.com", "created_at": AT, "expires_at": "2027-02-20T21:00:00Z",
        "usable": True, **fields,
    }  # fmt: skip


def event(seq: int | None, name: str, message: str = "", **fields: object) -> dict[str, Any]:
    """Give an event as the stream shows it."""
    document = {"at": AT, "event": name, "level": "info", "message": message or name, "job": "abc123DEF-_x", **fields}
    return document if seq is None else {"seq": seq, **document}
