"""What a registry's reply means to an upload session, where the specification and the field do not say the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pushd.oci.ranges import received
from pushd.oci.upload.actions import Broken, Patch, Put, Single, Stream
from pushd.oci.upload.limits import Ranges

if TYPE_CHECKING:
    from pushd.oci.reply import Reply
    from pushd.oci.upload.actions import Answer, Request, Send

CREATED = frozenset({200, 201, 204})
"""A PUT closed the session: 201 by the spec (end-6)."""
STANDS = frozenset({200, 202, 204})
"""The session was found: 204 by the spec (end-13)."""
TAKEN = frozenset({200, 201, 202, 204})
"""A chunk was taken: 202 by the spec (end-5), 201 by ECR, 204 by docker's own specification of old."""

_FORM_REFUSED = frozenset({400, 405, 411, 413, 415, 501})
"""What registries that do not know a form, or not at that size, have answered to it."""
_FORM_REFUSED_FIRST = frozenset({404, 416})
"""The same, but only to the first bytes of a session: later on these are about the session and its offset."""
_FORGOTTEN = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})
"""Error codes that say that the session is of no use any more, under whatever status."""


def form_refused(reply: Reply, *, first: bool) -> bool:
    """Whether another form of upload may fare better; `first`: these were the first bytes of the session."""
    return reply.status in _FORM_REFUSED or (first and reply.status in _FORM_REFUSED_FIRST)


def forgotten(reply: Reply) -> bool:
    """Whether the registry says that the session is of no use any more."""
    return bool(reply.codes & _FORGOTTEN)


def mismatched(reply: Reply) -> bool:
    """Whether the registry says that the bytes it has are not those of the digest."""
    return "DIGEST_INVALID" in reply.codes


def redirected(request: Request, outcome: Answer) -> Send | None:
    """Give the request that sends the same bytes to where the registry points (RFC 9110, 15.4.8 and 15.4.9), or None.

    What carries no bytes was sent again already, by whoever sent it.
    """
    if isinstance(outcome, Broken) or outcome.status not in (307, 308) or outcome.location is None:
        return None
    if isinstance(request, Patch | Stream | Single) or (isinstance(request, Put) and request.stop > 0):
        return replace(request, redirect=outcome.location)
    return None


def acknowledged(header: str | None, start: int, stop: int, ranges: Ranges) -> int:
    """Give the bytes of the blob that are there, says the `Range` of a reply that took bytes `start` to `stop`.

    No usable header means all of them: the status said that they were taken.
    """
    if ranges is Ranges.UNRELIABLE:
        return stop
    got = received(header)
    base = start if ranges is Ranges.OF_CHUNK else 0
    if got is None or (stop - base == 1 and got == 0):  # `0-0` is also what one byte looks like
        return stop
    # More than the chunk has is a count over the blob after all.
    return base + got if base + got <= stop else got
