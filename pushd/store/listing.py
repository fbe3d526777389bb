"""Which jobs a query asks for: their numbers, newest first.

Whatever is asked for, one index leads: that of a label, a registry, a state or a user, else the jobs' own. It gives
jobs in their order, so that a page ends where it is full, and it is chosen here: SQLite knows nothing of how many have
what, and would guess.
"""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

    from pushd.job import JobState
    from pushd.work import JobQuery

_BY_LABEL = (
    "SELECT leading.job AS number FROM labels AS leading CROSS JOIN jobs ON jobs.number = leading.job"
    " WHERE leading.key = ? AND leading.value = ?"
)
_BY_REGISTRY = (
    "SELECT DISTINCT leading.job AS number FROM deliveries AS leading CROSS JOIN jobs ON jobs.number = leading.job"
    " WHERE leading.registry = ?"
)
_BY_STATE = "SELECT number FROM jobs WHERE state = ?"
_BY_STATE_AND_USER = "SELECT number FROM jobs WHERE state = ? AND uid = ?"
_BY_USER = "SELECT number FROM jobs WHERE uid = ?"
_BY_AGE = "SELECT number FROM jobs WHERE TRUE"

_OF_USER = " AND +jobs.uid = ?"  # the plus: of what leads already, not another index to lead
_OF_STATES = " AND +jobs.state IN (SELECT value FROM json_each(?))"
_WITH_LABEL = " AND EXISTS (SELECT 1 FROM labels WHERE key = ? AND value = ? AND job = jobs.number)"
_WITH_REGISTRY = " AND EXISTS (SELECT 1 FROM deliveries WHERE registry = ? AND job = jobs.number)"


def numbers(connection: sqlite3.Connection, query: JobQuery, *, before: int | None) -> Sequence[int]:
    """Read a page of the numbers of jobs, the largest first.

    Args:
        connection: where.
        query: which are wanted.
        before: the number after the first, that of the job `query.after`.
    """
    return nlargest(
        query.limit,
        (
            row["number"]
            for sql, values in statements(query, before=before)
            for row in connection.execute(sql, tuple(values))
        ),
    )


def statements(query: JobQuery, *, before: int | None) -> Sequence[tuple[str, Sequence[object]]]:
    """Give the statements, with their values, that together read what `numbers` gives: one, or one for each state."""
    if query.labels:
        (label, *others) = query.labels.items()
        plan = _Statement(_BY_LABEL, *label)
        for other in others:
            plan.add(_WITH_LABEL, *other)
        if query.registry is not None:
            plan.add(_WITH_REGISTRY, query.registry)
        return [plan.of(query).page("leading.job", before, query.limit)]
    if query.registry is not None:
        return [_Statement(_BY_REGISTRY, query.registry).of(query).page("leading.job", before, query.limit)]
    if query.states:
        return [_in_state(query, state).page("number", before, query.limit) for state in dict.fromkeys(query.states)]
    plan = _Statement(_BY_AGE) if query.uid is None else _Statement(_BY_USER, query.uid)
    return [plan.page("number", before, query.limit)]


def _in_state(query: JobQuery, state: JobState) -> _Statement:
    return _Statement(_BY_STATE, state) if query.uid is None else _Statement(_BY_STATE_AND_USER, state, query.uid)


class _Statement:
    """A statement as it grows."""

    def __init__(self, sql: str, *values: object) -> None:
        self._sql = sql
        self._values: list[object] = list(values)

    def add(self, condition: str, *values: object) -> None:
        self._sql += condition
        self._values += values

    def of(self, query: JobQuery) -> _Statement:
        """Keep those of the query's user and states."""
        if query.uid is not None:
            self.add(_OF_USER, query.uid)
        if query.states:
            self.add(_OF_STATES, _json(query.states))
        return self

    def page(self, number: str, before: int | None, limit: int) -> tuple[str, Sequence[object]]:
        """Keep those below `before`, the largest first."""
        if before is not None:
            self.add(f" AND {number} < ?", before)
        self.add(f" ORDER BY {number} DESC LIMIT ?", limit)
        return self._sql, self._values


def _json(states: Collection[JobState]) -> str:
    return msgspec.json.encode(list(states)).decode()
