"""What a registry's reply means to an upload session, where the specification and the field do not say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError
from pushd.oci.ranges import received
from pushd.oci.reply import refusal
from pushd.oci.upload.actions import Broken, Patch, Put, Single, Stream
from pushd.oci.upload.limits import Form, Ranges

if TYPE_CHECKING:
    from pushd.oci.reply import Reply
    from pushd.oci.upload.actions import Request

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

_TOO_LARGE = "it, or a proxy on the way, limits the length of a request; set `chunk_size` for it below that limit"


def form_refused(reply: Reply, *, first: bool) -> bool:
    """Whether another form of upload may fare better; `first`: these were the first bytes of the session."""
    return reply.status in _FORM_REFUSED or (first and reply.status in _FORM_REFUSED_FIRST)


def forgotten(reply: Reply) -> bool:
    """Whether the registry says that the session is of no use any more."""
    return bool(reply.codes & _FORGOTTEN)


def mismatched(reply: Reply) -> bool:
    """Whether the registry says that the bytes it has are not those of the digest."""
    return "DIGEST_INVALID" in reply.codes


def redirected(request: Request, outcome: Reply | Broken) -> str | None:
    """Give where the bytes of a request are to be sent again (RFC 9110, 15.4.8 and 15.4.9), or None.

    What carries no bytes was sent again already, by whoever sent it.
    """
    carried = isinstance(request, Patch | Stream | Single) or (isinstance(request, Put) and request.stop > 0)
    if not carried or isinstance(outcome, Broken) or outcome.status not in (307, 308):
        return None
    return outcome.location


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


def advised(form: Form, following: Form, reply: Reply, length: int) -> str:
    """Give the line of configuration that spares the next blob a refusal.

    Args:
        form: was refused.
        following: is tried now.
        reply: the refusal.
        length: bytes of the refused body.
    """
    if form is Form.CHUNKED and reply.status == 413 and length > 1:  # noqa: PLR2004 (content too large)
        return f'chunk_size = "{_written(length // 2)}"'
    return f'upload = "{following}"'


def _written(size: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size // unit}{name}"
    return str(size)


def refused(reply: Reply, subject: str, asked: str, *, in_session: bool) -> RegistryError:
    """Turn a refusal into an error; `in_session`: it came from an open session's Location."""
    error = refusal(reply, subject, asked)
    if in_session and (error.code is Code.REGISTRY_NOT_FOUND or forgotten(reply)):
        # 404 says here that the session is unknown, not that the repository is.
        return RegistryError(Code.REGISTRY_UPLOAD_LOST, subject, error.detail, retry_after=error.retry_after)
    if in_session and reply.status == 413:  # noqa: PLR2004 (content too large)
        return RegistryError(error.code, subject, error.detail, hint=_TOO_LARGE, retry_after=error.retry_after)
    return error
