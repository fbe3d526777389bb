from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pushd.store import schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        yield opened


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def test_from_nothing_every_table_is_there_and_strict(connection: sqlite3.Connection) -> None:
    schema.migrate(connection, schema.migrations())
    ours = {
        name
        for (name, strict) in connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'")
        if strict
    }
    assert ours == {
        "meta", "jobs", "deliveries", "manifests", "documents", "transfers", "waiters", "upload_sessions",
        "known_blobs", "validated_files", "events", "idempotency_keys", "history", "tags", "labels", "submitters",
        "paused_registries", "met_registries", "credentials", "backlog",
    }  # fmt: skip
    assert {name for name in tables(connection) if not name.startswith("sqlite_")} == ours


def test_the_version_is_the_number_of_steps(connection: sqlite3.Connection) -> None:
    assert schema.version(connection) == 0
    schema.migrate(connection, schema.migrations())
    assert schema.version(connection) == len(schema.migrations())


def test_the_database_says_whose_it_is(connection: sqlite3.Connection) -> None:
    schema.migrate(connection, schema.migrations())
    assert connection.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)


def test_each_database_has_a_stream_of_its_own(connection: sqlite3.Connection) -> None:
    schema.migrate(connection, schema.migrations())
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as other:
        schema.migrate(other, schema.migrations())
        query = "SELECT stream FROM meta"
        assert connection.execute(query).fetchone() != other.execute(query).fetchone()


def test_only_the_steps_that_are_missing_are_taken(connection: sqlite3.Connection) -> None:
    first, second = "CREATE TABLE one (a);", "CREATE TABLE two (b);"
    schema.migrate(connection, [first])
    schema.migrate(connection, [first, second])
    assert tables(connection) == {"one", "two"}
    assert schema.version(connection) == 2


def test_a_step_that_fails_leaves_what_was_before_it(connection: sqlite3.Connection) -> None:
    steps = ["CREATE TABLE one (a);", "CREATE TABLE two (b); INSERT INTO nowhere VALUES (1);"]
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        schema.migrate(connection, steps)
    assert tables(connection) == {"one"}
    assert schema.version(connection) == 1
    assert not connection.in_transaction


def test_taking_all_steps_again_changes_nothing(connection: sqlite3.Connection) -> None:
    schema.migrate(connection, schema.migrations())
    before = connection.execute("SELECT * FROM meta").fetchall()
    schema.migrate(connection, schema.migrations())
    assert connection.execute("SELECT * FROM meta").fetchall() == before


def test_every_foreign_key_has_an_index_to_delete_by(connection: sqlite3.Connection) -> None:
    schema.migrate(connection, schema.migrations())
    indexed = set(
        connection.execute(
            """SELECT tables.name, info.name FROM pragma_table_list AS tables
               JOIN pragma_index_list(tables.name) AS indexes JOIN pragma_index_info(indexes.name) AS info
               WHERE info.seqno = 0"""
        )
    )
    rowids = set(
        connection.execute(
            """SELECT tables.name, columns.name FROM pragma_table_list AS tables
               JOIN pragma_table_info(tables.name) AS columns WHERE columns.pk = 1"""
        )
    )
    references = set(
        connection.execute(
            """SELECT tables.name, keys."from" FROM pragma_table_list AS tables
               JOIN pragma_foreign_key_list(tables.name) AS keys"""
        )
    )
    assert references
    assert references <= indexed | rowids


def test_a_database_someone_else_writes_is_not_migrated(tmp_path: Path) -> None:
    path = tmp_path / "pushd.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as ours,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            schema.migrate(ours, schema.migrations())
        other.execute("ROLLBACK")
        assert schema.version(ours) == 0
