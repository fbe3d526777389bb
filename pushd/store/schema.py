"""The schema's versions, numbered in `PRAGMA user_version`, and the way from one to the next."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


def migrations() -> tuple[str, ...]:
    """Give the SQL of every step, in order: the n-th leads from version n - 1 to version n."""
    folder = resources.files("pushd.store") / "migrations"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda file: file.name)
    return tuple(file.read_text(encoding="utf-8") for file in files)


APPLICATION_ID = int.from_bytes(b"push", "big")
"""What `PRAGMA application_id` of our databases says."""


def version(connection: sqlite3.Connection) -> int:
    """Read the schema's version; 0 when there is none yet."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    return int(found)


def migrate(connection: sqlite3.Connection, steps: Sequence[str]) -> None:
    """Bring the schema to version `len(steps)`; each step happens whole or not at all.

    Raises:
        sqlite3.Error: a step failed; the database is as it was before that step.
    """
    for number, step in enumerate(steps, start=1):
        if number <= version(connection):
            continue
        try:
            # executescript commits what is open before it begins, so the transaction is part of the script.
            connection.executescript(f"BEGIN IMMEDIATE;\n{step}\nPRAGMA user_version = {number};\nCOMMIT;")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
