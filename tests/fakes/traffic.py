"""What came over the wire to the fake registry: requests, told apart by what they are for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, unique
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@unique
class Kind(Enum):
    """What a request is for (OCI distribution spec 1.1.1, "Endpoints")."""

    BASE = "base"
    """`GET /v2/`"""
    TOKEN = "token"
    """`GET /token`: the token endpoint of the registry's own."""
    BLOB = "blob"
    """HEAD, GET or DELETE of a blob."""
    OPEN = "open"
    """POST that opens an upload session."""
    MOUNT = "mount"
    """POST with `mount=`."""
    SINGLE = "single"
    """POST with `digest=` and the whole blob."""
    CHUNK = "chunk"
    """PATCH with Content-Range."""
    STREAM = "stream"
    """PATCH without Content-Range."""
    COMMIT = "commit"
    """PUT that closes an upload session, with or without bytes."""
    STATUS = "status"
    """GET of an upload session."""
    CANCEL = "cancel"
    """DELETE of an upload session."""
    MANIFEST = "manifest"
    """HEAD, GET, PUT or DELETE of a manifest."""
    TAGS = "tags"
    """`GET /v2/<name>/tags/list`"""
    REFERRERS = "referrers"
    """`GET /v2/<name>/referrers/<digest>`"""

    @property
    def uploads(self) -> bool:
        """Whether its body is bytes of a blob."""
        return self in (Kind.SINGLE, Kind.CHUNK, Kind.STREAM, Kind.COMMIT)


@dataclass(frozen=True, slots=True)
class Target:
    """What a method, a path, its query and its headers ask for.

    Attributes:
        repository: empty where there is none.
        reference: the tag, digest or upload session at the end of the path, or empty.
    """

    kind: Kind
    repository: str = ""
    reference: str = ""


_NAME = r"(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
_DIGEST = r"(?P<ref>[a-z0-9]+:[0-9a-f]+)"
_PATHS: tuple[tuple[re.Pattern[str], Mapping[str, Kind]], ...] = (
    (re.compile(r"/v2/"), {"GET": Kind.BASE}),
    (re.compile(r"/token"), {"GET": Kind.TOKEN}),
    (re.compile(rf"/v2/{_NAME}/blobs/uploads/"), {"POST": Kind.OPEN}),
    (
        re.compile(rf"/v2/{_NAME}/blobs/uploads/(?P<ref>[0-9a-f-]+)"),
        {"PATCH": Kind.STREAM, "PUT": Kind.COMMIT, "GET": Kind.STATUS, "DELETE": Kind.CANCEL},
    ),
    (
        re.compile(rf"/uploads/{_NAME}/sessions/(?P<ref>[0-9a-f-]+)"),  # where Google's registry leads to
        {"PATCH": Kind.STREAM, "PUT": Kind.COMMIT, "GET": Kind.STATUS, "DELETE": Kind.CANCEL},
    ),
    (re.compile(rf"/v2/{_NAME}/blobs/{_DIGEST}"), {"HEAD": Kind.BLOB, "GET": Kind.BLOB, "DELETE": Kind.BLOB}),
    (
        re.compile(rf"/v2/{_NAME}/manifests/(?P<ref>[^/]+)"),
        {"HEAD": Kind.MANIFEST, "GET": Kind.MANIFEST, "PUT": Kind.MANIFEST, "DELETE": Kind.MANIFEST},
    ),
    (re.compile(rf"/v2/{_NAME}/tags/list"), {"GET": Kind.TAGS}),
    (re.compile(rf"/v2/{_NAME}/referrers/{_DIGEST}"), {"GET": Kind.REFERRERS}),
)


def find_target(method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Target | None:
    """Say what a request asks for, or None when no registry would know."""
    for pattern, methods in _PATHS:
        match = pattern.fullmatch(path)
        if match is None or method not in methods:
            continue
        kind = methods[method]
        if kind is Kind.OPEN and "mount" in query:
            kind = Kind.MOUNT
        elif kind is Kind.OPEN and "digest" in query:
            kind = Kind.SINGLE
        elif kind is Kind.STREAM and "Content-Range" in headers:
            kind = Kind.CHUNK
        found = match.groupdict()
        return Target(kind, found.get("name", ""), found.get("ref", ""))
    return None


@dataclass(slots=True)
class Seen:
    """One request, as it came and as it went.

    Attributes:
        kind: None when the registry does not know what it is for.
        query: as sent, percent-decoded.
        headers: all of them, names in any case.
        started: seconds of the monotonic clock.
        received: bytes of its body that arrived; grows while it runs.
        status: what was answered, or None while it runs and when the connection was cut instead.
        finished: seconds of the monotonic clock, or None while it runs.
    """

    method: str
    path: str
    kind: Kind | None
    repository: str
    reference: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    started: float
    received: int = 0
    status: int | None = None
    finished: float | None = None

    def __str__(self) -> str:
        kind = self.kind.value if self.kind else "unknown"
        return f"{self.method} {self.path} ({kind}) -> {self.status or 'no answer'}, {self.received} bytes"
