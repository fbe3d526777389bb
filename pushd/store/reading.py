"""Reading: each operation sees one state of the database, whatever is written meanwhile."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from pushd.store.answer import Answer
from pushd.store.fault import sqlite_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def read(
    connection: sqlite3.Connection,
    operations: Sequence[Callable[[sqlite3.Connection], object]],
    path: Path,
) -> list[Answer]:
    """Run each operation in a read transaction of its own.

    Args:
        connection: one that cannot write.
        operations: what to run.
        path: the database, to name it in errors.

    Returns:
        An answer for each operation, in order.
    """
    return [_read(connection, operation, path) for operation in operations]


def _read(connection: sqlite3.Connection, operation: Callable[[sqlite3.Connection], object], path: Path) -> Answer:
    try:
        connection.execute("BEGIN")
        try:
            return Answer(operation(connection))
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        return Answer(error=sqlite_fault(error, path))
    except Exception as error:  # noqa: BLE001 (whatever it is belongs to who handed the operation over)
        return Answer(error=error)
