"""What goes when its time is over: jobs that ended, what only they needed, events, and beliefs nobody renewed.

A round is bounded, because others wait to write meanwhile. A job that has not ended is never touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pushd.store.moment import seconds
from pushd.work import Pruned

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pushd.store.transaction import Transaction
    from pushd.work import Retention

_DELIVERIES = 500
"""The most deliveries that go in a round, with their jobs and what hangs from them; one job always may."""
_EVENTS = 2000
"""The most events that go in a round."""
_BELIEFS = 500
"""The most that go in a round of what is believed of repositories and files, and of the order of tags."""
_BELIEF_AGE = 90 * 86_400.0
"""Seconds after which what was believed and not seen again is forgotten."""

_ENDED = """
    SELECT number, finished_at, (SELECT count(*) FROM deliveries WHERE job = number) AS deliveries
    FROM jobs WHERE finished_at IS NOT NULL ORDER BY finished_at, number LIMIT ?
"""
_ENDED_COUNT = "SELECT coalesce(sum(finished), 0) FROM submitters"
_MANIFESTS = "SELECT DISTINCT digest FROM documents WHERE job IN (SELECT value FROM json_each(?))"
_TRANSFERS = """
    SELECT DISTINCT waiters.transfer
    FROM json_each(?) AS gone
    CROSS JOIN deliveries ON deliveries.job = gone.value
    CROSS JOIN waiters ON waiters.delivery = deliveries.id
"""
_DROP_JOBS = "DELETE FROM jobs WHERE number IN (SELECT value FROM json_each(?))"
_DROP_MANIFESTS = """
    DELETE FROM manifests WHERE digest IN (SELECT value FROM json_each(?))
        AND NOT EXISTS (SELECT 1 FROM documents WHERE documents.digest = manifests.digest)
"""
_DROP_TRANSFERS = """
    DELETE FROM transfers WHERE id IN (SELECT value FROM json_each(?))
        AND NOT EXISTS (SELECT 1 FROM waiters WHERE waiters.transfer = transfers.id)
"""
_FIRST_EVENT = "SELECT min(seq) FROM events"
_NEWEST_EVENT = "SELECT max(seq) FROM events"
_FIRST_KEPT = "SELECT min(seq) FROM events WHERE seq > ? AND seq < ? AND at >= ?"
_DROP_EVENTS = "DELETE FROM events WHERE seq < ?"
_DROP_KNOWN = """
    DELETE FROM known_blobs WHERE (registry, digest, credential, uid, repository) IN (
        SELECT registry, digest, credential, uid, repository FROM known_blobs
        WHERE seen_at < ? ORDER BY seen_at LIMIT ?
    )
"""
_DROP_VALIDATED = """
    DELETE FROM validated_files WHERE (device, inode, "offset", length) IN (
        SELECT device, inode, "offset", length FROM validated_files
        WHERE validated_at < ? ORDER BY validated_at LIMIT ?
    )
"""
# Of a tag that a delivery was the last to put, when none that is left was submitted before it: none could come late.
_DROP_TAGS = """
    DELETE FROM tags WHERE destination IN (
        SELECT destination FROM tags
        WHERE delivery <= coalesce(
            (SELECT min(id) - 1 FROM deliveries), (SELECT seq FROM sqlite_sequence WHERE name = 'deliveries')
        )
        ORDER BY delivery LIMIT ?
    )
"""


def prune(transaction: Transaction, now: datetime, retention: Retention) -> Pruned:
    """Take away what is past its time, a bounded part of it."""
    at = seconds(now)
    jobs, more_jobs = _prune_jobs(transaction, at, retention)
    events, more_events = _prune_events(transaction, at, retention)
    more_beliefs = _forget(transaction, at - _BELIEF_AGE)
    return Pruned(jobs=jobs, events=events, more=more_jobs or more_events or more_beliefs)


def over(
    ended: Iterable[tuple[int, float, int]], *, before: float, excess: int, room: int
) -> tuple[Sequence[int], bool]:
    """Choose which jobs go.

    Args:
        ended: number, end in seconds, and deliveries of each job that ended, the first to end first.
        before: those that ended before this go.
        excess: so many go whenever they ended.
        room: deliveries that may go at a time, though one job always may.

    Returns:
        The numbers of those that go now, and whether more are to go later.
    """
    gone: list[int] = []
    for number, finished_at, deliveries in ended:
        if finished_at >= before and len(gone) >= excess:
            return gone, False
        room -= deliveries
        if gone and room < 0:
            return gone, True
        gone.append(number)
    return gone, False


def _prune_jobs(transaction: Transaction, at: float, retention: Retention) -> tuple[int, bool]:
    (count,) = transaction.execute(_ENDED_COUNT).fetchone()
    numbers, more = over(
        transaction.execute(_ENDED, (_DELIVERIES + 1,)),
        before=at - retention.job_age,
        excess=count - retention.job_count,
        room=_DELIVERIES,
    )
    if numbers:
        gone = _json(numbers)
        manifests = _json([digest for (digest,) in transaction.execute(_MANIFESTS, (gone,))])
        transfers = _json([transfer for (transfer,) in transaction.execute(_TRANSFERS, (gone,))])
        transaction.execute(_DROP_JOBS, (gone,))
        transaction.execute(_DROP_MANIFESTS, (manifests,))
        transaction.execute(_DROP_TRANSFERS, (transfers,))
    return len(numbers), more


def _prune_events(transaction: Transaction, at: float, retention: Retention) -> tuple[int, bool]:
    """Take the oldest events away, up to the first that is to be kept: what is left has no gap.

    So one that was told while the clock was ahead keeps those after it, until they are too many.
    """
    (first,) = transaction.execute(_FIRST_EVENT).fetchone()
    if first is None:
        return 0, False
    (newest,) = transaction.execute(_NEWEST_EVENT).fetchone()
    stop = min(first + _EVENTS, newest + 1)
    excess = newest - retention.event_count  # numbers without gaps: this one, and all before it, are too many
    (kept,) = transaction.execute(_FIRST_KEPT, (excess, stop, at - retention.event_age)).fetchone()
    gone = transaction.execute(_DROP_EVENTS, (stop if kept is None else kept,)).rowcount
    return gone, kept is None and stop <= newest


def _forget(transaction: Transaction, before: float) -> bool:
    """Forget beliefs nobody renewed, and the order of tags nobody can come late for; give whether there are more."""
    dropped = (
        transaction.execute(_DROP_KNOWN, (before, _BELIEFS)).rowcount,
        transaction.execute(_DROP_VALIDATED, (before, _BELIEFS)).rowcount,
        transaction.execute(_DROP_TAGS, (_BELIEFS,)).rowcount,
    )
    return max(dropped) == _BELIEFS


def _json(values: Sequence[object]) -> str:
    return msgspec.json.encode(values).decode()
