"""A transaction under way, as the operations of the store see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.store import journal
from pushd.telemetry.events import Event

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from pushd.telemetry.events import Kind, Value


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

    def tell(self, kind: Kind, at: datetime, job: str, delivery: int | None = None, /, **fields: Value) -> None:
        """Write a durable event."""
        self.told.append(journal.record(self.connection, Event(kind, at, job, delivery, fields)))
