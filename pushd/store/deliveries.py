"""What deliveries come to, and with them their jobs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pushd.errors import Code
from pushd.job import DeliveryState, TransferState, job_state
from pushd.store import credentials, history, life, submitters
from pushd.store.moment import moment, rfc3339, seconds
from pushd.store.transaction import About
from pushd.telemetry.events import (
    DELIVERY_CANCELLED,
    DELIVERY_FAILED,
    DELIVERY_HELD,
    DELIVERY_PAUSED,
    DELIVERY_REQUEUED,
    DELIVERY_SUCCEEDED,
    DELIVERY_SUPERSEDED,
    JOB_FINISHED,
)
from pushd.telemetry.trace import trace_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from pushd.job import Failure
    from pushd.store.transaction import Transaction
    from pushd.telemetry.events import Kind, Value
    from pushd.work import Outcome

_ROW = """
    SELECT deliveries.*, jobs.id AS job_id, jobs.paused_at, jobs.not_before AS begins_at, jobs.credential AS choice,
        jobs.traceparent
    FROM deliveries JOIN jobs ON jobs.number = deliveries.job WHERE deliveries.id = ?
"""
_TRIED = "UPDATE deliveries SET holds = holds + 1, crashes = 0 WHERE id = ?"
_HOLD = """
    UPDATE deliveries
    SET state = 'held', not_before = ?, failure_code = ?, failure_message = ?, failure_retryable = ?
    WHERE id = ?
"""
_PLACE = """
    UPDATE deliveries
    SET state = ?, not_before = ?, failure_code = NULL, failure_message = NULL, failure_retryable = NULL
    WHERE id = ?
"""
_NEEDING = """
    SELECT deliveries.id, deliveries.destination
    FROM deliveries JOIN jobs ON jobs.number = deliveries.job
    WHERE deliveries.state = 'held' AND deliveries.failure_code = 'registry.needs_credential'
        AND deliveries.uid = :uid AND deliveries.registry = :registry COLLATE NOCASE
        AND (:job IS NULL OR deliveries.job = :job)
        AND (jobs.credential IN ('auto', :name) OR (jobs.credential = 'handed' AND :job IS NOT NULL))
    ORDER BY deliveries.id
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
_BLOBS = """
    SELECT waiters.state, count(*) AS number, sum(waiters.size) AS size, sum(waiters.resumed) AS resumed,
        sum(waiters.interruptions) AS interruptions
    FROM waiters
"""
_BLOBS_OF_DELIVERY = f"{_BLOBS} WHERE delivery = ? GROUP BY waiters.state"
_BLOBS_OF_JOB = (
    f"{_BLOBS} JOIN deliveries ON deliveries.id = waiters.delivery WHERE deliveries.job = ? GROUP BY waiters.state"
)
_SPENT = "SELECT sum(sent) AS sent, sum(holds) AS retries FROM deliveries WHERE job = ?"
_LANDED = (TransferState.UPLOADED, TransferState.MOUNTED, TransferState.PRESENT)
_SETTLE = """
    UPDATE jobs
    SET state = ?1, finished_at = ?2, paused_at = CASE WHEN ?2 IS NULL THEN paused_at END
    WHERE number = ?3 AND state <> ?1 RETURNING *
"""


def hold(transaction: Transaction, delivery: int, until: datetime, failure: Failure, now: datetime) -> None:
    """Put a running delivery back until `until`, or until its job is resumed where that was paused meanwhile.

    One that lacked a credential is not held when one has come since it was claimed: nobody would tell it later.
    """
    transaction.execute(_TRIED, (delivery,))
    row = _row(transaction, delivery)
    history.record(transaction, delivery, row["attempt"], failure, now)
    lacking = failure.code == Code.REGISTRY_NEEDS_CREDENTIAL
    if row["paused_at"] is None and not (lacking and credentials.came(transaction, row, now)):
        transaction.execute(_HOLD, (seconds(until), failure.code, failure.message, failure.retryable, delivery))
        transaction.tell(
            DELIVERY_HELD,
            now,
            about(row),
            destination=row["destination"],
            registry=row["registry"],
            attempt=row["attempt"],
            until=rfc3339(until),
            code=failure.code,
            reason=failure.message,
        )
    else:
        place(transaction, delivery, now)
    settle(transaction, row["job"], now)


def requeue(transaction: Transaction, delivery: int, now: datetime) -> None:
    """Put a running delivery back to wait: nobody works on it."""
    settle(transaction, place(transaction, delivery, now), now)


def place(transaction: Transaction, delivery: int, now: datetime) -> int:
    """Let a delivery wait where it belongs (see `resting`), and give the number of its job, which is to be settled."""
    row = _row(transaction, delivery)
    state, until = resting(row["paused_at"], row["begins_at"], seconds(now))
    transaction.execute(_PLACE, (state, until, delivery))
    facts: dict[str, Value] = {
        "destination": row["destination"],
        "registry": row["registry"],
        "attempt": row["attempt"],
    }
    if until is not None:
        facts |= {"until": rfc3339(moment(until)), "code": None, "reason": "its submitter asked for that time"}
    transaction.tell(_PLACED[state], now, about(row), **facts)
    return int(row["job"])


def supply(
    transaction: Transaction,
    uid: int,
    scopes: Collection[str],
    now: datetime,
    *,
    job: int | None = None,
    name: str | None = None,
) -> int:
    """Let a user's deliveries go on that are held for want of a credential, now that there is one.

    Args:
        transaction: under way.
        uid: whose it is.
        scopes: what it is for.
        now: the time.
        job: the number of the only job it is for; else
        name: what it is called. A job that asked for another by its name waits on.

    Returns:
        How many go on.
    """
    facts = {"uid": uid, "job": job, "name": name}
    needing = {
        row["id"]: row["destination"]
        for registry in {credentials.registry(scope) for scope in scopes}
        for row in transaction.connection.execute(_NEEDING, {**facts, "registry": registry})
    }
    going = [
        delivery
        for delivery, destination in needing.items()
        if any(credentials.reaches(scope, destination) for scope in scopes)
    ]
    for number in {place(transaction, delivery, now) for delivery in going}:
        settle(transaction, number, now)
    return len(going)


def resting(paused_at: float | None, begins_at: float | None, now: float) -> tuple[DeliveryState, float | None]:
    """Decide where a delivery waits that nobody works on and nothing stands in the way of.

    Args:
        paused_at: since when its job is paused.
        begins_at: when its job may begin at the earliest.
        now: the time; like the others in seconds.

    Returns:
        Its state, and until when it is held.
    """
    if paused_at is not None:
        return DeliveryState.PAUSED, None
    if begins_at is not None and begins_at > now:
        return DeliveryState.HELD, begins_at
    return DeliveryState.QUEUED, None


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
    if outcome.state is DeliveryState.SUCCEEDED:
        life.move(transaction)
    kind, fields = _ended(row, outcome.state)
    came = _came_to(transaction.execute(_BLOBS_OF_DELIVERY, (delivery,)))
    transaction.tell(kind, now, about(row), destination=row["destination"], registry=row["registry"], **fields, **came)
    settle(transaction, row["job"], now)


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
    came = _came_to(transaction.execute(_BLOBS_OF_JOB, (job,)))
    came["size"] = row["size"]  # the image's, however often it went somewhere
    (spent,) = transaction.execute(_SPENT, (job,)).fetchall()
    transaction.tell(
        JOB_FINISHED,
        now,
        About(row["uid"], row["id"], trace=trace_id(row["traceparent"])),
        state=state.value,
        seconds=_elapsed(row["created_at"], finished_at),
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


def about(row: sqlite3.Row) -> About:
    """Say what an event about the delivery in `row` tells of."""
    return About(row["uid"], row["job_id"], row["id"], trace_id(row["traceparent"]))


def _row(transaction: Transaction, delivery: int) -> sqlite3.Row:
    row: sqlite3.Row = transaction.execute(_ROW, (delivery,)).fetchone()
    return row


def _came_to(blobs: Iterable[sqlite3.Row]) -> dict[str, Value]:
    """Sum up what blobs came to: how many landed in which way, and what that took."""
    rows = {row["state"]: row for row in blobs}
    counts: dict[str, Value] = {state.value: rows[state]["number"] if state in rows else 0 for state in _LANDED}
    return counts | {fact: sum(row[fact] for row in rows.values()) for fact in ("size", "resumed", "interruptions")}


def _ended(row: sqlite3.Row, state: DeliveryState) -> tuple[Kind, dict[str, Value]]:
    """Say which event tells of this end, and its facts."""
    facts: dict[str, Value] = {
        "attempt": row["attempt"],
        "retries": row["holds"],
        "seconds": _elapsed(row["started_at"], row["finished_at"]),
        "sent": row["sent"],
        "uid": row["uid"],
        "credential": row["choice"],
    }
    if state is DeliveryState.SUCCEEDED:
        return DELIVERY_SUCCEEDED, {**facts, "digest": row["digest"]}
    if state is DeliveryState.FAILED:
        return DELIVERY_FAILED, {**facts, "code": row["failure_code"], "reason": row["failure_message"]}
    return DELIVERY_SUPERSEDED if state is DeliveryState.SUPERSEDED else DELIVERY_CANCELLED, facts


def _elapsed(start: float | None, stop: float) -> float:
    """Give the seconds between, to the millisecond; none when it never started or the clock was set back."""
    return 0.0 if start is None else round(max(0.0, stop - start), 3)
