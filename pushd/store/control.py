"""What is done to a job that was accepted: it is cancelled, paused, resumed, retried, and given credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, RequestError
from pushd.job import DeliveryState
from pushd.store import credentials
from pushd.store.deliveries import supply
from pushd.store.jobs import row
from pushd.store.moment import seconds
from pushd.store.placing import close, place
from pushd.store.settling import settle
from pushd.store.submitters import begin
from pushd.store.transaction import About
from pushd.telemetry.events import JOB_PAUSED, JOB_RESUMED, JOB_RETRIED
from pushd.telemetry.trace import trace_id
from pushd.work import Outcome

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from pushd.store.transaction import Transaction
    from pushd.work import Sealed

_OPEN = """
    SELECT id, state FROM deliveries
    WHERE job = ? AND state IN ('queued', 'held', 'running', 'paused') ORDER BY position
"""
_PAUSED = "SELECT id FROM deliveries WHERE job = ? AND state = 'paused' ORDER BY position"
_LOST = "SELECT id FROM deliveries WHERE job = ? AND state IN ('failed', 'cancelled') ORDER BY position"
_GO_ON = "UPDATE jobs SET paused_at = NULL, deadline_at = deadline_at + ? WHERE number = ?"
_BEGIN_ANEW = """
    UPDATE jobs
    SET finished_at = NULL, deadline_at = max(coalesce(paused_at, ?), coalesce(not_before, 0)) + lifetime
    WHERE number = ?
"""
_FORGIVE = """
    UPDATE deliveries
    SET holds = 0, crashes = 0, started_at = NULL, finished_at = NULL,
        ready = ready AND (SELECT ready_at IS NOT NULL FROM jobs WHERE number = deliveries.job)
    WHERE job = ? AND state IN ('failed', 'cancelled')
"""
_DUE = """
    UPDATE deliveries SET (deadline_at, since) = (
        SELECT deadline_at, deadline_at - lifetime FROM jobs WHERE number = ?1
    ) WHERE job = ?1
"""


def cancel(transaction: Transaction, job_id: str, now: datetime) -> Sequence[int]:
    """End the deliveries of a job that wait; give the ids of those that run.

    Raises:
        RequestError: `request.not_found`.
    """
    job = row(transaction.connection, job_id)["number"]
    waiting, running = _open(transaction, job)
    for delivery in waiting:
        close(transaction, delivery, Outcome(state=DeliveryState.CANCELLED), now)
    settle(transaction, job, now)
    return running


def pause(transaction: Transaction, job_id: str, now: datetime, *, by: int) -> Sequence[int]:
    """Let the deliveries of a job that wait do so until it is resumed; give the ids of those that run.

    Raises:
        RequestError: `request.not_found`; `request.state`, it has ended.
    """
    job = _living(transaction, job_id, "paused")
    waiting, running = _open(transaction, job["number"])
    if job["paused_at"] is None:
        transaction.execute("UPDATE jobs SET paused_at = ? WHERE number = ?", (seconds(now), job["number"]))
        transaction.tell(JOB_PAUSED, now, About(job["uid"], job_id, trace=trace_id(job["traceparent"])), by=by)
        for delivery in waiting:
            place(transaction, delivery, now)
        settle(transaction, job["number"], now)
    return running


def resume(transaction: Transaction, job_id: str, now: datetime, *, by: int) -> None:
    """Let a paused job go on, with as much time left as when it was paused.

    Raises:
        RequestError: `request.not_found`; `request.state`, it has ended.
    """
    job = _living(transaction, job_id, "resumed")
    if job["paused_at"] is None:
        return
    pause = max(0.0, seconds(now) - job["paused_at"])  # none where the clock was set back
    transaction.execute(_GO_ON, (pause, job["number"]))
    transaction.execute(_DUE, (job["number"],))
    transaction.tell(JOB_RESUMED, now, About(job["uid"], job_id, trace=trace_id(job["traceparent"])), by=by)
    for delivery in transaction.execute(_PAUSED, (job["number"],)).fetchall():
        place(transaction, delivery["id"], now)
    settle(transaction, job["number"], now)


def retry(transaction: Transaction, job_id: str, now: datetime, *, by: int, handed: Sequence[Sealed] = ()) -> int:
    """Let the deliveries of a job that failed or were cancelled wait again as if new; give how many.

    The job has the time again it was given first. While it is paused, that does not run either. With credentials that
    `by` hands over, what waited for one goes on as well, and is counted. A job that has nothing to retry and has ended
    is left alone.

    Raises:
        RequestError: `request.not_found`; `request.state`, its bytes were in the spool and are gone;
            `request.forbidden`, credentials are handed over for a job of somebody else.
    """
    job = row(transaction.connection, job_id)
    lost = transaction.execute(_LOST, (job["number"],)).fetchall()
    if lost:
        _begin_anew(transaction, job, lost, now, by=by)
    elif job["finished_at"] is not None:
        return 0
    supplied = _hand_over(transaction, job, by, handed, now) if handed else 0
    return len(lost) + supplied


def _begin_anew(
    transaction: Transaction, job: sqlite3.Row, lost: Sequence[sqlite3.Row], now: datetime, *, by: int
) -> None:
    ended = job["finished_at"] is not None
    if ended and job["spool"] is not None:
        raise RequestError(
            Code.REQUEST_STATE,
            job["id"],
            "cannot be retried: its bytes were kept in the spool until it ended, and are gone",
            hint="push the image again",
        )
    if ended:
        begin(transaction, job["uid"])
    transaction.execute(_BEGIN_ANEW, (seconds(now), job["number"]))
    transaction.execute(_FORGIVE, (job["number"],))
    transaction.execute(_DUE, (job["number"],))
    transaction.tell(
        JOB_RETRIED, now, About(job["uid"], job["id"], trace=trace_id(job["traceparent"])), deliveries=len(lost), by=by
    )
    for delivery in lost:
        place(transaction, delivery["id"], now)
    settle(transaction, job["number"], now)


def _hand_over(transaction: Transaction, job: sqlite3.Row, uid: int, sealed: Sequence[Sealed], now: datetime) -> int:
    if uid != job["uid"]:
        raise RequestError(
            Code.REQUEST_FORBIDDEN,
            job["id"],
            f"is a job of uid {job['uid']}, and only they hand over credentials for it",
            hint="retry it without any, or push the image yourself",
        )
    credentials.put(transaction, sealed, uid=uid, job=job["number"])
    return supply(transaction, uid, {one.scope for one in sealed}, now, job=job["number"])


def _living(transaction: Transaction, job_id: str, wish: str) -> sqlite3.Row:
    job = row(transaction.connection, job_id)
    if job["finished_at"] is not None:
        raise RequestError(
            Code.REQUEST_STATE,
            job_id,
            f"cannot be {wish}: it has ended ({job['state']})",
            hint="what failed of it can be retried",
        )
    return job


def _open(transaction: Transaction, job: int) -> tuple[Sequence[int], Sequence[int]]:
    """Read the ids of a job's deliveries that wait, and of those that run."""
    rows = transaction.execute(_OPEN, (job,)).fetchall()
    running = tuple(one["id"] for one in rows if one["state"] == DeliveryState.RUNNING)
    return tuple(one["id"] for one in rows if one["id"] not in running), running
