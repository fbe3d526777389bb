"""Going on after a break: asking what has arrived (OCI distribution spec 1.1, end-13), and being there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.oci.ranges import received
from pushd.oci.reply import Reply
from pushd.oci.upload.actions import Rehash, Status
from pushd.oci.upload.asking import ask, failed, nonsense, pause, present, refused
from pushd.oci.upload.limits import Form, Ranges
from pushd.oci.upload.lost import Lost, gone
from pushd.oci.upload.meaning import STANDS, forgotten, mismatched

if TYPE_CHECKING:
    from pushd.errors import RegistryError
    from pushd.oci.upload.actions import Answer, Script
    from pushd.oci.upload.limits import Checkpoint
    from pushd.oci.upload.upload import Upload


def take_up(upload: Upload, checkpoint: Checkpoint) -> Script[None]:
    """Go on with the session of an earlier life."""
    upload.standing.taken_up(checkpoint)
    yield from _locate(upload)


def recover(upload: Upload, error: RegistryError, *, in_vain: Lost | None = None) -> Script[None]:
    """After a PATCH without a good answer: wait, and ask where the upload stands.

    What cannot be waited out here is in vain in a later attempt as well: it loses the session, not the attempt. So
    does a disagreement with a registry that cannot say what it has.
    """
    limits, patience = upload.limits, upload.patience
    upload.standing.interrupted()
    mute = not limits.resumable or limits.ranges is not Ranges.OF_BLOB
    if in_vain is not None and (mute or patience.exhausted):
        patience.renew()
        raise in_vain
    yield from pause(upload, error)
    if not limits.resumable:
        raise Lost(error)
    yield from _locate(upload)


def doubt(upload: Upload, outcome: Answer, asked: str) -> Script[bool]:
    """After a PUT without a good answer: it may have been done all the same, so the blob is asked for.

    Returns:
        Whether it is there; otherwise the registry misses bytes, which are now to be sent.
    """
    if isinstance(outcome, Reply) and mismatched(outcome):
        # Our bytes were right, so they were damaged on the way or there. distribution keeps the session (run).
        raise Lost(refused(upload, outcome, asked))
    also = {401, 404, 416}
    if isinstance(outcome, Reply) and forgotten(outcome):  # Nexus, of a digest on its way twice: 400
        also.add(outcome.status)
    error = failed(upload, outcome, asked, also=frozenset(also))
    if isinstance(outcome, Reply) and outcome.status in (404, 416) and upload.patience.exhausted:
        # A later attempt with this session would be in vain as well.
        upload.patience.renew()
        raise gone(upload, outcome, asked) if outcome.status == 404 else Lost(error)  # noqa: PLR2004
    yield from pause(upload, error)
    upload.standing.interrupted()
    if (yield from present(upload)):
        return True
    if upload.standing.form is Form.MONOLITHIC or not upload.limits.resumable:
        # A PUT has no offset to go on from: distribution appends whatever follows.
        raise Lost(error)
    yield from _locate(upload)
    return False


def _locate(upload: Upload) -> Script[None]:
    """Ask how much has arrived (spec end-13) and be there: offset, Location on disk, hash.

    Straight after a broken PATCH the answer may be too short, while the old request is still being drained
    (distribution 3.x). The next PATCH then gets 416, which leads back here after a pause, a bounded number of
    times.
    """
    standing = upload.standing
    while True:
        outcome = yield from ask(Status(standing.location))
        if isinstance(outcome, Reply):
            if outcome.status in STANDS:
                break
            if outcome.status in (400, 404, 416):
                raise gone(upload, outcome, "where the upload stands")
        yield from pause(upload, failed(upload, outcome, "where the upload stands"))
    got = received(outcome.range) if upload.limits.ranges is Ranges.OF_BLOB else standing.offset
    standing.moved(outcome.location)
    if got is None or got > upload.size:
        raise Lost(nonsense(upload, f"the registry says Range: {str(outcome.range)[:80]!r} of {upload.size} bytes"))
    upload.reached(got)
    yield from standing.save()
    yield Rehash(got)
