"""What waits and runs, by registry: read for the metrics, in one pass over what has not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.job import DeliveryState
from pushd.store.moment import moment
from pushd.telemetry.standing import Backlog

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

# The index holds what has not ended and nothing else. Left to itself SQLite walks the one that is in the order of
# GROUP BY, and with it every delivery there ever was.
_OPEN = """
    SELECT
        deliveries.registry, deliveries.state, count(*) AS number,
        sum(deliveries.state = 'held' AND deliveries.failure_code = 'registry.needs_credential') AS needing,
        min(
            CASE WHEN deliveries.state <> 'paused' AND (deliveries.state <> 'held' OR deliveries.failure_code NOT NULL)
            THEN jobs.deadline_at - jobs.lifetime END
        ) AS since
    FROM deliveries INDEXED BY deliveries_open JOIN jobs ON jobs.number = deliveries.job
    WHERE deliveries.state IN ('queued', 'running', 'held', 'paused')
    GROUP BY deliveries.registry, deliveries.state
"""
_PAUSED = "SELECT registry FROM paused_registries"

_STATES = tuple(state for state in DeliveryState if not state.terminal)


def backlog(connection: sqlite3.Connection) -> Mapping[str, Backlog]:
    """Read what has not ended, by registry; one that is paused is there though nothing waits for it."""
    paused = {row["registry"] for row in connection.execute(_PAUSED)}
    open_ones: dict[str, list[sqlite3.Row]] = {registry: [] for registry in paused}
    for row in connection.execute(_OPEN):
        open_ones.setdefault(row["registry"], []).append(row)
    return {registry: _backlog(rows, paused=registry in paused) for registry, rows in open_ones.items()}


def _backlog(rows: list[sqlite3.Row], *, paused: bool) -> Backlog:
    since = min((row["since"] for row in rows if row["since"] is not None), default=None)
    return Backlog(
        states={state.value: 0 for state in _STATES} | {row["state"]: row["number"] for row in rows},
        needing=sum(row["needing"] or 0 for row in rows),
        since=None if since is None else moment(since),
        paused=paused,
    )
