"""Writing: waiting transactions share one commit, and with it one flush of the disk."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from pushd.store.answer import Answer
from pushd.store.fault import sqlite_fault
from pushd.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def commit(
    connection: sqlite3.Connection, operations: Sequence[Callable[[Transaction], object]], path: Path
) -> list[Answer]:
    """Run each operation in a savepoint of its own, if there are several, within one transaction, and commit it.

    An operation that fails takes back what it wrote and nothing else. When the commit fails, all have failed. An
    operation may be run twice, its first run taken back: it must do nothing but speak to the database.

    Args:
        connection: the only one that writes.
        operations: at least one.
        path: the database, to name it in errors.

    Returns:
        An answer for each operation, in order. What succeeded is durable.
    """
    answers: list[Answer] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        for operation in operations:
            answers.append(_attempt(connection, operation, path, alone=len(operations) == 1))
            if not connection.in_transaction:
                # A full disk, among others, may take back the whole transaction, not only the statement
                # (https://www.sqlite.org/lang_transaction.html, 3.2). Then each gets a transaction of its own.
                if len(operations) == 1:
                    return answers
                return [commit(connection, [again], path)[0] for again in operations]
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        return [Answer(error=sqlite_fault(error, path)) for _ in operations]
    return answers


def _attempt(
    connection: sqlite3.Connection, operation: Callable[[Transaction], object], path: Path, *, alone: bool
) -> Answer:
    """Run one operation; one that is alone in its transaction needs no savepoint to go back to."""
    transaction = Transaction(connection)
    if not alone:
        connection.execute("SAVEPOINT operation")
    try:
        value = operation(transaction)
    except Exception as error:  # noqa: BLE001 (whatever it is belongs to who handed the operation over)
        if connection.in_transaction and alone:
            connection.execute("ROLLBACK")
        elif connection.in_transaction:
            connection.execute("ROLLBACK TO operation")
            connection.execute("RELEASE operation")
        return Answer(error=sqlite_fault(error, path) if isinstance(error, sqlite3.Error) else error)
    if not alone:
        connection.execute("RELEASE operation")
    return Answer(value, told=tuple(transaction.told))


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):  # the error that brought us here is the one to tell
            connection.execute("ROLLBACK")
