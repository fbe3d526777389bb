"""Deadlines of what waits, and of credentials. What runs keeps its own, and what is paused has none meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code
from pushd.job import DeliveryState, Failure
from pushd.store import credentials
from pushd.store.moment import moment_or_none, seconds
from pushd.store.placing import close
from pushd.store.settling import settle
from pushd.work import Outcome

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from pushd.store.transaction import Transaction

_ROUND = 500
"""The most of either that are ended at a time: others wait to write meanwhile."""

_OTHERS = "other destinations of its job were not ready"
_OVERDUE = """
    SELECT id, failure_message, ready FROM deliveries
    WHERE state IN ('queued', 'held') AND deadline_at <= ? ORDER BY deadline_at LIMIT ?
"""
# Each the first entry of its index: one search for both together would not be.
_NEXT = """
    SELECT min(at) AS at FROM (
        SELECT min(deadline_at) AS at FROM deliveries WHERE state IN ('queued', 'held')
        UNION ALL
        SELECT min(expires_at) FROM credentials WHERE secret IS NOT NULL AND expires_at IS NOT NULL
    )
"""


def expire(transaction: Transaction, now: datetime) -> int:
    """Fail deliveries that wait past their job's deadline, and spend credentials past theirs; give how many.

    They are `_ROUND` of each at most.
    """
    overdue = transaction.execute(_OVERDUE, (seconds(now), _ROUND)).fetchall()
    jobs: set[int] = set()
    for row in overdue:
        failure = overdue_failure(_OTHERS if row["ready"] else row["failure_message"])
        jobs.add(close(transaction, row["id"], Outcome(state=DeliveryState.FAILED, failure=failure), now))
    for job in sorted(jobs):  # once all of it are closed: none of them fails because of another
        settle(transaction, job, now)
    return len(overdue) + credentials.expire(transaction, now, limit=_ROUND)


def deadline(connection: sqlite3.Connection) -> datetime | None:
    """Read when there is something for `expire` to do next, if nothing changes meanwhile; None for never."""
    return moment_or_none(connection.execute(_NEXT).fetchone()["at"])


def overdue_failure(stood_in_its_way: str | None) -> Failure:
    """Give the failure of a delivery whose job ran out of time while it waited, and for what if it was held."""
    message = "the job's deadline passed before the image could be delivered"
    if stood_in_its_way is not None:
        message = f"{message}; what stood in its way: {stood_in_its_way}"
    return Failure(code=Code.REQUEST_DEADLINE.value, message=message, retryable=False)
