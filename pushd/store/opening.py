"""Opening the database: nothing is trusted, nothing unreadable is ever deleted."""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pushd.errors import Code, StoreError
from pushd.store import crashes, schema
from pushd.store.fault import damaged, os_fault, sqlite_fault
from pushd.store.lock import StateLock
from pushd.store.soundness import Soundness
from pushd.store.writing import commit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from pushd.store.answer import Answer
    from pushd.store.transaction import Transaction
    from pushd.telemetry.events import Event

_BUSY_TIMEOUT = 5.0
"""Seconds to wait for a lock: only a person's own tool can hold one, the daemon's writer is alone."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A database ready for use, owned by this process.

    Attributes:
        path: the file.
        lock: held on the state directory.
        writer: the connection that writes.
        reader: the connection that cannot.
        epoch: the number of this life.
        stream: the id of the stream the events are numbered in.
        told: the events of what became of the deliveries an earlier life left running.
    """

    path: Path
    lock: StateLock
    writer: sqlite3.Connection
    reader: sqlite3.Connection
    epoch: int
    stream: str
    told: Sequence[Event]

    def close(self) -> None:
        """Close the connections, the writing one last: it moves what is left of the log into the file."""
        self.reader.close()
        self.writer.close()
        self.let_go(sound=True)

    def let_go(self, *, sound: bool) -> None:
        """Let the state directory go, the connections being closed. Idempotent.

        Args:
            sound: whether no damage was found in the file: then the next start need not look for any.
        """
        if sound and self.lock.held:
            Soundness(self.path).vouch()
        self.lock.release()


def open_database(state_dir: Path, now: datetime) -> Opened:
    """Lock the state directory, check, migrate and recover the database in it. Blocks.

    Args:
        state_dir: created with mode 0700 when missing.
        now: when deliveries left running go back to the queue, or are set aside.

    Raises:
        StoreError: `store.unavailable`, another daemon has it or the files cannot be used; `store.damaged`;
            `store.newer`; `store.full`.
    """
    path = state_dir.absolute() / "pushd.db"
    with ExitStack() as undo:
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = StateLock(state_dir / "lock")
            undo.callback(lock.release)
            sound = Soundness(path).vouched()
            _make_private(path)
            writer = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
            undo.callback(writer.close)
            writer.row_factory = sqlite3.Row
            _prepare(writer, path, sound=sound)
            life = _begin_life(writer, path, now)
            reader = sqlite3.connect(
                f"{path.as_uri()}?mode=ro",
                uri=True,
                timeout=_BUSY_TIMEOUT,
                isolation_level=None,
                check_same_thread=False,
            )
            undo.callback(reader.close)
            reader.row_factory = sqlite3.Row
            reader.execute("PRAGMA query_only = ON")
            (stream,) = reader.execute("SELECT stream FROM meta").fetchone()
        except sqlite3.Error as error:
            fault = sqlite_fault(error, path)
            if fault is error:
                raise
            raise fault from error
        except OSError as error:
            raise os_fault(error, path) from error
        undo.pop_all()
    return Opened(path, lock, writer, reader, cast("int", life.value), stream, life.told)


def _make_private(path: Path) -> None:
    """Create the file, or find it, readable by its owner alone; SQLite gives its companions the same mode."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(file, 0o600)
    finally:
        os.close(file)


def _prepare(connection: sqlite3.Connection, path: Path, *, sound: bool = False) -> None:
    steps = schema.migrations()
    _check(connection, path, known=len(steps), sound=sound)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            Code.STORE_UNAVAILABLE,
            str(path),
            "the filesystem cannot hold a write-ahead log",
            hint="put the state directory on a local filesystem",
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")  # a credential that is gone leaves nothing there
    connection.execute("PRAGMA foreign_keys = OFF")  # on by default in some builds
    if schema.version(connection) < len(steps):
        schema.migrate(connection, steps)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log holds all that was built; disks may be small
    connection.execute("PRAGMA foreign_keys = ON")  # after the migrations: a table they rebuild has references


def _check(connection: sqlite3.Connection, path: Path, *, known: int, sound: bool) -> None:
    """Refuse what is not a sound database of ours, before a single byte is written to it."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if not tables:
        return
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != schema.APPLICATION_ID:
        raise damaged(path, "it holds another program's data")
    found = schema.version(connection)
    if found > known:
        raise StoreError(
            Code.STORE_NEWER,
            str(path),
            f"the database was written by a newer pushd (schema {found}; this one knows {known})",
            hint="start the newer release, or restore the backup made before it",
        )
    if sound:
        return
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise damaged(path, str(verdict))


def _begin_life(connection: sqlite3.Connection, path: Path, now: datetime) -> Answer:
    """Count the new life, and recover what an earlier one left running."""

    def begin(transaction: Transaction) -> int:
        row = transaction.execute("UPDATE meta SET epoch = epoch + 1 RETURNING epoch").fetchone()
        crashes.recover(transaction, now)
        return int(row["epoch"])

    (answer,) = commit(connection, [begin], path)
    if answer.error is not None:
        raise answer.error
    return answer
