"""What waits and runs, by registry: read for the status and the metrics from counts that triggers keep.

So it costs what registries and users there are, however many deliveries wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.job import DeliveryState
from pushd.store.moment import moment_or_none
from pushd.telemetry.standing import Backlog

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from datetime import datetime

_COUNTS = """
    SELECT registry, state, sum(number) AS number, sum(number * needing) AS needing FROM backlog
    GROUP BY registry, state
"""
_COUNTS_OF_USER = "SELECT registry, state, sum(number) AS number FROM backlog WHERE uid = ? GROUP BY registry, state"
# The first entry of the registry in an index that holds what waits and runs, and nothing else.
_SINCE = """
    SELECT min(since) AS since FROM deliveries
    WHERE registry = ? AND (state IN ('queued', 'running') OR (state = 'held' AND failure_code IS NOT NULL))
"""
_PAUSED = "SELECT registry FROM paused_registries"

_STATES = tuple(state for state in DeliveryState if not state.terminal)


def queue(connection: sqlite3.Connection, uid: int | None) -> Mapping[str, Mapping[str, int]]:
    """Count the deliveries that are not terminal, by registry and state; each such state is named."""
    rows = connection.execute(_COUNTS) if uid is None else connection.execute(_COUNTS_OF_USER, (uid,))
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        states = counts.setdefault(row["registry"], {state.value: 0 for state in _STATES})
        states[row["state"]] = row["number"]
    return counts


def backlog(connection: sqlite3.Connection) -> Mapping[str, Backlog]:
    """Read what has not ended, by registry; one that is paused is there though nothing waits for it."""
    paused = {row["registry"] for row in connection.execute(_PAUSED)}
    open_ones: dict[str, list[sqlite3.Row]] = {registry: [] for registry in paused}
    for row in connection.execute(_COUNTS):
        open_ones.setdefault(row["registry"], []).append(row)
    return {
        registry: _backlog(rows, _since(connection, registry), paused=registry in paused)
        for registry, rows in open_ones.items()
    }


def _since(connection: sqlite3.Connection, registry: str) -> datetime | None:
    return moment_or_none(connection.execute(_SINCE, (registry,)).fetchone()["since"])


def _backlog(rows: list[sqlite3.Row], since: datetime | None, *, paused: bool) -> Backlog:
    return Backlog(
        states={state.value: 0 for state in _STATES} | {row["state"]: row["number"] for row in rows},
        needing=sum(row["needing"] for row in rows),
        since=since,
        paused=paused,
    )
