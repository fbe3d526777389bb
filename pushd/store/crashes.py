"""What a crash left running: it goes on, unless it was there at one crash after another and nothing got any further.

One delivery that brings the daemon down must not do so for ever, and take every other down with it. Which of those
that ran is the cause cannot be seen, and most that ran only waited for a place; so a crash is held against them only
when nobody made progress in that life. Progress is durable news: a delivery succeeded, a blob landed that was not
known to be there, or an upload session stands further than it did when its delivery was claimed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, DaemonError
from pushd.job import DeliveryState, Failure
from pushd.store import life
from pushd.store.deliveries import end, requeue
from pushd.work import Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from pushd.store.transaction import Transaction

LIMIT = 10
"""Crashes in a row without progress, the last of which sets a delivery aside. Not fewer: who is killed from outside,
again and again and within a second of each start, has done nothing wrong."""

_PROGRESS = """
    SELECT id, destination, crashes, progressed OR EXISTS (
        SELECT 1 FROM waiters JOIN upload_sessions ON upload_sessions.transfer = waiters.transfer
        WHERE waiters.delivery = deliveries.id AND upload_sessions."offset" > waiters.claimed_offset
    ) AS progressed
    FROM deliveries
"""
# In the order of SQLite's choice, that of the ids, it would walk through all there ever were.
_LEFT = f"{_PROGRESS} INDEXED BY deliveries_running WHERE state = 'running' ORDER BY id"
_RUNNING = f"{_PROGRESS} WHERE state = 'running' AND id = ?"


def recover(transaction: Transaction, now: datetime) -> None:
    """Put what an earlier life left running back into the queue, or set it aside."""
    left = transaction.execute(_LEFT).fetchall()
    moved = life.moved(transaction) or any(row["progressed"] for row in left)
    for row in left:
        crashes = in_a_row(row["crashes"], progressed=moved)
        transaction.execute("UPDATE deliveries SET crashes = ? WHERE id = ?", (crashes, row["id"]))
        if crashes < LIMIT:
            requeue(transaction, row["id"], now)
        else:
            failure = crash_loop(row["destination"], crashes)
            end(transaction, row["id"], Outcome(state=DeliveryState.FAILED, failure=failure), now)


def pardon(transaction: Transaction, delivery: int) -> None:
    """Count no crash against a running delivery that made progress; one that made none has shown nothing."""
    (row,) = transaction.execute(_RUNNING, (delivery,)).fetchall()
    if row["progressed"]:
        transaction.execute("UPDATE deliveries SET crashes = 0 WHERE id = ?", (delivery,))


def in_a_row(before: int, *, progressed: bool) -> int:
    """Count crashes in a row without progress, after one more crash.

    Args:
        before: how many there were before it.
        progressed: whether anything made progress in the life that the crash ended.
    """
    return 0 if progressed else before + 1


def crash_loop(destination: str, crashes: int) -> Failure:
    """Give the failure of a delivery that was there at `crashes` crashes in a row."""
    error = DaemonError(
        Code.DAEMON_CRASH_LOOP,
        destination,
        f"the daemon crashed {crashes} times while working on this without progress; it was set aside",
        hint="look for the cause at the end of each life in the daemon's log, then push again",
    )
    return Failure(code=error.code.value, message=str(error), retryable=error.retryable)
