"""A transaction under way, as the operations of the store see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushd.store import journal
from pushd.telemetry.events import Event

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from pushd.telemetry.events import Kind, Value


@dataclass(frozen=True, slots=True)
class About:
    """What an event tells of.

    Attributes:
        uid: whose job it is; None for the daemon's own affairs.
        job: the job's id.
        delivery: the delivery's id.
        trace: the id of the job's trace.
    """

    uid: int | None = None
    job: str | None = None
    delivery: int | None = None
    trace: str | None = None


class Transaction:
    """Statements, and the events that tell of them.

    Attributes:
        connection: for what only reads.
        told: the events told so far, numbered. They are published when the transaction is durable, else never.
    """

    __slots__ = ("connection", "told")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.told: list[Event] = []

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self.connection.execute(sql, parameters)

    def tell(self, kind: Kind, at: datetime, about: About, /, **fields: Value) -> None:
        """Write a durable event."""
        event = Event(kind, at, about.job, about.delivery, fields, uid=about.uid, trace=about.trace)
        self.told.append(journal.record(self.connection, event))
