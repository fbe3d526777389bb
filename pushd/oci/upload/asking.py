"""Asking the registry: a request and its answer, what an answer that is no good comes to, and asking again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError
from pushd.oci.reply import Reply, refusal
from pushd.oci.upload.actions import Answer, Broken, Head, Rehash, Wait
from pushd.oci.upload.meaning import forgotten, redirected

if TYPE_CHECKING:
    from pushd.oci.upload.actions import Request, Script
    from pushd.oci.upload.upload import Upload

_REDIRECTS_MAX = 3
"""Times a body is sent again because the registry points elsewhere."""

_TOO_LARGE = "it, or a proxy on the way, limits the length of a request; set `chunk_size` for it below that limit"


def ask(request: Request) -> Script[Answer]:
    """Send a request; one that carries bytes again to wherever the registry points."""
    redirects = 0
    while True:
        outcome = yield request
        if not isinstance(outcome, Answer):
            raise TypeError(f"{type(request).__name__} wants a reply")
        again = redirected(request, outcome) if redirects < _REDIRECTS_MAX else None
        if again is None:
            return outcome
        # Its bytes go elsewhere this once: the session stays where it is, and so does its Location.
        yield Rehash(again.start)
        request, redirects = again, redirects + 1


def present(upload: Upload) -> Script[bool]:
    """Ask whether the blob is there (spec end-2)."""
    while True:
        outcome = yield from ask(Head(upload.digest))
        if isinstance(outcome, Reply):
            if outcome.status == 200:  # noqa: PLR2004 (spec end-2: the blob exists)
                # A length that is not the blob's is a web page, or a damaged blob: send ours.
                return outcome.length in (None, upload.size)
            if outcome.status in upload.limits.absent:  # spec end-2: 404
                return False
        yield from pause(upload, failed(upload, outcome, "whether it has the blob"))


def pause(upload: Upload, error: RegistryError) -> Script[None]:
    """Wait before a retry, or give up with `error`."""
    yield Wait(upload.patience.spend(error), error)


def failed(upload: Upload, outcome: Answer, asked: str, *, also: frozenset[int] = frozenset()) -> RegistryError:
    """Give the error of a failed request, if it may pass: transient, or a status in `also`. Else raise it."""
    error = outcome.error if isinstance(outcome, Broken) else refused(upload, outcome, asked)
    passes = error.retryable if isinstance(outcome, Broken) else outcome.transient or outcome.status in also
    if not passes:
        raise error
    return error


def refused(upload: Upload, reply: Reply, asked: str) -> RegistryError:
    """Turn a refusal into an error; `asked`: what was asked for, in words: "to take a chunk"."""
    error = refusal(reply, upload.subject, asked)
    if upload.standing.location and (error.code is Code.REGISTRY_NOT_FOUND or forgotten(reply)):
        # 404 says here that the session is unknown, not that the repository is.
        return RegistryError(Code.REGISTRY_UPLOAD_LOST, upload.subject, error.detail, retry_after=error.retry_after)
    if upload.standing.location and reply.status == 413:  # noqa: PLR2004 (content too large)
        return RegistryError(error.code, upload.subject, error.detail, hint=_TOO_LARGE, retry_after=error.retry_after)
    return error


def nonsense(upload: Upload, detail: str) -> RegistryError:
    """Give the error of an answer that cannot be true of this session."""
    return RegistryError(Code.REGISTRY_UPLOAD_LOST, upload.subject, detail)
