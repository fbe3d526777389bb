"""The requests of an upload session as HTTP (OCI distribution spec 1.1, "Pushing blobs")."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from pushd.oci.ranges import content_range
from pushd.oci.scope import to_push
from pushd.oci.upload import Cancel, Head, Mount, Open, OpenIfAbsent, Patch, Put, Single, Status, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushd.oci.digest import Digest
    from pushd.oci.scope import Scopes
    from pushd.oci.upload import Request, Send

_OCTETS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the protocol, as HTTP.

    Attributes:
        scopes: what it needs a token for.
        once: it is not to be sent again by itself: the upload may have grown by a part of it.
        commits: the answer may take as long as the registry needs to store a blob.
        opens: the body of the answer is left open, to be read as it comes.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str]
    scopes: Scopes
    once: bool = False
    commits: bool = False
    opens: bool = False


def call_for(base: str, repository: str, request: Request) -> Call:  # noqa: PLR0911 (one line per request of the spec)
    """Give the HTTP of a request to a repository of the registry at `base`, its URL without a path."""
    blobs, scopes = f"{base}/v2/{repository}/blobs", to_push(repository)
    match request:
        case Head(digest):
            return Call("HEAD", f"{blobs}/{digest}", {}, scopes)
        case Open():
            return Call("POST", f"{blobs}/uploads/", {}, scopes)
        case OpenIfAbsent(digest):
            return Call("POST", _mount(blobs, digest, repository), {}, scopes)
        case Mount(digest, source):
            return Call("POST", _mount(blobs, digest, source), {}, to_push(repository, pulling=source))
        case Status(location):
            return Call("GET", location, {}, scopes)
        case Cancel(location):
            return Call("DELETE", location, {}, to_push(repository, deleting=True))
        case _:
            return _sending(request, scopes)


def _sending(request: Send, scopes: Scopes) -> Call:
    match request:
        case Patch(location, start, stop):
            return Call("PATCH", request.redirect or location, _OCTETS | _range(start, stop), scopes, once=True)
        case Stream(location):
            return Call("PATCH", request.redirect or location, _OCTETS, scopes, once=True)
        case Single(location, digest):
            url = request.redirect or _with_digest(location, digest)
            return Call("PUT", url, _OCTETS, scopes, once=True, commits=True)
        case Put(location, digest, start, stop):
            headers = _OCTETS | _range(start, stop) if stop else {}
            url = request.redirect or _with_digest(location, digest)
            return Call("PUT", url, headers, scopes, once=bool(stop), commits=True)


def _mount(blobs: str, digest: Digest, source: str) -> str:
    return f"{blobs}/uploads/?mount={digest}&from={quote(source, safe='/')}"


def _range(start: int, stop: int) -> dict[str, str]:
    return {"Content-Range": content_range(start, stop)}


def _with_digest(location: str, digest: Digest) -> str:
    """Join `digest=` to a Location that may have a query of its own (spec end-6)."""
    return f"{location}{'&' if '?' in location else '?'}digest={quote(str(digest), safe='')}"
