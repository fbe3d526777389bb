"""Jobs as they are read: whole, in pages, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pushd.errors import Code, RequestError
from pushd.job import (
    Compress,
    Delivery,
    DeliveryState,
    Failure,
    Job,
    JobState,
    Retain,
    Tags,
    Transfer,
    TransferState,
    Validate,
)
from pushd.store import listing
from pushd.store.history import histories
from pushd.store.moment import moment, moment_or_none, seconds
from pushd.work import Late

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from pushd.job import Try
    from pushd.work import JobQuery

_JOB = "SELECT * FROM jobs WHERE id = ?"
_NUMBERED = "SELECT * FROM jobs WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number DESC"
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
_OLDEST = "SELECT created_at FROM jobs WHERE finished_at IS NULL ORDER BY number LIMIT 1"
_OLDEST_OF_USER = "SELECT created_at FROM jobs WHERE uid = ? AND state = ? ORDER BY number LIMIT 1"
_LATE = """
    SELECT id, max(created_at, coalesce(not_before, created_at)) AS since
    FROM jobs INDEXED BY jobs_by_wait
    WHERE state IN ('queued', 'running', 'held') AND paused_at IS NULL AND since <= ?
    ORDER BY since, number LIMIT 1
"""
_LATE_COUNT = """
    SELECT count(*) AS jobs FROM jobs INDEXED BY jobs_by_wait
    WHERE state IN ('queued', 'running', 'held') AND paused_at IS NULL
        AND max(created_at, coalesce(not_before, created_at)) <= ?
"""
_UNNEEDED = """
    SELECT DISTINCT spool FROM jobs WHERE spool IN (SELECT value FROM json_each(?)) AND NOT EXISTS (
        SELECT 1 FROM jobs AS living
        WHERE living.spool = jobs.spool AND living.spool IS NOT NULL AND living.finished_at IS NULL
    )
"""
_SPOOLED = "SELECT spool FROM jobs INDEXED BY jobs_spooled WHERE spool IS NOT NULL AND finished_at IS NULL"

_decode_labels = msgspec.json.Decoder(dict[str, str]).decode
_decode_platforms = msgspec.json.Decoder(tuple[str, ...]).decode


def job(connection: sqlite3.Connection, job_id: str) -> Job | None:
    """Read one job whole."""
    found = connection.execute(_JOB, (job_id,)).fetchone()
    return None if found is None else whole(connection, found)


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


def jobs(connection: sqlite3.Connection, query: JobQuery) -> Sequence[Job]:
    """Read a page of jobs, newest first, without their transfers and their history.

    Raises:
        RequestError: `request.not_found`, there is no job `query.after`, or it is not of `query.uid`.
    """
    numbers = listing.numbers(connection, query, before=_before(connection, query))
    wanted = msgspec.json.encode(numbers).decode()
    deliveries: dict[int, list[Delivery]] = {number: [] for number in numbers}
    for delivery in connection.execute(_DELIVERIES, (wanted,)):
        deliveries[delivery["job"]].append(_delivery(delivery, (), ()))
    return tuple(_job(row, deliveries[row["number"]]) for row in connection.execute(_NUMBERED, (wanted,)))


def row(connection: sqlite3.Connection, job_id: str) -> sqlite3.Row:
    """Find a job.

    Raises:
        RequestError: `request.not_found`.
    """
    found: sqlite3.Row | None = connection.execute(_JOB, (job_id,)).fetchone()
    if found is None:
        raise _not_found(job_id)
    return found


def oldest(connection: sqlite3.Connection, uid: int | None) -> datetime | None:
    """Read when the oldest job that has not ended was submitted."""
    if uid is None:
        found = connection.execute(_OLDEST).fetchall()
    else:
        states = [state for state in JobState if not state.terminal]
        found = [row for state in states for row in connection.execute(_OLDEST_OF_USER, (uid, state))]
    return min((moment(row["created_at"]) for row in found), default=None)


def late(connection: sqlite3.Connection, before: datetime) -> Late | None:
    """Read the jobs that might have begun before then and have not ended, but for those that are paused."""
    row = connection.execute(_LATE, (seconds(before),)).fetchone()
    if row is None:
        return None
    (count,) = connection.execute(_LATE_COUNT, (seconds(before),)).fetchone()
    return Late(oldest=row["id"], since=moment(row["since"]), jobs=count)


def spooled(connection: sqlite3.Connection) -> frozenset[str]:
    """Read the ids of the spool entries that jobs need which have not ended."""
    return frozenset(row["spool"] for row in connection.execute(_SPOOLED))


def unneeded(connection: sqlite3.Connection, entries: Collection[str]) -> frozenset[str]:
    """Read which of these spool entries had jobs that needed them, all of which have ended."""
    wanted = msgspec.json.encode(list(entries)).decode()
    return frozenset(row["spool"] for row in connection.execute(_UNNEEDED, (wanted,)))


def transfer_state(stored: TransferState, *, begun: bool, delivering: bool) -> TransferState:
    """Tell what a transfer does now: one that has not ended runs when its upload has begun and its delivery runs."""
    moving = stored is TransferState.PENDING and begun and delivering
    return TransferState.RUNNING if moving else stored


def _before(connection: sqlite3.Connection, query: JobQuery) -> int | None:
    if query.after is None:
        return None
    last = row(connection, query.after)
    if query.uid not in (None, last["uid"]):
        raise _not_found(query.after)
    return int(last["number"])


def _not_found(job_id: str) -> RequestError:
    return RequestError(
        Code.REQUEST_NOT_FOUND, job_id, "there is no such job", hint="it may have been pruned; list the jobs"
    )


def _job(row: sqlite3.Row, deliveries: Sequence[Delivery]) -> Job:
    return Job(
        id=row["id"],
        state=JobState(row["state"]),
        source=row["source"],
        uid=row["uid"],
        priority=row["priority"],
        labels=_decode_labels(row["labels"]),
        digest=row["digest"] if row["encoding"] is None else None,
        media_type=row["media_type"],
        size=row["size"],
        created_at=moment(row["created_at"]),
        deadline_at=moment(row["deadline_at"]),
        finished_at=moment_or_none(row["finished_at"]),
        deliveries=tuple(deliveries),
        not_before=moment_or_none(row["not_before"]),
        if_tag=row["if_tag"],
        retain=Retain(row["retain"]),
        paused_at=moment_or_none(row["paused_at"]),
        platforms=_decode_platforms(row["platforms"]),
        validate=Validate(row["validate"]),
        compress=Compress(row["compress"]),
        tags=Tags(row["tags"]),
        ready_at=moment_or_none(row["ready_at"]),
        referrers=row["referrers"],
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
        ready=bool(row["ready"]),
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
        resumed=row["resumed"],
    )
