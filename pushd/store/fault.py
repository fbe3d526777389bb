"""Faults of SQLite and the disk, said in pushd's own codes."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import TYPE_CHECKING

from pushd.errors import Code, StoreError

if TYPE_CHECKING:
    from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


def sqlite_fault(error: sqlite3.Error, path: Path) -> Exception:
    """Say what a fault of the database `path` is.

    Returns:
        A fresh StoreError caused by `error` (`store.full`, `store.damaged`, `store.unavailable`), or `error` itself
        when it is neither the disk's nor the file's fault but a defect of ours, such as a constraint that broke.
    """
    fault = _fault(error, path)
    if fault is None:
        return error
    fault.__cause__ = error
    return fault


def _fault(error: sqlite3.Error, path: Path) -> StoreError | None:
    code = getattr(error, "sqlite_errorcode", None)  # absent where the module itself refused, not the library
    if code is None:
        return None
    # SQLite says "full" of the files it writes; the shared memory beside them grows by a code of its own.
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE):
        return full(path)
    primary = code & 0xFF  # https://www.sqlite.org/rescode.html, "Extended Result Codes"
    if primary in _DAMAGED:
        return damaged(path, str(error))
    if primary in _UNAVAILABLE:
        return StoreError(
            Code.STORE_UNAVAILABLE,
            str(path),
            f"the database cannot be used ({error.sqlite_errorname}: {error})",
            hint="see whether the disk under it is well and whether something else holds the file",
        )
    return None


def os_fault(error: OSError, path: Path) -> StoreError:
    """Say what the operating system's refusal means for the store at `path`."""
    if error.errno in _FULL:
        return full(path)
    reason = os.strerror(error.errno) if error.errno is not None else "refused"
    return StoreError(
        Code.STORE_UNAVAILABLE,
        str(error.filename or path),
        f"cannot be used ({reason})",
        hint="the daemon's user must be able to write there",
    )


def full(path: Path) -> StoreError:
    """Say that there is no space left."""
    return StoreError(
        Code.STORE_FULL,
        str(path),
        "the disk is full; nothing was written",
        hint="free some space and try again",
    )


def damaged(path: Path, detail: str) -> StoreError:
    """Say that the file is not, or no longer, a sound database."""
    return StoreError(
        Code.STORE_DAMAGED,
        str(path),
        f"the database is damaged ({detail})",
        hint="it was left as it is: restore a backup, or move it away with its -wal and -shm files to start empty",
    )
