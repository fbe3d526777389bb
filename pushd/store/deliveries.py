"""What is done to deliveries: they are held, put back, let go on, and ended, and their jobs settled with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import NEEDING, Code
from pushd.store import credentials, history, life
from pushd.store.moment import rfc3339, seconds
from pushd.store.placing import about, close, place, read
from pushd.store.settling import settle
from pushd.telemetry.events import DELIVERY_HELD

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from pushd.job import Failure
    from pushd.store.transaction import Transaction
    from pushd.work import Outcome

_TRIED = "UPDATE deliveries SET holds = holds + 1, crashes = 0 WHERE id = ?"
_HOLD = """
    UPDATE deliveries
    SET state = 'held', not_before = ?, failure_code = ?, failure_message = ?, failure_retryable = ?
    WHERE id = ?
"""
_READY = "UPDATE deliveries SET ready = 1, crashes = 0 WHERE id = ?"
_NEEDING = """
    SELECT deliveries.id, deliveries.destination AS needed
    FROM deliveries JOIN jobs ON jobs.number = deliveries.job
    WHERE deliveries.state = 'held' AND deliveries.failure_code = 'registry.needs_credential'
        AND deliveries.uid = :uid AND deliveries.registry = :registry COLLATE NOCASE
        AND (:job IS NULL OR deliveries.job = :job)
        AND (jobs.credential IN ('auto', :name) OR (jobs.credential = 'handed' AND :job IS NOT NULL))
    ORDER BY deliveries.id
"""
# A login that was chosen by its name may be for the destinations alone; where it is not, one more try finds that out.
_NEEDING_TO_READ = """
    SELECT deliveries.id, jobs.source AS needed
    FROM deliveries JOIN jobs ON jobs.number = deliveries.job
    WHERE deliveries.state = 'held' AND deliveries.failure_code = 'source.needs_credential'
        AND deliveries.uid = :uid AND (:job IS NULL OR deliveries.job = :job)
        AND (jobs.credential <> 'handed' OR :job IS NOT NULL)
    ORDER BY deliveries.id
"""


def hold(transaction: Transaction, delivery: int, until: datetime, failure: Failure, now: datetime) -> None:
    """Put a running delivery back until `until`, or until its job is resumed where that was paused meanwhile.

    One that lacked a credential is not held when one has come since it was claimed: nobody would tell it later.
    """
    transaction.execute(_TRIED, (delivery,))
    row = read(transaction, delivery)
    history.record(transaction, delivery, row["attempt"], failure, now)
    needed = row["source"] if failure.code == Code.SOURCE_NEEDS_CREDENTIAL else row["destination"]
    lacking = failure.code in NEEDING
    if row["paused_at"] is None and not (lacking and credentials.came(transaction, row, needed, now)):
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


def ready(transaction: Transaction, delivery: int, now: datetime) -> None:
    """Let a running delivery, which has everything there but its tag, wait for the others of its job.

    With the last of them their tags move: each is queued again. Where one of them has failed, so does this one.
    """
    transaction.execute(_READY, (delivery,))
    life.move(transaction)
    settle(transaction, place(transaction, delivery, now), now)


def requeue(transaction: Transaction, delivery: int, now: datetime) -> None:
    """Put a running delivery back to wait: nobody works on it."""
    settle(transaction, place(transaction, delivery, now), now)


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
        row["id"]: row["needed"]
        for registry in {credentials.registry(scope) for scope in scopes}
        for row in transaction.connection.execute(_NEEDING, {**facts, "registry": registry})
    }
    needing |= {row["id"]: row["needed"] for row in transaction.connection.execute(_NEEDING_TO_READ, facts)}
    going = [
        delivery for delivery, needed in needing.items() if any(credentials.reaches(scope, needed) for scope in scopes)
    ]
    for number in {place(transaction, delivery, now) for delivery in going}:
        settle(transaction, number, now)
    return len(going)


def end(transaction: Transaction, delivery: int, outcome: Outcome, now: datetime) -> int:
    """End a delivery, and with its last one the job; give the number of that.

    Raises:
        ValueError: the outcome's state is not terminal.
    """
    job = close(transaction, delivery, outcome, now)
    settle(transaction, job, now)
    return job
