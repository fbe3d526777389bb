"""Parts of files whose digest is known, for as long as nothing about the file says that it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.oci.digest import Digest
from pushd.store.moment import seconds

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from pushd.store.transaction import Transaction
    from pushd.work import FileIdentity

_FIND = """
    SELECT size, mtime_ns, ctime_ns, digest FROM validated_files
    WHERE device = ? AND inode = ? AND "offset" = ? AND length = ?
"""
_SAVE = """
    INSERT INTO validated_files
    (device, inode, "offset", length, size, mtime_ns, ctime_ns, digest, validated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (device, inode, "offset", length) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
        ctime_ns = excluded.ctime_ns, digest = excluded.digest, validated_at = excluded.validated_at
"""


def find(connection: sqlite3.Connection, identity: FileIdentity) -> Digest | None:
    """Read the digest this part of the file was found to have, if the file is what it was then."""
    row = connection.execute(_FIND, _place(identity)).fetchone()
    # Compared here: any number is a time a file may carry, not every one an INTEGER of the database.
    if row is None or (row["size"], row["mtime_ns"], row["ctime_ns"]) != _look(identity):
        return None
    return Digest.parse(row["digest"])


def save(transaction: Transaction, identity: FileIdentity, digest: Digest, now: datetime) -> None:
    """Write down which digest this part of the file was found to have; what was known of it before goes."""
    transaction.execute(_SAVE, (*_place(identity), *_look(identity), str(digest), seconds(now)))


def _place(identity: FileIdentity) -> tuple[str, str, int, int]:
    return str(identity.device), str(identity.inode), identity.offset, identity.length


def _look(identity: FileIdentity) -> tuple[int, int, int]:
    return identity.size, identity.mtime_ns, identity.ctime_ns
