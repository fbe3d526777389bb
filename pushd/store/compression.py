"""A job whose plain layers were compressed: from then on its image is another, and the spool has its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.store import image
from pushd.store.claims import fence
from pushd.store.transaction import About
from pushd.telemetry.events import IMAGE_COMPRESSED
from pushd.telemetry.trace import trace_id

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from pushd.store.transaction import Transaction
    from pushd.work import Claim, Compressed

_ENTRY = "SELECT spool FROM jobs WHERE id = ? AND encoding IS NULL"
# Minutes of work that need not be done again: no crash after it is held against whoever did it.
_PROGRESSED = "UPDATE deliveries SET progressed = 1 WHERE id = ?"
_COMPRESSED = "UPDATE jobs SET encoding = NULL, spool = ?, digest = ?, media_type = ?, size = ? WHERE number = ?"


def entry(connection: sqlite3.Connection, job_id: str) -> str | None:
    """Read which spool entry holds a job's compressed image; None while its layers are plain."""
    row = connection.execute(_ENTRY, (job_id,)).fetchone()
    return None if row is None else row["spool"]


def save(transaction: Transaction, claim: Claim, compressed: Compressed, now: datetime) -> None:
    """Make it the job's, all at once.

    Raises:
        StoreError: `store.claim_lost`.
    """
    job, root = fence(transaction, claim), compressed.image.root.descriptor
    image.replace(transaction, job, compressed.image)
    transaction.execute(_COMPRESSED, (compressed.spool, str(root.digest), root.media_type, compressed.image.size, job))
    transaction.execute(_PROGRESSED, (claim.delivery_id,))
    transaction.tell(
        IMAGE_COMPRESSED,
        now,
        About(claim.uid, claim.job_id, trace=trace_id(claim.traceparent)),
        layers=compressed.layers,
        reused=compressed.reused,
        bytes_before=compressed.before,
        bytes_after=compressed.after,
        seconds=round(compressed.seconds, 3),
        encoding=claim.encoding,
        digest=str(root.digest),
    )
