"""Credentials as they are kept: sealed, of one user, with one job or under a name.

One that is spent stays as a row without a secret, so that it can be told from none. Bytes that are gone are overwritten
in the database (`PRAGMA secure_delete`), and in its log when that is written over; sealed they are in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.oci.reference import Reference
from pushd.store.moment import moment, moment_or_none, seconds
from pushd.store.transaction import About
from pushd.telemetry.events import CREDENTIAL_SPENT
from pushd.work import Login, Sealed, covers

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pushd.store.transaction import Transaction

REFUSED = "was refused by the registry"
EXPIRED = "has expired"

# REPLACE takes the row away that stands in the way, and gives the new one a number of its own.
_PUT = """
    INSERT OR REPLACE INTO credentials (uid, job, name, scope, secret, created_at, expires_at)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_HANDED = """
    SELECT credentials.* FROM jobs JOIN credentials ON credentials.job = jobs.number
    WHERE jobs.id = ? ORDER BY credentials.number
"""
_LOGINS = "SELECT * FROM credentials WHERE uid = ? AND name IS NOT NULL ORDER BY name"
_SPEND = "UPDATE credentials SET secret = NULL WHERE number = ? AND secret IS NOT NULL RETURNING *"
_OVERDUE = """
    SELECT number FROM credentials WHERE secret IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?
"""
_FORGET = "UPDATE credentials SET secret = NULL WHERE job = ? AND secret IS NOT NULL"
_CAME = """
    SELECT scope FROM credentials
    WHERE number > :newest AND secret IS NOT NULL AND (expires_at IS NULL OR expires_at > :now) AND (
        (job = :job AND (:choice IN ('auto', 'handed') OR :reads))
        OR (uid = :uid AND name IS NOT NULL AND (:choice IN ('auto', name) OR (:reads AND :choice <> 'handed')))
    )
"""


def put(
    transaction: Transaction, sealed: Iterable[Sealed], *, uid: int, job: int | None = None, name: str | None = None
) -> None:
    """Write credentials of a user down, in place of those with the same job and scope, or with the same name.

    Args:
        transaction: under way.
        sealed: what is kept.
        uid: whose they are.
        job: the number of the job they were handed over with; or
        name: what they are stored under.
    """
    for one in sealed:
        expires_at = None if one.expires_at is None else seconds(one.expires_at)
        transaction.execute(_PUT, (uid, job, name, one.scope, one.secret, seconds(one.created_at), expires_at))


def handed(connection: sqlite3.Connection, job_id: str) -> Sequence[Sealed]:
    """Read what was handed over with a job, oldest first."""
    return tuple(_sealed(row) for row in connection.execute(_HANDED, (job_id,)))


def logins(connection: sqlite3.Connection, uid: int) -> Sequence[Login]:
    """Read what a user has stored, by name."""
    return tuple(Login(name=row["name"], sealed=_sealed(row)) for row in connection.execute(_LOGINS, (uid,)))


def spend(transaction: Transaction, number: int, now: datetime, *, reason: str = REFUSED) -> None:
    """Take the secret of one away, for good, and tell of it; one that has none, or is gone, is left alone."""
    for row in transaction.execute(_SPEND, (number,)).fetchall():
        transaction.tell(
            CREDENTIAL_SPENT,
            now,
            About(row["uid"], _job_id(transaction, row["job"])),
            uid=row["uid"],
            name=row["name"],
            registry=registry(row["scope"]),
            reason=reason,
        )


def expire(transaction: Transaction, now: datetime, *, limit: int) -> int:
    """Spend those whose time is over, the first to expire first; give how many, `limit` at most."""
    overdue = transaction.execute(_OVERDUE, (seconds(now), limit)).fetchall()
    for row in overdue:
        spend(transaction, row["number"], now, reason=EXPIRED)
    return len(overdue)


def forget(transaction: Transaction, job: int) -> None:
    """Take the secrets away of what was handed over with a job, which has ended."""
    transaction.execute(_FORGET, (job,))


def came(transaction: Transaction, delivery: sqlite3.Row, needed: str, now: datetime) -> bool:
    """Tell whether a credential that a delivery could use has come since it was claimed.

    Args:
        transaction: under way.
        delivery: its row, with the job's `credential` as `choice`.
        needed: what it is needed for, its destination or its source.
        now: the time.
    """
    facts = {
        "newest": delivery["newest_credential"],
        "now": seconds(now),
        "job": delivery["job"],
        "uid": delivery["uid"],
        "choice": delivery["choice"],
        "reads": needed != delivery["destination"],
    }
    rows = transaction.connection.execute(_CAME, facts)
    return any(reaches(row["scope"], needed) for row in rows)


def reaches(scope: str, needed: str) -> bool:
    """Whether a credential's scope takes in a destination, or a source in a registry."""
    reference = Reference.parse(needed)
    return covers(scope, reference.registry, reference.repository)


def registry(scope: str) -> str:
    """Give the `host[:port]` of a scope."""
    return scope.partition("/")[0]


def _job_id(transaction: Transaction, number: int | None) -> str | None:
    row = transaction.execute("SELECT id FROM jobs WHERE number = ?", (number,)).fetchone()
    return None if row is None else row["id"]


def _sealed(row: sqlite3.Row) -> Sealed:
    return Sealed(
        scope=row["scope"],
        secret=row["secret"],
        created_at=moment(row["created_at"]),
        expires_at=moment_or_none(row["expires_at"]),
        number=row["number"],
    )
