"""Claims: who may work on a delivery, and how long that is true."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pushd.errors import Code, StoreError
from pushd.job import Validate, Verify
from pushd.oci.compression import Encoding
from pushd.store import crashes, registries, submitters
from pushd.store.deliveries import requeue
from pushd.store.moment import moment, moment_or_none, seconds
from pushd.store.placing import about
from pushd.store.settling import settle
from pushd.telemetry.events import DELIVERY_STARTED
from pushd.work import Claim, Reach

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from pushd.store.transaction import Transaction

_BITE = 200
"""Held deliveries that are queued again at a time: ten thousand that were asked for the same hour hold up nobody."""

_RIPEN = """
    UPDATE deliveries
    SET state = 'queued', not_before = NULL, failure_code = NULL, failure_message = NULL, failure_retryable = NULL
    WHERE id IN (SELECT id FROM deliveries WHERE state = 'held' AND not_before <= ? ORDER BY not_before LIMIT ?)
    RETURNING job
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
# The oldest delivery of each user, among those of the largest priority that wait for a registry; likewise one search
# for each user.
_HEADS = """
    WITH RECURSIVE heads (id, priority, uid) AS (
        SELECT * FROM (
            SELECT id, priority, uid FROM deliveries
            WHERE state = 'queued' AND registry = ?1 ORDER BY priority DESC, uid, id LIMIT 1
        )
        UNION ALL
        SELECT next.id, next.priority, next.uid
        FROM heads CROSS JOIN deliveries AS next ON next.id = (
            SELECT later.id FROM deliveries AS later
            WHERE later.state = 'queued' AND later.registry = ?1 AND later.priority = heads.priority
                AND later.uid > heads.uid
            ORDER BY later.uid, later.id LIMIT 1
        )
    )
    SELECT heads.id, heads.priority, submitters.turn
    FROM heads CROSS JOIN submitters ON submitters.uid = heads.uid
"""
# Those of which only the tag is left, now that the others of their job are ready as well.
_MOVING = """
    SELECT id FROM deliveries
    WHERE ready = 1 AND state = 'queued' AND registry NOT IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?
"""
_TAKE = """
    UPDATE deliveries
    SET state = 'running', attempt = attempt + 1, progressed = 0, epoch = ?, started_at = coalesce(started_at, ?),
        newest_credential = coalesce((SELECT max(number) FROM credentials), 0)
    WHERE id = ?
"""
_STAND = """
    UPDATE waiters SET claimed_offset = coalesce(
        (SELECT "offset" FROM upload_sessions WHERE upload_sessions.transfer = waiters.transfer), 0
    )
    WHERE delivery = ?
"""
_TAKEN = """
    SELECT deliveries.*, jobs.id AS job_id, jobs.source, jobs.gids, jobs.administrator, jobs.spool, jobs.verify,
        jobs.validate, jobs.encoding, jobs.if_tag, jobs.credential, jobs.traceparent,
        jobs.tags = 'together' AND (SELECT count(*) FROM deliveries AS one WHERE one.job = jobs.number) > 1 AS together,
        jobs.ready_at IS NOT NULL AS decided,
        (SELECT max(created_at) FROM credentials WHERE credentials.job = deliveries.job) AS handed_at
    FROM deliveries JOIN jobs ON jobs.number = deliveries.job WHERE deliveries.id = ?
"""
_HELD_UNTIL = "SELECT min(not_before) AS due FROM deliveries WHERE state = 'held' AND not_before > ?"
_RUNNING_UNDER = "SELECT job FROM deliveries WHERE id = ? AND epoch = ? AND attempt = ? AND state = 'running'"

_decode_gids = msgspec.json.Decoder(list[int]).decode


def claim_all(
    transaction: Transaction,
    epoch: int,
    now: datetime,
    *,
    free: Mapping[str, int],
    default: int,
    most: int,
    shut: Collection[str] = (),
) -> tuple[Sequence[Claim], datetime | None]:
    """Take the next deliveries that may run, `most` of them at once, and give them with when the next is due.

    Tags that move go first, and take no place: they are to move as near to one another as can be.
    """
    left = dict(free)
    closed = {*shut, *registries.paused(transaction.connection)}
    moving = transaction.execute(_MOVING, (msgspec.json.encode(sorted(closed)).decode(), most)).fetchall()
    taken = [_take(transaction, row["id"], epoch, now) for row in moving]
    while len(taken) < most:
        one = _claim(transaction, epoch, now, free=left, default=default, closed=closed)
        if one is None:
            break
        left[one.registry] = left.get(one.registry, default) - 1
        taken.append(one)
    return taken, _due(transaction.connection, now)


def _claim(
    transaction: Transaction,
    epoch: int,
    now: datetime,
    *,
    free: Mapping[str, int],
    default: int,
    closed: Collection[str],
) -> Claim | None:
    """Take the next delivery that may run, marking it running, or give None.

    The cost grows with the number of registries something waits for, and of users who wait for each, not with the
    queue nor with the history.
    """
    more, chosen = True, None
    while more and chosen is None:
        more = _ripen(transaction, now)
        chosen = _choose(transaction, free, default, closed)
    return None if chosen is None else _take(transaction, chosen, epoch, now)


def _ripen(transaction: Transaction, now: datetime) -> bool:
    """Queue held deliveries whose time has come, a bounded number; give whether there may be more."""
    ripe = transaction.execute(_RIPEN, (seconds(now), _BITE)).fetchall()
    for job in {row["job"] for row in ripe}:
        settle(transaction, job, now)
    return len(ripe) == _BITE


def _choose(transaction: Transaction, free: Mapping[str, int], default: int, closed: Collection[str]) -> int | None:
    heads: list[Head] = []
    for (registry,) in transaction.execute(_REGISTRIES).fetchall():
        if free.get(registry, default) > 0 and registry not in closed:
            rows = transaction.execute(_HEADS, (registry,))
            heads.extend(Head(row["priority"], row["turn"], row["id"]) for row in rows)
    return first(heads)


class Head(NamedTuple):
    """The delivery that is next of those of one user that wait for one registry.

    Attributes:
        turn: when it was the user's turn last; the larger the later.
        delivery: its id.
    """

    priority: int
    turn: int
    delivery: int


def first(heads: Iterable[Head]) -> int | None:
    """Choose a delivery: of the largest priority, of the user whose turn is longest ago, the oldest."""
    chosen = min(heads, key=lambda head: (-head.priority, head.turn, head.delivery), default=None)
    return None if chosen is None else chosen.delivery


def _due(connection: sqlite3.Connection, now: datetime) -> datetime | None:
    """Read the earliest `not_before` after `now` of a held delivery."""
    row = connection.execute(_HELD_UNTIL, (seconds(now),)).fetchone()
    return None if row["due"] is None else moment(row["due"])


def reach(*, together: bool, decided: bool) -> Reach:
    """Decide how far a delivery goes.

    Args:
        together: whether its tag is to move with others.
        decided: whether that was decided.
    """
    if not together:
        return Reach.WHOLE
    return Reach.TAG if decided else Reach.READY


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
    """Put a claimed delivery back, because the daemon stops in good order, or its job or registry is paused."""
    crashes.pardon(transaction, claim.delivery_id)
    requeue(transaction, claim.delivery_id, now)


def _take(transaction: Transaction, delivery: int, epoch: int, now: datetime) -> Claim:
    transaction.execute(_TAKE, (epoch, seconds(now), delivery))
    transaction.execute(_STAND, (delivery,))
    row = transaction.execute(_TAKEN, (delivery,)).fetchone()
    submitters.take_turn(transaction, row["uid"])
    settle(transaction, row["job"], now)
    transaction.tell(
        DELIVERY_STARTED,
        now,
        about(row),
        destination=row["destination"],
        registry=row["registry"],
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
        validate=Validate(row["validate"]),
        gids=frozenset(_decode_gids(row["gids"])),
        administrator=bool(row["administrator"]),
        encoding=None if row["encoding"] is None else Encoding(row["encoding"]),
        spool=row["spool"],
        if_tag=row["if_tag"],
        reach=reach(together=bool(row["together"]), decided=bool(row["decided"])),
        credential=row["credential"],
        handed_at=moment_or_none(row["handed_at"]),
        traceparent=row["traceparent"],
    )
