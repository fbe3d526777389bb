from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pushd.errors import Code, StoreError
from pushd.store import schema
from pushd.store.opening import _prepare, open_database
from tests.unit.store.samples import NOON


def refusal(state_dir: Path) -> StoreError:
    with pytest.raises(StoreError) as refused:
        open_database(state_dir, NOON)
    return refused.value


def settings(connection: sqlite3.Connection, *names: str) -> list[object]:
    return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]


def test_a_missing_state_directory_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    state_dir = tmp_path / "var" / "state"
    open_database(state_dir, NOON).close()
    assert state_dir.stat().st_mode & 0o777 == 0o700


def test_the_database_and_its_companions_are_the_owners_alone(tmp_path: Path) -> None:
    opened = open_database(tmp_path, NOON)
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    opened.close()
    assert modes == {"lock": 0o600, "pushd.db": 0o600, "pushd.db-wal": 0o600, "pushd.db-shm": 0o600}


def test_a_database_that_was_readable_by_others_no_longer_is(tmp_path: Path) -> None:
    open_database(tmp_path, NOON).close()
    (tmp_path / "pushd.db").chmod(0o644)
    open_database(tmp_path, NOON).close()
    assert (tmp_path / "pushd.db").stat().st_mode & 0o777 == 0o600


def test_the_writer_flushes_each_commit_and_holds_references(tmp_path: Path) -> None:
    opened = open_database(tmp_path, NOON)
    found = settings(opened.writer, "journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    opened.close()
    assert found == ["wal", 2, 1, 5000]


def test_closing_leaves_one_file_with_everything_in_it(tmp_path: Path) -> None:
    open_database(tmp_path, NOON).close()
    assert {file.name for file in tmp_path.iterdir()} == {"lock", "pushd.db", "pushd.db-sound"}


def test_each_life_has_a_larger_number(tmp_path: Path) -> None:
    epochs = []
    for _ in range(3):
        opened = open_database(tmp_path, NOON)
        epochs.append(opened.epoch)
        opened.close()
    assert epochs == [1, 2, 3]


def test_two_daemons_never_share_a_state_directory(tmp_path: Path) -> None:
    opened = open_database(tmp_path, NOON)
    assert refusal(tmp_path).code is Code.STORE_UNAVAILABLE
    opened.close()
    open_database(tmp_path, NOON).close()


def test_a_refused_opening_lets_the_state_directory_go(tmp_path: Path) -> None:
    (tmp_path / "pushd.db").write_bytes(b"not a database" * 100)
    assert refusal(tmp_path).code is Code.STORE_DAMAGED
    (tmp_path / "pushd.db").unlink()
    open_database(tmp_path, NOON).close()


def test_what_is_not_a_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    content = b"not a database, but somebody's only copy of something" * 100
    (tmp_path / "pushd.db").write_bytes(content)
    error = refusal(tmp_path)
    assert error.code is Code.STORE_DAMAGED
    assert "restore a backup" in error.hint
    assert (tmp_path / "pushd.db").read_bytes() == content


def test_a_damaged_page_is_found_at_the_start(tmp_path: Path) -> None:
    open_database(tmp_path, NOON).close()
    file = tmp_path / "pushd.db"
    with closing(sqlite3.connect(file)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs_by_state'").fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    content = bytearray(file.read_bytes())
    content[(root - 1) * page_size : (root - 1) * page_size + 16] = b"\xff" * 16
    file.write_bytes(content)
    os.utime(file, ns=(0, 0))  # another time than that of the close, however fast this is
    assert refusal(tmp_path).code is Code.STORE_DAMAGED
    assert file.read_bytes() == content


def test_another_programs_database_is_not_taken_over(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "pushd.db")) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
        connection.commit()
    before = (tmp_path / "pushd.db").read_bytes()
    error = refusal(tmp_path)
    assert error.code is Code.STORE_DAMAGED
    assert "another program" in error.detail
    assert (tmp_path / "pushd.db").read_bytes() == before


def test_a_newer_schema_is_refused_by_its_number_and_left_as_it_is(tmp_path: Path) -> None:
    open_database(tmp_path, NOON).close()
    newer = len(schema.migrations()) + 1
    with closing(sqlite3.connect(tmp_path / "pushd.db", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {newer}")
    error = refusal(tmp_path)
    assert error.code is Code.STORE_NEWER
    assert f"schema {newer}" in error.detail
    with closing(sqlite3.connect(tmp_path / "pushd.db")) as connection:
        assert settings(connection, "user_version") == [newer]
        assert connection.execute("SELECT epoch FROM meta").fetchone() == (1,)


def test_a_state_directory_that_is_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    error = refusal(tmp_path / "state")
    assert error.code is Code.STORE_UNAVAILABLE
    assert error.subject == str(tmp_path / "state")


def test_a_path_with_signs_of_a_uri_is_taken_as_it_is(tmp_path: Path) -> None:
    state_dir = tmp_path / "a?mode=memory#b%20c"
    open_database(state_dir, NOON).close()
    assert (state_dir / "pushd.db").exists()


def test_a_filesystem_without_a_write_ahead_log_is_refused() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection, pytest.raises(StoreError) as refused:
        _prepare(connection, Path("/mnt/pushd.db"))
    assert refused.value.code is Code.STORE_UNAVAILABLE
    assert "local filesystem" in refused.value.hint


def test_a_recovery_that_fails_changes_nothing_and_lets_the_state_directory_go(tmp_path: Path) -> None:
    open_database(tmp_path, NOON).close()
    file = tmp_path / "pushd.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TRIGGER stop AFTER UPDATE ON meta BEGIN SELECT raise(ABORT, 'no more lives'); END")
    with pytest.raises(sqlite3.IntegrityError, match="no more lives"):
        open_database(tmp_path, NOON)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TRIGGER stop")
    opened = open_database(tmp_path, NOON)
    assert opened.epoch == 2
    opened.close()
