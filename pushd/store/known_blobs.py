"""Which blobs repositories are believed to hold: what landed there, told apart by principal and credential.

A belief of one is never used for another: it would show who pushed what, or take a layer only someone else pushed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.store.moment import seconds

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime

    from pushd.store.transaction import Transaction
    from pushd.work import TransferKey

_REMEMBER = """
    INSERT INTO known_blobs (registry, digest, credential, uid, repository, seen_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (registry, digest, credential, uid, repository) DO UPDATE SET seen_at = excluded.seen_at
"""
_KNOWN = """
    SELECT 1 FROM known_blobs
    WHERE registry = ? AND digest = ? AND credential = ? AND uid = ? AND repository = ?
"""
_ELSEWHERE = """
    SELECT repository FROM known_blobs
    WHERE registry = ? AND digest = ? AND credential = ? AND uid = ? AND repository <> ?
    ORDER BY seen_at DESC, repository LIMIT 1
"""
_FORGET = """
    DELETE FROM known_blobs
    WHERE registry = ? AND digest = ? AND credential = ? AND uid = ? AND repository = ?
"""


def remember(transaction: Transaction, key: TransferKey, now: datetime) -> None:
    """Write down that the blob was seen in the repository."""
    transaction.execute(_REMEMBER, (*_columns(key), seconds(now)))


def known(connection: sqlite3.Connection, key: TransferKey) -> bool:
    """Read whether the blob was ever seen in the repository, and not forgotten since."""
    return connection.execute(_KNOWN, _columns(key)).fetchone() is not None


def where(connection: sqlite3.Connection, key: TransferKey) -> str | None:
    """Read in which repository of the registry the blob was seen: in the one it is to go to, or last."""
    return key.repository if known(connection, key) else elsewhere(connection, key)


def elsewhere(connection: sqlite3.Connection, key: TransferKey) -> str | None:
    """Read in which other repository of the registry the blob was seen last."""
    row = connection.execute(_ELSEWHERE, _columns(key)).fetchone()
    return None if row is None else str(row["repository"])


def forget(transaction: Transaction, keys: Iterable[TransferKey]) -> None:
    """Believe no longer that the repositories hold these blobs."""
    for key in keys:
        transaction.execute(_FORGET, _columns(key))


def _columns(key: TransferKey) -> tuple[str, str, str, int, str]:
    return key.registry, str(key.digest), key.credential, key.uid, key.repository
