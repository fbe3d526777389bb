"""The tries of a delivery that did not succeed: each hold, and the failure at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.job import Try
from pushd.store.moment import moment, seconds

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pushd.job import Failure
    from pushd.store.transaction import Transaction

_KEPT = 20
"""Tries kept of one delivery: enough to see a pattern, few enough to be sent with every job."""

_RECORD = """
    INSERT INTO history (delivery, number, at, attempt, code, message)
    SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5 FROM history WHERE delivery = ?1
    RETURNING number
"""
_HISTORIES = """
    SELECT history.* FROM deliveries JOIN history ON history.delivery = deliveries.id
    WHERE deliveries.job = ? ORDER BY history.delivery, history.number
"""


def record(transaction: Transaction, delivery: int, attempt: int, failure: Failure, now: datetime) -> None:
    """Write down how an attempt ended; the oldest go when there are too many."""
    (row,) = transaction.execute(_RECORD, (delivery, seconds(now), attempt, failure.code, failure.message)).fetchall()
    transaction.execute("DELETE FROM history WHERE delivery = ? AND number <= ?", (delivery, row["number"] - _KEPT))


def histories(connection: sqlite3.Connection, job: int) -> Mapping[int, Sequence[Try]]:
    """Read what is kept of the deliveries of the job numbered `job`, by their ids, newest last."""
    found: dict[int, list[Try]] = {}
    for row in connection.execute(_HISTORIES, (job,)):
        one = Try(at=moment(row["at"]), attempt=row["attempt"], code=row["code"], message=row["message"])
        found.setdefault(row["delivery"], []).append(one)
    return found
