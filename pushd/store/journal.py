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

_OF_JOB = """
    SELECT * FROM events WHERE job = :job AND seq > :after AND (:uid IS NULL OR uid = :uid) ORDER BY seq LIMIT :limit
"""
_OF_USER = "SELECT * FROM events WHERE uid = :uid AND seq > :after ORDER BY seq LIMIT :limit"
_OF_ALL = "SELECT * FROM events WHERE seq > :after ORDER BY seq LIMIT :limit"
_TOLD = """
    SELECT (SELECT min(seq) FROM events) AS oldest,
        (SELECT seq FROM sqlite_sequence WHERE name = 'events') AS newest
"""

_decode_fields = msgspec.json.Decoder(dict[str, str | int | float | bool | None]).decode


def record(connection: sqlite3.Connection, event: Event) -> Event:
    """Write a durable event in the transaction under way and give it with its number."""
    cursor = connection.execute(
        "INSERT INTO events (at, name, uid, job, delivery, trace, fields) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            seconds(event.at),
            event.kind.name,
            event.uid,
            event.job,
            event.delivery,
            event.trace,
            msgspec.json.encode(event.fields).decode(),
        ),
    )
    # By hand: `replace` takes three times as long, and there are ten events and more to a job.
    return Event(
        event.kind,
        event.at,
        event.job,
        event.delivery,
        event.fields,
        seq=cursor.lastrowid,
        uid=event.uid,
        trace=event.trace,
    )


def events(
    connection: sqlite3.Connection, after: int, *, job_id: str | None, uid: int | None, limit: int
) -> Sequence[Event]:
    """Read events numbered above `after`, in order, at most `limit`.

    Args:
        connection: where.
        after: the number before the first.
        job_id: only those of this job.
        uid: only those of this user's jobs; of the daemon's own affairs none.
        limit: the most to give.
    """
    if job_id is not None:
        found = connection.execute(_OF_JOB, {"job": job_id, "uid": uid, "after": after, "limit": limit})
    elif uid is not None:
        found = connection.execute(_OF_USER, {"uid": uid, "after": after, "limit": limit})
    else:
        found = connection.execute(_OF_ALL, {"after": after, "limit": limit})
    return tuple(_event(row) for row in found)


def told(connection: sqlite3.Connection) -> tuple[int, int]:
    """Read the numbers of the oldest event that is left, and of the newest there ever was.

    The newest from AUTOINCREMENT's own book, because the event itself may be gone.
    """
    row = connection.execute(_TOLD).fetchone()
    newest = int(row["newest"] or 0)
    return newest + 1 if row["oldest"] is None else int(row["oldest"]), newest


def _event(row: sqlite3.Row) -> Event:
    fields = _decode_fields(row["fields"])
    kind = _kind(row["name"], fields)
    return Event(
        kind,
        moment(row["at"]),
        row["job"],
        row["delivery"],
        fields,
        seq=row["seq"],
        uid=row["uid"],
        trace=row["trace"],
    )


def _kind(name: str, fields: Mapping[str, Value]) -> Kind:
    """Find the catalogue's entry, widened to what is stored: a newer release may have written it."""
    kind = CATALOGUE.get(name) or Kind(name, Level.INFO, name, frozenset(), durable=True)
    return kind if fields.keys() <= kind.fields else replace(kind, fields=kind.fields | fields.keys())
