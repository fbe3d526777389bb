"""A registry that keeps nothing but digests: what is left of a push is what the client itself costs.

    python -m tests.benchmarks.sink [--ports N] [--rate BYTES]

It checks nothing and forgets every byte. What was put is there for HEAD.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from tests.benchmarks.counts import Counts
from tests.benchmarks.requests import Requests
from tests.benchmarks.standby import BACKLOG, stand_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.requests import Head

_BUFFER = 1 << 20
_SESSION = re.compile(r"/v2/(?P<repository>.+)/blobs/uploads/(?P<session>\d+)")
_OPEN = re.compile(r"/v2/(?P<repository>.+)/blobs/uploads/?")
_BLOB = re.compile(r"/v2/(?P<repository>.+)/blobs/(?P<digest>[^/]+)")
_MANIFEST = re.compile(r"/v2/(?P<repository>.+)/manifests/(?P<reference>[^/]+)")
_REASONS = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 404: "Not Found", 405: "Method Not Allowed"}
_SMALL = 64 << 10
"""A piece of a body from which on it counts as an upload that is under way."""


class Memory:
    """What one registry knows."""

    def __init__(self) -> None:
        self.blobs: set[tuple[str, str]] = set()
        self.manifests: dict[tuple[str, str], tuple[str, bytes, str]] = {}
        self.sessions: dict[str, int] = {}
        self._numbers = itertools.count(1)

    def open(self) -> str:
        session = str(next(self._numbers))
        self.sessions[session] = 0
        return session


class Connection(asyncio.BufferedProtocol):
    """One client.

    Args:
        memory: of the registry it has reached.
        counts: of all of them.
        rate: bytes a second it is read at, or None for as fast as they come.
    """

    def __init__(self, memory: Memory, counts: Counts, rate: float | None) -> None:
        self._memory = memory
        self._counts = counts
        self._rate = rate
        self._buffer = bytearray(_BUFFER if rate is None else _SMALL)
        self._view = memoryview(self._buffer)
        self._requests = Requests(self)
        self._transport: asyncio.Transport
        self._head: Head
        self._received = 0
        self._kept = bytearray()
        self._uploading = False

    # ------------------------------------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._upload_ends()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        try:
            self._requests.feed(self._view[:nbytes])
        except ValueError:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self._transport.close()
            return
        if self._rate is not None and self._uploading:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(nbytes / self._rate, self._go_on)

    def eof_received(self) -> None:
        """Close; nothing is half open here."""

    def _go_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # -------------------------------------------------------------------------------------------- the requests

    def begin(self, head: Head) -> None:
        self._head = head
        self._received = 0
        self._counts.requests[head.method] += 1
        if head.headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if head.method in ("PATCH", "PUT") and "/blobs/" in head.target:
            self._uploading = True
            self._counts.begin_upload()

    def body(self, piece: memoryview) -> None:
        self._received += len(piece)
        self._counts.body += len(piece)
        if "/manifests/" in self._head.target:
            self._kept += piece

    def end(self) -> None:
        self._upload_ends()
        url = urlsplit(self._head.target)
        status, headers, content = self._answer(url.path, {name: it[0] for name, it in parse_qs(url.query).items()})
        self._kept.clear()
        headers = {"Docker-Distribution-Api-Version": "registry/2.0", "Content-Length": str(len(content)), **headers}
        lines = [f"HTTP/1.1 {status} {_REASONS[status]}", *(f"{name}: {value}" for name, value in headers.items())]
        shown = b"" if self._head.method == "HEAD" else content
        self._transport.write("\r\n".join([*lines, "", ""]).encode() + shown)

    def _upload_ends(self) -> None:
        if self._uploading:
            self._uploading = False
            self._counts.uploading -= 1

    def _answer(self, path: str, query: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:  # noqa: PLR0911 (one line per request of the spec)
        method = self._head.method
        if path == "/v2/":
            return 200, {}, b"{}"
        if match := _MANIFEST.fullmatch(path):
            return self._manifest(method, match["repository"], match["reference"])
        if match := _SESSION.fullmatch(path):
            return self._session(method, match["repository"], match["session"], query)
        if match := _OPEN.fullmatch(path):
            if method != "POST":
                return 405, {}, b""
            return 202, self._location(match["repository"], self._memory.open()), b""
        if match := _BLOB.fullmatch(path):
            there = (match["repository"], match["digest"]) in self._memory.blobs
            return 200 if there and method == "HEAD" else 404, {}, b""
        return 404, {}, b""

    def _manifest(self, method: str, repository: str, reference: str) -> tuple[int, dict[str, str], bytes]:
        if method == "PUT":
            content = bytes(self._kept)
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            media_type = self._head.headers.get("content-type", "")
            for name in (reference, digest):
                self._memory.manifests[repository, name] = digest, content, media_type
            return 201, {"Docker-Content-Digest": digest, "Location": f"/v2/{repository}/manifests/{digest}"}, b""
        found = self._memory.manifests.get((repository, reference))
        if found is None:
            return 404, {}, b""
        digest, content, media_type = found
        return 200, {"Docker-Content-Digest": digest, "Content-Type": media_type}, content

    def _session(
        self, method: str, repository: str, session: str, query: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        if session not in self._memory.sessions:
            return 404, {}, b""
        if method == "DELETE":
            del self._memory.sessions[session]
            return 204, {}, b""
        self._memory.sessions[session] += self._received
        if method == "PUT":
            del self._memory.sessions[session]
            digest = query["digest"]
            self._memory.blobs.add((repository, digest))
            return 201, {"Docker-Content-Digest": digest, "Location": f"/v2/{repository}/blobs/{digest}"}, b""
        return (202 if method == "PATCH" else 204), self._location(repository, session), b""

    def _location(self, repository: str, session: str) -> dict[str, str]:
        stored = self._memory.sessions[session]
        return {
            "Location": f"/v2/{repository}/blobs/uploads/{session}",
            "Range": f"0-{max(stored - 1, 0)}",
            "Docker-Upload-UUID": session,
        }


async def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sink", description=__doc__)
    parser.add_argument("--ports", type=int, default=1, help="registries, each at a port of its own")
    parser.add_argument("--rate", type=float, help="bytes a second that each connection is read at")
    asked = parser.parse_args()
    counts = Counts()
    loop = asyncio.get_running_loop()

    async def listen() -> asyncio.Server:
        memory = Memory()
        return await loop.create_server(lambda: Connection(memory, counts, asked.rate), "127.0.0.1", 0, backlog=BACKLOG)

    await stand_by([await listen() for _ in range(asked.ports)], counts)


if __name__ == "__main__":
    asyncio.run(main())
