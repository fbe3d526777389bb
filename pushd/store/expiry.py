"""Deadlines of what waits, and of credentials. What runs keeps its own, and what is paused has none meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code
from pushd.job import DeliveryState, Failure
from pushd.store import credentials
from pushd.store.deliveries import end
from pushd.store.moment import seconds
from pushd.work import Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from pushd.store.transaction import Transaction

_ROUND = 500
"""The most of either that are ended at a time: others wait to write meanwhile."""

_OVERDUE = """
    SELECT id, failure_message FROM deliveries
    WHERE state IN ('queued', 'held') AND deadline_at <= ? ORDER BY deadline_at LIMIT ?
"""


def expire(transaction: Transaction, now: datetime) -> int:
    """Fail deliveries that wait past their job's deadline, and spend credentials past theirs; give how many.

    They are `_ROUND` of each at most.
    """
    overdue = transaction.execute(_OVERDUE, (seconds(now), _ROUND)).fetchall()
    for row in overdue:
        outcome = Outcome(state=DeliveryState.FAILED, failure=overdue_failure(row["failure_message"]))
        end(transaction, row["id"], outcome, now)
    return len(overdue) + credentials.expire(transaction, now, limit=_ROUND)


def overdue_failure(stood_in_its_way: str | None) -> Failure:
    """Give the failure of a delivery whose job ran out of time while it waited, and for what if it was held."""
    message = "the job's deadline passed before the image could be delivered"
    if stood_in_its_way is not None:
        message = f"{message}; what stood in its way: {stood_in_its_way}"
    return Failure(code=Code.REQUEST_DEADLINE.value, message=message, retryable=False)
