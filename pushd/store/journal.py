"""The durable events: written in the transaction of the change they tell, read back by number."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from pushd.store.moment import moment, seconds
from pushd.telemetry.events import CATALOGUE, Event, Kind, Level

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from pushd.telemetry.events import Value

_decode_fields = msgspec.json.Decoder(dict[str, str | int | float | bool | None]).decode


def record(connection: sqlite3.Connection, event: Event) -> Event:
    """Write a durable event in the transaction under way and give it with its number."""
    cursor = connection.execute(
        "INSERT INTO events (at, name, job, delivery, fields) VALUES (?, ?, ?, ?, ?)",
        (
            seconds(event.at),
            event.kind.name,
            event.job,
            event.delivery,
            msgspec.json.encode(event.fields).decode(),
        ),
    )
    return replace(event, seq=cursor.lastrowid)


def events(connection: sqlite3.Connection, after: int, job_id: str | None, limit: int) -> Sequence[Event]:
    """Read events numbered above `after`, in order, at most `limit`; those of one job, or all."""
    if job_id is None:
        rows = connection.execute("SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
    else:
        rows = connection.execute(
            "SELECT * FROM events WHERE job = ? AND seq > ? ORDER BY seq LIMIT ?", (job_id, after, limit)
        )
    return tuple(_event(row) for row in rows)


def last_event(connection: sqlite3.Connection) -> int:
    """Read the newest number given, 0 when there is none.

    From AUTOINCREMENT's own book, because the newest event itself may be gone.
    """
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return 0 if row is None else int(row["seq"])


def _event(row: sqlite3.Row) -> Event:
    fields = _decode_fields(row["fields"])
    return Event(_kind(row["name"], fields), moment(row["at"]), row["job"], row["delivery"], fields, seq=row["seq"])


def _kind(name: str, fields: Mapping[str, Value]) -> Kind:
    """Find the catalogue's entry, widened to what is stored: a newer release may have written it."""
    kind = CATALOGUE.get(name) or Kind(name, Level.INFO, name, frozenset(), durable=True)
    return kind if fields.keys() <= kind.fields else replace(kind, fields=kind.fields | fields.keys())
