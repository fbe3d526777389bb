"""What was found when the layers of a job's image were looked into: written down once, for all its deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pushd.store.transaction import About
from pushd.telemetry.events import IMAGE_VALIDATED
from pushd.telemetry.trace import trace_id
from pushd.work import Inspection

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from pushd.store.transaction import Transaction
    from pushd.work import Claim

_FIND = "SELECT inspection FROM jobs WHERE id = ? AND inspection IS NOT NULL"
_SAVE = "UPDATE jobs SET inspection = ? WHERE id = ? RETURNING digest"

_decode = msgspec.json.Decoder(Inspection).decode


def find(connection: sqlite3.Connection, job_id: str) -> Inspection | None:
    """Read what was found, if it was looked for."""
    row = connection.execute(_FIND, (job_id,)).fetchone()
    return None if row is None else _decode(row["inspection"])


def save(transaction: Transaction, claim: Claim, inspection: Inspection, now: datetime) -> None:
    """Write down what was found, and tell of it where it is good: what is not is told with the deliveries it fails."""
    encoded = msgspec.json.encode(inspection).decode()
    ((digest,),) = transaction.execute(_SAVE, (encoded, claim.job_id)).fetchall()
    if not inspection.code:
        transaction.tell(
            IMAGE_VALIDATED,
            now,
            About(claim.uid, claim.job_id, trace=trace_id(claim.traceparent)),
            digest=digest,
            layers=inspection.layers,
            skipped=inspection.skipped,
            size=inspection.size,
            seconds=inspection.seconds,
        )
