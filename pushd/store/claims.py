"""Claims: who may work on a delivery, and how long that is true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, StoreError
from pushd.job import Verify
from pushd.store import crashes
from pushd.store.deliveries import requeue, settle
from pushd.store.moment import moment, seconds
from pushd.telemetry.events import DELIVERY_STARTED
from pushd.work import Claim

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from pushd.store.transaction import Transaction

_RIPEN = """
    UPDATE deliveries
    SET state = 'queued', not_before = NULL, failure_code = NULL, failure_message = NULL, failure_retryable = NULL
    WHERE state = 'held' AND not_before <= ? RETURNING job
"""
# Each registry that something waits for, one index search apiece: SQLite has no skip scan without ANALYZE.
_REGISTRIES = """
    WITH RECURSIVE waiting (registry) AS (
        SELECT min(registry) FROM deliveries WHERE state = 'queued'
        UNION ALL
        SELECT (SELECT min(registry) FROM deliveries WHERE state = 'queued' AND registry > waiting.registry)
        FROM waiting WHERE waiting.registry IS NOT NULL
    )
    SELECT registry FROM waiting WHERE registry IS NOT NULL
"""
_FIRST = """
    SELECT id, priority FROM deliveries
    WHERE state = 'queued' AND registry = ? ORDER BY priority DESC, id LIMIT 1
"""
_TAKE = """
    UPDATE deliveries
    SET state = 'running', attempt = attempt + 1, progressed = 0, epoch = ?, started_at = coalesce(started_at, ?)
    WHERE id = ?
"""
_STAND = """
    UPDATE waiters SET claimed_offset = coalesce(
        (SELECT "offset" FROM upload_sessions WHERE upload_sessions.transfer = waiters.transfer), 0
    )
    WHERE delivery = ?
"""
_TAKEN = """
    SELECT deliveries.*, jobs.id AS job_id, jobs.source, jobs.uid, jobs.deadline_at, jobs.verify
    FROM deliveries JOIN jobs ON jobs.number = deliveries.job WHERE deliveries.id = ?
"""
_HELD_UNTIL = "SELECT min(not_before) AS due FROM deliveries WHERE state = 'held' AND not_before > ?"
_RUNNING_UNDER = "SELECT job FROM deliveries WHERE id = ? AND epoch = ? AND attempt = ? AND state = 'running'"


def claim(
    transaction: Transaction, epoch: int, now: datetime, *, free: Mapping[str, int], default: int
) -> Claim | None:
    """Take the next delivery that may run, marking it running, or give None.

    The cost grows with the number of registries something waits for, not with the queue nor with the history.
    """
    ripe = transaction.execute(_RIPEN, (seconds(now),)).fetchall()
    for job in {row["job"] for row in ripe}:
        settle(transaction, job, now)
    heads: list[tuple[int, int]] = []
    for row in transaction.execute(_REGISTRIES).fetchall():
        if free.get(row["registry"], default) > 0:
            head = transaction.execute(_FIRST, (row["registry"],)).fetchone()
            heads.append((head["priority"], head["id"]))
    chosen = first(heads)
    return None if chosen is None else _take(transaction, chosen, epoch, now)


def first(heads: Iterable[tuple[int, int]]) -> int | None:
    """Choose among (priority, delivery id): the larger priority, then the older."""
    return min(heads, key=lambda head: (-head[0], head[1]), default=(0, None))[1]


def due(connection: sqlite3.Connection, now: datetime) -> datetime | None:
    """Read the earliest `not_before` after `now` of a held delivery."""
    row = connection.execute(_HELD_UNTIL, (seconds(now),)).fetchone()
    return None if row["due"] is None else moment(row["due"])


def fence(transaction: Transaction, claim: Claim) -> int:
    """Make sure the claim still stands, and give the number of its job.

    Raises:
        StoreError: `store.claim_lost`; the delivery ended, or another life or attempt has it.
    """
    row = transaction.execute(_RUNNING_UNDER, (claim.delivery_id, claim.epoch, claim.attempt)).fetchone()
    if row is None:
        raise StoreError(
            Code.STORE_CLAIM_LOST,
            claim.destination,
            f"attempt {claim.attempt} of job {claim.job_id} no longer has this delivery; nothing was written",
        )
    return int(row["job"])


def give_back(transaction: Transaction, claim: Claim, now: datetime) -> None:
    """Put a claimed delivery back into the queue, for a claim nobody received."""
    fence(transaction, claim)
    requeue(transaction, claim.delivery_id, now)


def release(transaction: Transaction, claim: Claim, now: datetime) -> None:
    """Put a claimed delivery back into the queue, because the daemon stops in good order."""
    crashes.pardon(transaction, claim.delivery_id)
    requeue(transaction, claim.delivery_id, now)


def _take(transaction: Transaction, delivery: int, epoch: int, now: datetime) -> Claim:
    transaction.execute(_TAKE, (epoch, seconds(now), delivery))
    transaction.execute(_STAND, (delivery,))
    row = transaction.execute(_TAKEN, (delivery,)).fetchone()
    settle(transaction, row["job"], now)
    transaction.tell(
        DELIVERY_STARTED,
        now,
        row["job_id"],
        delivery,
        destination=row["destination"],
        attempt=row["attempt"],
    )
    return Claim(
        job_id=row["job_id"],
        delivery_id=delivery,
        source=row["source"],
        destination=row["destination"],
        registry=row["registry"],
        uid=row["uid"],
        attempt=row["attempt"],
        tries=row["holds"] + 1,
        epoch=epoch,
        deadline_at=moment(row["deadline_at"]),
        verify=Verify(row["verify"]),
    )
