"""What becomes of a job with its deliveries, and of them where their tags move together (see `together`)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pushd.job import DeliveryState, Failure, job_state
from pushd.store import credentials, submitters
from pushd.store.moment import seconds
from pushd.store.placing import BLOBS, came_to, close, elapsed, place
from pushd.store.together import Member, Verdict, given_up, verdict
from pushd.store.transaction import About
from pushd.telemetry.events import JOB_FINISHED, JOB_READY
from pushd.telemetry.trace import trace_id
from pushd.work import Outcome

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from pushd.store.transaction import Transaction

_STATES = "SELECT state FROM deliveries WHERE job = ?"
_TOGETHER = """
    SELECT id, uid, traceparent, ready_at, paused_at IS NOT NULL OR EXISTS (
        SELECT 1 FROM deliveries JOIN paused_registries ON paused_registries.registry = deliveries.registry
        WHERE deliveries.job = jobs.number AND deliveries.state IN ('queued', 'running', 'held', 'paused')
    ) AS shut
    FROM jobs WHERE number = ? AND tags = 'together'
"""
_MEMBERS = """
    SELECT id, destination, state, ready, failure_code, failure_message FROM deliveries WHERE job = ? ORDER BY position
"""
_DECIDE = "UPDATE jobs SET ready_at = ? WHERE number = ?"
_IN_VAIN = """
    SELECT id FROM deliveries
    WHERE job = ?1 AND state = 'running'
        AND EXISTS (SELECT 1 FROM jobs WHERE number = ?1 AND tags = 'together' AND ready_at IS NULL)
        AND EXISTS (SELECT 1 FROM deliveries AS lost WHERE lost.job = ?1 AND lost.state IN ('failed', 'cancelled'))
    ORDER BY position
"""
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
    """Derive a job's state from its deliveries again, and tell it when that ends the job.

    Where their tags move together, whatever that means for the others is done first.
    """
    _bind(transaction, job, now)
    states = [DeliveryState(row["state"]) for row in transaction.execute(_STATES, (job,))]
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


def in_vain(transaction: Transaction, job: int) -> Sequence[int]:
    """Read the ids of the deliveries that run though their tags will not move: they were to with one that is lost."""
    return tuple(row["id"] for row in transaction.execute(_IN_VAIN, (job,)))


def _bind(transaction: Transaction, job: int, now: datetime) -> None:
    """Have the tags of a job move, or fail what waits, where it is time for either."""
    row = transaction.execute(_TOGETHER, (job,)).fetchone()
    if row is None:
        return
    rows = transaction.execute(_MEMBERS, (job,)).fetchall()
    members = [_member(one) for one in rows]
    decision = verdict(members, decided=row["ready_at"] is not None, shut=bool(row["shut"]))
    waiting = [
        one["id"]
        for one, member in zip(rows, members, strict=True)
        if not (member.state.terminal or member.state is DeliveryState.RUNNING)
    ]
    if decision is Verdict.MOVE:
        transaction.execute(_DECIDE, (seconds(now), job))
        whose = About(row["uid"], row["id"], trace=trace_id(row["traceparent"]))
        transaction.tell(JOB_READY, now, whose, destinations=len(waiting))
        for delivery in waiting:
            place(transaction, delivery, now)
    elif decision is Verdict.GIVE_UP:
        outcome = Outcome(state=DeliveryState.FAILED, failure=given_up(members))
        for delivery in waiting:
            close(transaction, delivery, outcome, now)


def _member(row: sqlite3.Row) -> Member:
    failure = None
    if row["failure_code"] is not None:
        failure = Failure(code=row["failure_code"], message=row["failure_message"], retryable=False)
    return Member(
        destination=row["destination"], state=DeliveryState(row["state"]), ready=bool(row["ready"]), failure=failure
    )
