"""Sending the bytes (OCI distribution spec 1.1): in chunks (end-5), or whole (end-6); and closing the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError
from pushd.oci.reply import Reply
from pushd.oci.upload.actions import Patch, Put, Rehash, Single, Stream
from pushd.oci.upload.asking import ask, failed, nonsense, refused
from pushd.oci.upload.limits import Form
from pushd.oci.upload.lost import Lost, fall, gone, miscounted
from pushd.oci.upload.meaning import CREATED, TAKEN, acknowledged, forgotten, form_refused, mismatched
from pushd.oci.upload.recovery import doubt, recover

if TYPE_CHECKING:
    from pushd.oci.upload.actions import Script
    from pushd.oci.upload.upload import Upload


def send(upload: Upload) -> Script[None]:
    """Send what the registry does not have, and close the session.

    Raises:
        Lost: the session cannot go on.
        RegistryError: nor can the upload.
    """
    if upload.standing.form is Form.MONOLITHIC:
        yield from _send_whole(upload)
        return
    while True:
        while upload.size - upload.standing.offset > _kept(upload):
            yield from _send_chunk(upload)
        if (yield from _close(upload)):
            return


def _kept(upload: Upload) -> int:
    """Give the bytes at the end of the blob that the PUT is to carry, at most."""
    standing = upload.standing
    return standing.chunk_size if upload.limits.last_in_put and standing.form is Form.CHUNKED else 0


def _send_whole(upload: Upload) -> Script[None]:
    outcome = yield from ask(Single(upload.standing.location, upload.digest, upload.size))
    if isinstance(outcome, Reply):
        if outcome.status in CREATED:
            _finish(upload, outcome)
            return
        if form_refused(outcome, first=True) and not mismatched(outcome):
            fall(upload, outcome, upload.size)
    yield from doubt(upload, outcome, "to take the blob")


def _send_chunk(upload: Upload) -> Script[None]:
    standing = upload.standing
    start, first = standing.offset, standing.touch()
    if standing.form is Form.STREAMED:
        stop = upload.size
        outcome = yield from ask(Stream(standing.location, start, stop))
    else:
        stop = min(start + standing.chunk_size, upload.size)
        outcome = yield from ask(Patch(standing.location, start, stop))
    if isinstance(outcome, Reply):
        if outcome.status in TAKEN:
            yield from _acknowledge(upload, outcome, start, stop, first=first)
            return
        if start == 0 and form_refused(outcome, first=first):
            fall(upload, outcome, stop)
        if outcome.status == 416:  # noqa: PLR2004 (spec: out of order)
            yield from _disagree(upload, outcome)
            return
        if outcome.status == 404 or forgotten(outcome):  # noqa: PLR2004 (spec: the session is unknown)
            raise gone(upload, outcome, "to take a chunk")
    # A 401 says that the token ended while the body travelled; the next request brings a fresh one, or the final
    # word.
    yield from recover(upload, failed(upload, outcome, "to take a chunk", also=frozenset({401})))


def _acknowledge(upload: Upload, reply: Reply, start: int, stop: int, *, first: bool) -> Script[None]:
    """Believe what the registry says it has (spec: "Range", over the whole blob)."""
    got = acknowledged(reply.range, start, stop, upload.limits.ranges)
    upload.standing.moved(reply.location)
    if got > stop:
        error = nonsense(upload, f"the registry claims {got} bytes where {stop} were sent")
        # Of the first bytes ever sent this is a miscount, which another form may not meet.
        raise miscounted(upload, error) if first else Lost(error)
    upload.reached(got)
    yield from upload.standing.save()
    if got <= start:
        error = nonsense(upload, f"the registry took a chunk and still has {got} bytes")
        yield from recover(upload, error, in_vain=miscounted(upload, error))
    elif got < stop:
        yield Rehash(got)


def _disagree(upload: Upload, reply: Reply) -> Script[None]:
    """After a 416: the registry does not have what we think it has."""
    if reply.location is not None:
        upload.standing.moved(reply.location)
        yield from upload.standing.save()
    error = refused(upload, reply, "to take a chunk")
    # The first time it is about the session; in the next one it is about the form.
    in_vain = miscounted(upload, error) if upload.standing.restarts else Lost(error)
    yield from recover(upload, error, in_vain=in_vain)


def _close(upload: Upload) -> Script[bool]:
    """PUT the digest, with what is left; False: the registry misses bytes, which are now to be sent."""
    standing = upload.standing
    start, first = standing.offset, standing.untouched
    if start == upload.size:
        outcome = yield from ask(Put(standing.location, upload.digest))
    else:
        standing.touch()
        outcome = yield from ask(Put(standing.location, upload.digest, start, upload.size))
    if isinstance(outcome, Reply):
        if outcome.status in CREATED:
            _finish(upload, outcome)
            return True
        carried = start < upload.size
        if carried and start == 0 and form_refused(outcome, first=first) and not mismatched(outcome):
            fall(upload, outcome, upload.size)
    return (yield from doubt(upload, outcome, "to close the upload"))


def _finish(upload: Upload, reply: Reply) -> None:
    """Check what a closing PUT was answered with (spec end-6: 201)."""
    upload.standing.ended()
    if reply.digest is not None and reply.digest != str(upload.digest):
        raise RegistryError(
            Code.REGISTRY_DIGEST_MISMATCH, upload.subject, f"the registry stored it under {reply.digest[:140]!r}"
        )
