"""What is known of registries as a whole: which were ever reached, and which are paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.job import DeliveryState
from pushd.store import settling
from pushd.store.moment import moment, seconds
from pushd.store.placing import close
from pushd.store.settling import settle
from pushd.store.transaction import About
from pushd.telemetry.events import REGISTRY_PAUSED, REGISTRY_RESUMED
from pushd.work import Outcome

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pushd.store.transaction import Transaction

_MEET = "INSERT INTO met_registries (registry) VALUES (?) ON CONFLICT DO NOTHING"
_MET = "SELECT EXISTS (SELECT 1 FROM met_registries WHERE registry = ?) AS met"
_PAUSE = """
    INSERT INTO paused_registries (registry, paused_at, uid) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING registry
"""
_RESUME = "DELETE FROM paused_registries WHERE registry = ? RETURNING registry"
_RUNNING = "SELECT id FROM deliveries WHERE state = 'running' AND registry = ? ORDER BY id"
_WAITING = """
    SELECT id FROM deliveries INDEXED BY deliveries_open
    WHERE registry = ? AND state IN ('queued', 'running', 'held', 'paused') AND state <> 'running'
    ORDER BY id LIMIT ?
"""
_READY = "SELECT DISTINCT job FROM deliveries WHERE registry = ? AND state = 'held' AND ready = 1"
_BITE = 500
"""Deliveries ended in one transaction: others write as well."""


def meet(transaction: Transaction, registry: str) -> None:
    """Write down that a delivery to `host[:port]` got past the first question."""
    transaction.execute(_MEET, (registry,))


def met(connection: sqlite3.Connection, registry: str) -> bool:
    """Read whether a delivery to `host[:port]` ever planned a blob to send."""
    return bool(connection.execute(_MET, (registry,)).fetchone()["met"])


def pause(transaction: Transaction, registry: str, now: datetime, *, by: int) -> Sequence[int]:
    """Let nothing more be claimed that goes to `host[:port]`; give the ids of the deliveries that run."""
    if transaction.execute(_PAUSE, (registry, seconds(now), by)).fetchall():
        transaction.tell(REGISTRY_PAUSED, now, About(), registry=registry, by=by)
    return tuple(row["id"] for row in transaction.execute(_RUNNING, (registry,)))


def cancel(transaction: Transaction, registry: str, now: datetime) -> tuple[int, Sequence[int], Sequence[int]]:
    """End deliveries that wait for `host[:port]`, a bounded number.

    Returns:
        How many; the ids of those that run; and of those that run elsewhere in vain, since their tags were to move with
        one that was ended now.
    """
    waiting = transaction.execute(_WAITING, (registry, _BITE)).fetchall()
    outcome, in_vain = Outcome(state=DeliveryState.CANCELLED), set[int]()
    for job in sorted({close(transaction, row["id"], outcome, now) for row in waiting}):
        settle(transaction, job, now)
        in_vain.update(settling.in_vain(transaction, job))
    running = tuple(row["id"] for row in transaction.execute(_RUNNING, (registry,)))
    return len(waiting), running, tuple(sorted(in_vain.difference(running)))


def resume(transaction: Transaction, registry: str, now: datetime, *, by: int) -> None:
    """Let a paused registry be served again, and tags move that waited for that alone."""
    if transaction.execute(_RESUME, (registry,)).fetchall():
        transaction.tell(REGISTRY_RESUMED, now, About(), registry=registry, by=by)
        for row in transaction.execute(_READY, (registry,)).fetchall():
            settle(transaction, row["job"], now)


def paused(connection: sqlite3.Connection) -> Mapping[str, datetime]:
    """Read which registries are paused, and since when."""
    rows = connection.execute("SELECT registry, paused_at FROM paused_registries ORDER BY registry")
    return {row["registry"]: moment(row["paused_at"]) for row in rows}
