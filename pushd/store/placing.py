"""One delivery: where it waits, and how it ends. Its job is to be settled after either (see `settling`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.job import DeliveryState, TransferState
from pushd.store import history, life
from pushd.store.moment import moment, rfc3339, seconds
from pushd.store.transaction import About
from pushd.telemetry.events import (
    DELIVERY_CANCELLED,
    DELIVERY_FAILED,
    DELIVERY_HELD,
    DELIVERY_PAUSED,
    DELIVERY_READY,
    DELIVERY_REQUEUED,
    DELIVERY_SUCCEEDED,
    DELIVERY_SUPERSEDED,
)
from pushd.telemetry.trace import trace_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime

    from pushd.store.transaction import Transaction
    from pushd.telemetry.events import Kind, Value
    from pushd.work import Outcome

_ROW = """
    SELECT deliveries.*, jobs.id AS job_id, jobs.paused_at, jobs.not_before AS begins_at, jobs.credential AS choice,
        jobs.source, jobs.traceparent, deliveries.ready AND jobs.ready_at IS NULL AS waits
    FROM deliveries JOIN jobs ON jobs.number = deliveries.job WHERE deliveries.id = ?
"""
_PLACE = """
    UPDATE deliveries
    SET state = ?, not_before = ?, failure_code = NULL, failure_message = NULL, failure_retryable = NULL
    WHERE id = ?
"""
_OTHERS = """
    SELECT count(*) AS others FROM deliveries
    WHERE job = ? AND state IN ('queued', 'running', 'held', 'paused') AND NOT ready
"""
_PLACED = {
    DeliveryState.QUEUED: DELIVERY_REQUEUED,
    DeliveryState.HELD: DELIVERY_HELD,
    DeliveryState.PAUSED: DELIVERY_PAUSED,
}
_END = """
    UPDATE deliveries
    SET state = ?, digest = ?, failure_code = ?, failure_message = ?, failure_retryable = ?, not_before = NULL,
        finished_at = ?
    WHERE id = ?
"""
BLOBS = """
    SELECT waiters.state, count(*) AS number, sum(waiters.size) AS size, sum(waiters.resumed) AS resumed,
        sum(waiters.interruptions) AS interruptions
    FROM waiters
"""
_BLOBS_OF_DELIVERY = f"{BLOBS} WHERE delivery = ? GROUP BY waiters.state"
_LANDED = (TransferState.UPLOADED, TransferState.MOUNTED, TransferState.PRESENT)


def place(transaction: Transaction, delivery: int, now: datetime) -> int:
    """Let a delivery wait where it belongs (see `resting`), and give the number of its job, which is to be settled."""
    row = read(transaction, delivery)
    waits_until = row["deadline_at"] if row["waits"] else None
    state, until = resting(row["paused_at"], row["begins_at"], seconds(now), waits_until=waits_until)
    transaction.execute(_PLACE, (state, until, delivery))
    facts: dict[str, Value] = {
        "destination": row["destination"],
        "registry": row["registry"],
        "attempt": row["attempt"],
    }
    kind = _PLACED[state]
    if until is not None and until == waits_until:
        ((others,),) = transaction.execute(_OTHERS, (row["job"],)).fetchall()
        kind, facts = DELIVERY_READY, facts | {"others": others}
    elif until is not None:
        facts |= {"until": rfc3339(moment(until)), "code": None, "reason": "its submitter asked for that time"}
    transaction.tell(kind, now, about(row), **facts)
    return int(row["job"])


def resting(
    paused_at: float | None, begins_at: float | None, now: float, *, waits_until: float | None = None
) -> tuple[DeliveryState, float | None]:
    """Decide where a delivery waits that nobody works on and nothing stands in the way of.

    Args:
        paused_at: since when its job is paused.
        begins_at: when its job may begin at the earliest.
        now: the time; like the others in seconds.
        waits_until: where it is ready and waits for the other deliveries of its job, its deadline.

    Returns:
        Its state, and until when it is held.
    """
    if paused_at is not None:
        return DeliveryState.PAUSED, None
    if waits_until is not None:
        return DeliveryState.HELD, waits_until
    if begins_at is not None and begins_at > now:
        return DeliveryState.HELD, begins_at
    return DeliveryState.QUEUED, None


def close(transaction: Transaction, delivery: int, outcome: Outcome, now: datetime) -> int:
    """End a delivery, and give the number of its job, which is to be settled.

    Raises:
        ValueError: the outcome's state is not terminal.
    """
    if not outcome.state.terminal:
        raise ValueError(f"{outcome.state} ends nothing")
    failure, digest = outcome.failure, None if outcome.digest is None else str(outcome.digest)
    told = (None, None, None) if failure is None else (failure.code, failure.message, failure.retryable)
    transaction.execute(_END, (outcome.state, digest, *told, seconds(now), delivery))
    row = read(transaction, delivery)
    if failure is not None:
        history.record(transaction, delivery, row["attempt"], failure, now)
    if outcome.state is DeliveryState.SUCCEEDED:
        life.move(transaction)
    kind, fields = _ended(row, outcome.state)
    came = came_to(transaction.execute(_BLOBS_OF_DELIVERY, (delivery,)))
    transaction.tell(kind, now, about(row), destination=row["destination"], registry=row["registry"], **fields, **came)
    return int(row["job"])


def about(row: sqlite3.Row) -> About:
    """Say what an event about the delivery in `row` tells of."""
    return About(row["uid"], row["job_id"], row["id"], trace_id(row["traceparent"]))


def read(transaction: Transaction, delivery: int) -> sqlite3.Row:
    """Read a delivery, with what of its job it depends on."""
    row: sqlite3.Row = transaction.execute(_ROW, (delivery,)).fetchone()
    return row


def came_to(blobs: Iterable[sqlite3.Row]) -> dict[str, Value]:
    """Sum up what blobs came to: how many landed in which way, and what that took."""
    rows = {row["state"]: row for row in blobs}
    counts: dict[str, Value] = {state.value: rows[state]["number"] if state in rows else 0 for state in _LANDED}
    return counts | {fact: sum(row[fact] for row in rows.values()) for fact in ("size", "resumed", "interruptions")}


def _ended(row: sqlite3.Row, state: DeliveryState) -> tuple[Kind, dict[str, Value]]:
    """Say which event tells of this end, and its facts."""
    facts: dict[str, Value] = {
        "attempt": row["attempt"],
        "retries": row["holds"],
        "seconds": elapsed(row["started_at"], row["finished_at"]),
        "sent": row["sent"],
        "uid": row["uid"],
        "credential": row["choice"],
    }
    if state is DeliveryState.SUCCEEDED:
        return DELIVERY_SUCCEEDED, {**facts, "digest": row["digest"]}
    if state is DeliveryState.FAILED:
        return DELIVERY_FAILED, {**facts, "code": row["failure_code"], "reason": row["failure_message"]}
    return DELIVERY_SUPERSEDED if state is DeliveryState.SUPERSEDED else DELIVERY_CANCELLED, facts


def elapsed(start: float | None, stop: float) -> float:
    """Give the seconds between, to the millisecond; none when it never started or the clock was set back."""
    return 0.0 if start is None else round(max(0.0, stop - start), 3)
