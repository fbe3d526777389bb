"""What deliveries come to, and with them their jobs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pushd.job import DeliveryState, TransferState, job_state
from pushd.store import history
from pushd.store.moment import rfc3339, seconds
from pushd.telemetry.events import (
    DELIVERY_CANCELLED,
    DELIVERY_FAILED,
    DELIVERY_HELD,
    DELIVERY_REQUEUED,
    DELIVERY_SUCCEEDED,
    DELIVERY_SUPERSEDED,
    JOB_FINISHED,
)
from pushd.work import Outcome

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from pushd.job import Failure
    from pushd.store.transaction import Transaction
    from pushd.telemetry.events import Kind, Value

_ROW = """
    SELECT deliveries.*, jobs.id AS job_id
    FROM deliveries JOIN jobs ON jobs.number = deliveries.job WHERE deliveries.id = ?
"""
_HOLD = """
    UPDATE deliveries
    SET state = 'held', not_before = ?, failure_code = ?, failure_message = ?, failure_retryable = ?,
        holds = holds + 1, crashes = 0
    WHERE id = ?
"""
_END = """
    UPDATE deliveries
    SET state = ?, digest = ?, failure_code = ?, failure_message = ?, failure_retryable = ?, not_before = NULL,
        finished_at = ?
    WHERE id = ?
"""


def hold(transaction: Transaction, delivery: int, until: datetime, failure: Failure, now: datetime) -> None:
    """Put a running delivery back until `until`."""
    transaction.execute(_HOLD, (seconds(until), failure.code, failure.message, failure.retryable, delivery))
    row = _row(transaction, delivery)
    history.record(transaction, delivery, row["attempt"], failure, now)
    transaction.tell(
        DELIVERY_HELD,
        now,
        row["job_id"],
        delivery,
        destination=row["destination"],
        attempt=row["attempt"],
        until=rfc3339(until),
        code=failure.code,
        reason=failure.message,
    )
    settle(transaction, row["job"], now)


def requeue(transaction: Transaction, delivery: int, now: datetime) -> None:
    """Put a running delivery back into the queue: nobody works on it."""
    transaction.execute("UPDATE deliveries SET state = 'queued' WHERE id = ?", (delivery,))
    row = _row(transaction, delivery)
    transaction.tell(
        DELIVERY_REQUEUED,
        now,
        row["job_id"],
        delivery,
        destination=row["destination"],
        attempt=row["attempt"],
    )
    settle(transaction, row["job"], now)


def end(transaction: Transaction, delivery: int, outcome: Outcome, now: datetime) -> None:
    """End a delivery, and with its last one the job.

    Raises:
        ValueError: the outcome's state is not terminal.
    """
    if not outcome.state.terminal:
        raise ValueError(f"{outcome.state} ends nothing")
    failure, digest = outcome.failure, None if outcome.digest is None else str(outcome.digest)
    told = (None, None, None) if failure is None else (failure.code, failure.message, failure.retryable)
    transaction.execute(_END, (outcome.state, digest, *told, seconds(now), delivery))
    row = _row(transaction, delivery)
    if failure is not None:
        history.record(transaction, delivery, row["attempt"], failure, now)
    kind, fields = _ended(row, outcome.state, _landed(transaction, delivery))
    transaction.tell(kind, now, row["job_id"], delivery, destination=row["destination"], **fields)
    settle(transaction, row["job"], now)


def cancel(transaction: Transaction, job: int, now: datetime) -> Sequence[int]:
    """End the deliveries of a job that wait; give the ids of those that run."""
    rows = transaction.execute(
        "SELECT id, state FROM deliveries WHERE job = ? AND state IN ('queued', 'held', 'running') ORDER BY position",
        (job,),
    ).fetchall()
    for row in rows:
        if row["state"] != DeliveryState.RUNNING:
            end(transaction, row["id"], Outcome(state=DeliveryState.CANCELLED), now)
    return tuple(row["id"] for row in rows if row["state"] == DeliveryState.RUNNING)


def settle(transaction: Transaction, job: int, now: datetime) -> None:
    """Derive a job's state from its deliveries again, and tell it when that ends the job."""
    states = [
        DeliveryState(row["state"]) for row in transaction.execute("SELECT state FROM deliveries WHERE job = ?", (job,))
    ]
    state = job_state(states)
    finished_at = seconds(now) if state.terminal else None
    row = transaction.execute(
        "UPDATE jobs SET state = ?, finished_at = ? WHERE number = ? RETURNING *", (state, finished_at, job)
    ).fetchone()
    if finished_at is None:
        return
    count = Counter(states)
    transaction.tell(
        JOB_FINISHED,
        now,
        row["id"],
        state=state.value,
        seconds=_elapsed(row["created_at"], finished_at),
        succeeded=count[DeliveryState.SUCCEEDED],
        superseded=count[DeliveryState.SUPERSEDED],
        failed=count[DeliveryState.FAILED],
        cancelled=count[DeliveryState.CANCELLED],
        size=row["size"],
        digest=row["digest"],
        uid=row["uid"],
    )


def _row(transaction: Transaction, delivery: int) -> sqlite3.Row:
    row: sqlite3.Row = transaction.execute(_ROW, (delivery,)).fetchone()
    return row


def _landed(transaction: Transaction, delivery: int) -> Counter[TransferState]:
    rows = transaction.execute(
        "SELECT state, count(*) AS number FROM waiters WHERE delivery = ? GROUP BY state", (delivery,)
    )
    return Counter({TransferState(row["state"]): row["number"] for row in rows})


def _ended(row: sqlite3.Row, state: DeliveryState, landed: Counter[TransferState]) -> tuple[Kind, dict[str, Value]]:
    """Say which event tells of this end, and its facts."""
    facts: dict[str, Value] = {
        "attempt": row["attempt"],
        "seconds": _elapsed(row["started_at"], row["finished_at"]),
        "sent": row["sent"],
    }
    if state is DeliveryState.SUCCEEDED:
        counts = {
            name.value: landed[name] for name in (TransferState.UPLOADED, TransferState.MOUNTED, TransferState.PRESENT)
        }
        return DELIVERY_SUCCEEDED, {**facts, **counts, "digest": row["digest"]}
    if state is DeliveryState.FAILED:
        return DELIVERY_FAILED, {**facts, "code": row["failure_code"], "reason": row["failure_message"]}
    return DELIVERY_SUPERSEDED if state is DeliveryState.SUPERSEDED else DELIVERY_CANCELLED, facts


def _elapsed(start: float | None, stop: float) -> float:
    """Give the seconds between, to the millisecond; none when it never started or the clock was set back."""
    return 0.0 if start is None else round(max(0.0, stop - start), 3)
