# ruff: noqa: INP001, T201 (a script to be run and read, not a package; what it prints is its result)
"""Copy pushd's database while the daemon works, and put a copy back. Standard library only.

    python database.py schema DATABASE        the number of its schema; 0 for an empty file
    python database.py copy DATABASE COPY     whole and consistent, whatever is written meanwhile
    python database.py restore COPY DATABASE  the database that is there is set aside, not removed

To be run as the user the database belongs to. A copy holds no key: what callers' credentials are sealed with is
`sealing.key` beside the database, or with systemd.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import sqlite3
import sys
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

APPLICATION = int.from_bytes(b"push", "big")
"""What `PRAGMA application_id` of pushd's databases says."""

PATIENCE = 30.0
"""Seconds to wait for a lock somebody else holds."""


class Refused(Exception):  # noqa: N818 (it is what happened)
    """It cannot be done; the text says why, and what to do."""


def schema(database: Path) -> int:
    """Give the number of a database's schema (`PRAGMA user_version`).

    Raises:
        Refused: it is not a sound file of pushd's.
    """
    with closing(_opened(database)) as connection:
        return _schema(connection, database)


def copy(database: Path, target: Path) -> int:
    """Copy a database, while others may write to it, into a file that is not there yet.

    Returns:
        The bytes of the copy, which is durable.

    Raises:
        Refused: the target is there, or the database or the copy is not sound.
    """
    if target.exists():
        raise Refused(f"{target}: is there already; a copy is never replaced")
    with _beside(target) as fresh:
        with closing(_opened(database)) as connection:
            _schema(connection, database)
            connection.execute("VACUUM INTO ?", (str(fresh),))
        _check(fresh)
        _publish(fresh, target)
    return target.stat().st_size


def restore(source: Path, database: Path) -> Path | None:
    """Put a copy in the place of a database that no daemon uses.

    The events that follow are numbered anew, so their stream gets another id: a reader with a bookmark of what the
    copy does not know is told, and does not miss what comes under the same numbers.

    Returns:
        Where the database is that was there, or None.

    Raises:
        Refused: a daemon uses the database, or the copy is not sound.
    """
    with _locked(database.parent), _beside(database) as fresh:
        shutil.copyfile(source, fresh)
        _check(fresh)
        with closing(_opened(fresh)) as connection, connection:
            connection.execute("PRAGMA journal_mode = DELETE")  # one file, complete in itself
            connection.execute("UPDATE meta SET stream = lower(hex(randomblob(16)))")
        aside = _set_aside(database)
        _publish(fresh, database)
    return aside


def _schema(connection: sqlite3.Connection, path: Path) -> int:
    try:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise Refused(f"{path}: cannot be read ({error})") from error
    if tables and application != APPLICATION:
        raise Refused(f"{path}: is not a database of pushd")
    return int(version)


def _check(path: Path) -> None:
    with closing(_opened(path)) as connection:
        if not _schema(connection, path):
            raise Refused(f"{path}: is empty")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise Refused(f"{path}: is damaged ({verdict})")


def _opened(path: Path) -> sqlite3.Connection:
    """Open a database that is there, for writing: without that, SQLite cannot always read a write-ahead log."""
    try:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=PATIENCE, isolation_level=None)
    except sqlite3.Error as error:
        raise Refused(f"{path}: cannot be opened ({error})") from error


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Give the name of a file to make in the target's directory, of which nothing is left when that fails."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        yield fresh
    finally:
        for left in (fresh, *(_companion(fresh, suffix) for suffix in ("-journal", "-wal", "-shm"))):
            left.unlink(missing_ok=True)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a state directory, as a daemon does."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(f"{directory}: a daemon works on it; stop it first") from error
        yield
    finally:
        os.close(descriptor)


def _set_aside(database: Path) -> Path | None:
    """Rename a database with what belongs to it; the log first, so that it never meets another database."""
    if not database.exists():
        return None
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = database.with_name(f"{database.name}.aside-{stamp}")
    for suffix in ("-wal", "-shm", ""):
        if (part := _companion(database, suffix)).exists():
            part.rename(_companion(aside, suffix))
    return aside


def _companion(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}{suffix}")


def _publish(fresh: Path, target: Path) -> None:
    """Make a file durable and give it its name."""
    for path, flags in ((fresh, os.O_RDONLY), (target.parent, os.O_RDONLY | os.O_DIRECTORY)):
        descriptor = os.open(path, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if path is fresh:
            fresh.rename(target)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; exit 0 when it is done, 1 when it cannot be."""
    parser = argparse.ArgumentParser(prog="database.py", description="Copy pushd's database, and put a copy back.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, names in (("schema", ["database"]), ("copy", ["database", "copy"]), ("restore", ["copy", "database"])):
        added = verbs.add_parser(verb)
        for name in names:
            added.add_argument(name, type=Path)
    asked = parser.parse_args(argv)
    os.umask(0o077)  # whoever may read a database sees everybody's jobs
    try:
        if asked.verb == "schema":
            print(schema(asked.database))
        elif asked.verb == "copy":
            print(f"{asked.copy}: {copy(asked.database, asked.copy)} bytes")
        else:
            aside = restore(asked.copy, asked.database)
            print(f"{asked.database}: restored" + (f"; what was there is {aside}" if aside else ""))
    except (Refused, OSError, sqlite3.Error) as error:
        print(f"database.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
