"""Jobs as they are read: whole, in pages, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pushd.errors import Code, RequestError
from pushd.job import Delivery, DeliveryState, Failure, Job, JobState, Transfer, TransferState
from pushd.store.history import histories
from pushd.store.moment import moment, moment_or_none

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping, Sequence

    from pushd.job import Try

_PAGE = """
    SELECT * FROM jobs
    WHERE (:before IS NULL OR number < :before) AND (:uid IS NULL OR uid = :uid)
    ORDER BY number DESC LIMIT :limit
"""
_PAGE_OF_STATES = """
    SELECT * FROM jobs
    WHERE state IN (SELECT value FROM json_each(:states))
        AND (:before IS NULL OR number < :before) AND (:uid IS NULL OR uid = :uid)
    ORDER BY number DESC LIMIT :limit
"""
_DELIVERIES = """
    SELECT * FROM deliveries WHERE job IN (SELECT value FROM json_each(?)) ORDER BY job, position
"""
_TRANSFERS = """
    SELECT waiters.*, transfers.digest, upload_sessions."offset" AS reached
    FROM deliveries
    JOIN waiters ON waiters.delivery = deliveries.id
    JOIN transfers ON transfers.id = waiters.transfer
    LEFT JOIN upload_sessions ON upload_sessions.transfer = transfers.id
    WHERE deliveries.job = ?
    ORDER BY waiters.delivery, waiters.position
"""
_OPEN = """
    SELECT state, count(*) AS number FROM deliveries
    WHERE state IN ('queued', 'running', 'held') GROUP BY state
"""

_decode_labels = msgspec.json.Decoder(dict[str, str]).decode


def job(connection: sqlite3.Connection, job_id: str) -> Job | None:
    """Read one job whole."""
    row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return None if row is None else whole(connection, row)


def whole(connection: sqlite3.Connection, row: sqlite3.Row) -> Job:
    """Read what belongs to the job in `row`: its deliveries, their transfers and their history."""
    transfers: dict[int, list[sqlite3.Row]] = {}
    for waiter in connection.execute(_TRANSFERS, (row["number"],)):
        transfers.setdefault(waiter["delivery"], []).append(waiter)
    history = histories(connection, row["number"])
    deliveries = connection.execute("SELECT * FROM deliveries WHERE job = ? ORDER BY position", (row["number"],))
    return _job(
        row,
        [
            _delivery(delivery, transfers.get(delivery["id"], ()), history.get(delivery["id"], ()))
            for delivery in deliveries
        ],
    )


def jobs(
    connection: sqlite3.Connection,
    *,
    states: Collection[JobState],
    after: str | None,
    limit: int,
    uid: int | None,
) -> Sequence[Job]:
    """Read a page of jobs, newest first, without their transfers and their history.

    Args:
        connection: where.
        states: only those in one of these states; empty for all.
        after: the last id of the page before.
        limit: the most to give.
        uid: only those of this submitter.

    Raises:
        RequestError: `request.not_found`, there is no job `after`.
    """
    before = None if after is None else number(connection, after)
    wanted = {"before": before, "uid": uid, "limit": limit, "states": msgspec.json.encode(list(states)).decode()}
    rows = connection.execute(_PAGE_OF_STATES if states else _PAGE, wanted).fetchall()
    deliveries: dict[int, list[Delivery]] = {row["number"]: [] for row in rows}
    for delivery in connection.execute(_DELIVERIES, (msgspec.json.encode(list(deliveries)).decode(),)):
        deliveries[delivery["job"]].append(_delivery(delivery, (), ()))
    return tuple(_job(row, deliveries[row["number"]]) for row in rows)


def number(connection: sqlite3.Connection, job_id: str) -> int:
    """Find a job's number in the database.

    Raises:
        RequestError: `request.not_found`.
    """
    row = connection.execute("SELECT number FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise RequestError(
            Code.REQUEST_NOT_FOUND, job_id, "there is no such job", hint="it may have been pruned; list the jobs"
        )
    return int(row["number"])


def queue(connection: sqlite3.Connection) -> Mapping[str, int]:
    """Count the deliveries that are not terminal, by state; each such state is named."""
    counts = {state.value: 0 for state in DeliveryState if not state.terminal}
    counts.update((row["state"], row["number"]) for row in connection.execute(_OPEN))
    return counts


def transfer_state(stored: TransferState, *, begun: bool, delivering: bool) -> TransferState:
    """Tell what a transfer does now: one that has not ended runs when its upload has begun and its delivery runs."""
    moving = stored is TransferState.PENDING and begun and delivering
    return TransferState.RUNNING if moving else stored


def _job(row: sqlite3.Row, deliveries: Sequence[Delivery]) -> Job:
    return Job(
        id=row["id"],
        state=JobState(row["state"]),
        source=row["source"],
        uid=row["uid"],
        priority=row["priority"],
        labels=_decode_labels(row["labels"]),
        digest=row["digest"],
        media_type=row["media_type"],
        size=row["size"],
        created_at=moment(row["created_at"]),
        deadline_at=moment(row["deadline_at"]),
        finished_at=moment_or_none(row["finished_at"]),
        deliveries=tuple(deliveries),
    )


def _delivery(row: sqlite3.Row, waiters: Sequence[sqlite3.Row], history: Sequence[Try]) -> Delivery:
    state = DeliveryState(row["state"])
    return Delivery(
        id=row["id"],
        destination=row["destination"],
        state=state,
        attempt=row["attempt"],
        digest=row["digest"],
        failure=_failure(row),
        not_before=moment_or_none(row["not_before"]),
        started_at=moment_or_none(row["started_at"]),
        finished_at=moment_or_none(row["finished_at"]),
        transfers=tuple(_transfer(waiter, delivering=state is DeliveryState.RUNNING) for waiter in waiters),
        history=tuple(history),
    )


def _failure(row: sqlite3.Row) -> Failure | None:
    if row["failure_code"] is None:
        return None
    return Failure(code=row["failure_code"], message=row["failure_message"], retryable=bool(row["failure_retryable"]))


def _transfer(row: sqlite3.Row, *, delivering: bool) -> Transfer:
    stored = TransferState(row["state"])
    reached = row["reached"]
    return Transfer(
        digest=row["digest"],
        media_type=row["media_type"],
        size=row["size"],
        state=transfer_state(stored, begun=reached is not None, delivering=delivering),
        done=row["size"] if stored.landed else reached or 0,
        sent=row["sent"],
    )
