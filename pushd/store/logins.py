"""What users store under a name for all their jobs, and what goes on when they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, RequestError
from pushd.store import credentials
from pushd.store.deliveries import supply
from pushd.store.transaction import About
from pushd.telemetry.events import CREDENTIAL_REMOVED, CREDENTIAL_STORED

if TYPE_CHECKING:
    from datetime import datetime

    from pushd.store.transaction import Transaction
    from pushd.work import Sealed

_OTHERS = "SELECT count(*) AS number FROM credentials WHERE uid = ? AND name <> ?"
_REMOVE = "DELETE FROM credentials WHERE uid = ? AND name = ? RETURNING scope"


def store(transaction: Transaction, uid: int, name: str, sealed: Sealed, now: datetime, *, limit: int) -> int:
    """Store a user's credential under a name, in place of the one of that name.

    Returns:
        How many of their deliveries that waited for one go on.

    Raises:
        RequestError: `request.limit`, they have `limit` others already.
    """
    (others,) = transaction.execute(_OTHERS, (uid, name)).fetchone()
    if others >= limit:
        raise RequestError(
            Code.REQUEST_LIMIT,
            f"user {uid}",
            f"has {others} logins already, and may not have more",
            hint="remove one that is no longer needed, with `pushctl logout`",
        )
    credentials.put(transaction, [sealed], uid=uid, name=name)
    registry = credentials.registry(sealed.scope)
    transaction.tell(CREDENTIAL_STORED, now, About(uid), uid=uid, name=name, registry=registry)
    return supply(transaction, uid, [sealed.scope], now, name=name)


def remove(transaction: Transaction, uid: int, name: str, now: datetime) -> bool:
    """Remove a user's credential; give whether there was one."""
    removed = transaction.execute(_REMOVE, (uid, name)).fetchall()
    for row in removed:
        registry = credentials.registry(row["scope"])
        transaction.tell(CREDENTIAL_REMOVED, now, About(uid), uid=uid, name=name, registry=registry)
    return bool(removed)
