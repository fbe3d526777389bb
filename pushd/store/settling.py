"""What becomes of a job with its deliveries."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pushd.job import DeliveryState, job_state
from pushd.store import credentials, submitters
from pushd.store.moment import seconds
from pushd.store.placing import BLOBS, came_to, elapsed
from pushd.store.transaction import About
from pushd.telemetry.events import JOB_FINISHED
from pushd.telemetry.trace import trace_id

if TYPE_CHECKING:
    from datetime import datetime

    from pushd.store.transaction import Transaction

_BLOBS_OF_JOB = (
    f"{BLOBS} JOIN deliveries ON deliveries.id = waiters.delivery WHERE deliveries.job = ? GROUP BY waiters.state"
)
_SPENT = "SELECT sum(sent) AS sent, sum(holds) AS retries FROM deliveries WHERE job = ?"
_SETTLE = """
    UPDATE jobs
    SET state = ?1, finished_at = ?2, paused_at = CASE WHEN ?2 IS NULL THEN paused_at END
    WHERE number = ?3 AND state <> ?1 RETURNING *
"""


def settle(transaction: Transaction, job: int, now: datetime) -> None:
    """Derive a job's state from its deliveries again, and tell it when that ends the job."""
    states = [
        DeliveryState(row["state"]) for row in transaction.execute("SELECT state FROM deliveries WHERE job = ?", (job,))
    ]
    state = job_state(states)
    finished_at = seconds(now) if state.terminal else None
    changed = transaction.execute(_SETTLE, (state, finished_at, job)).fetchall()
    if finished_at is None or not changed:
        return
    (row,) = changed
    submitters.end(transaction, row["uid"])
    credentials.forget(transaction, job)
    count = Counter(states)
    came = came_to(transaction.execute(_BLOBS_OF_JOB, (job,)))
    came["size"] = row["size"]  # the image's, however often it went somewhere
    (spent,) = transaction.execute(_SPENT, (job,)).fetchall()
    transaction.tell(
        JOB_FINISHED,
        now,
        About(row["uid"], row["id"], trace=trace_id(row["traceparent"])),
        state=state.value,
        seconds=elapsed(row["created_at"], finished_at),
        succeeded=count[DeliveryState.SUCCEEDED],
        superseded=count[DeliveryState.SUPERSEDED],
        failed=count[DeliveryState.FAILED],
        cancelled=count[DeliveryState.CANCELLED],
        digest=row["digest"] if row["encoding"] is None else None,
        uid=row["uid"],
        source=row["source"],
        sent=spent["sent"],
        retries=spent["retries"],
        **came,
    )
