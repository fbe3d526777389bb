"""Copies of the database, and putting them back: what an upgrade that has to be taken back rests on."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from deploy.database import Refused, copy, main, restore, schema
from pushd.store import schema as known
from pushd.store.opening import open_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pushd.store.opening import Opened

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory a daemon has worked on and left."""
    open_database(tmp_path / "state", NOW).close()
    return tmp_path / "state"


@pytest.fixture
def at_work(state: Path) -> Iterator[Opened]:
    """A daemon that works on it."""
    opened = open_database(state, NOW)
    yield opened
    opened.close()


def stream(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        (found,) = connection.execute("SELECT stream FROM meta").fetchone()
    return str(found)


def epoch(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (found,) = connection.execute("SELECT epoch FROM meta").fetchone()
    return int(found)


def test_the_schema_is_the_number_the_daemon_migrates_to(state: Path) -> None:
    assert schema(state / "pushd.db") == len(known.migrations())


def test_a_copy_is_taken_while_a_daemon_works_and_holds_what_is_only_in_its_log(
    at_work: Opened, tmp_path: Path
) -> None:
    at_work.writer.execute("UPDATE meta SET epoch = 4711")
    size = copy(at_work.path, tmp_path / "copy.db")
    assert size == (tmp_path / "copy.db").stat().st_size
    assert epoch(tmp_path / "copy.db") == 4711


def test_a_daemon_goes_on_after_it_was_copied(at_work: Opened, tmp_path: Path) -> None:
    copy(at_work.path, tmp_path / "copy.db")
    at_work.writer.execute("UPDATE meta SET epoch = 4712")
    assert at_work.reader.execute("SELECT epoch FROM meta").fetchone()[0] == 4712


def test_a_copy_is_for_its_owner_alone_and_nothing_lies_beside_it(state: Path, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    assert main(["copy", str(state / "pushd.db"), str(tmp_path / "backups" / "copy.db")]) == 0
    assert [path.name for path in (tmp_path / "backups").iterdir()] == ["copy.db"]
    assert stat.S_IMODE((tmp_path / "backups" / "copy.db").stat().st_mode) == 0o600


def test_a_copy_never_replaces_one_that_is_there(state: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(Refused, match="never replaced"):
        copy(state / "pushd.db", tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_a_restored_copy_is_what_the_daemon_opens_next(state: Path, tmp_path: Path) -> None:
    before = epoch(state / "pushd.db")
    copy(state / "pushd.db", tmp_path / "copy.db")
    for _ in range(3):
        open_database(state, NOW).close()
    restore(tmp_path / "copy.db", state / "pushd.db")
    opened = open_database(state, NOW)
    opened.close()
    assert opened.epoch == before + 1


def test_readers_with_bookmarks_are_told_of_a_restored_copy_by_the_streams_id(state: Path, tmp_path: Path) -> None:
    copy(state / "pushd.db", tmp_path / "copy.db")
    restore(tmp_path / "copy.db", state / "pushd.db")
    assert stream(state / "pushd.db") != stream(tmp_path / "copy.db")


def test_what_was_there_is_set_aside_with_its_log_and_not_removed(state: Path, tmp_path: Path) -> None:
    copy(state / "pushd.db", tmp_path / "copy.db")
    (state / "pushd.db-wal").write_bytes(b"")
    before = stream(state / "pushd.db")
    (state / "pushd.db-wal").write_bytes(b"not of the copy")
    aside = restore(tmp_path / "copy.db", state / "pushd.db")
    assert aside is not None
    assert not (state / "pushd.db-wal").exists()
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == b"not of the copy"
    aside.with_name(f"{aside.name}-wal").unlink()
    assert stream(aside) == before


def test_where_there_is_no_database_a_copy_is_put_all_the_same(state: Path, tmp_path: Path) -> None:
    copy(state / "pushd.db", tmp_path / "copy.db")
    (tmp_path / "new").mkdir()
    assert restore(tmp_path / "copy.db", tmp_path / "new" / "pushd.db") is None
    assert schema(tmp_path / "new" / "pushd.db") == schema(state / "pushd.db")


def test_nothing_is_restored_under_a_daemon_that_works(at_work: Opened, tmp_path: Path) -> None:
    copy(at_work.path, tmp_path / "copy.db")
    with pytest.raises(Refused, match="stop it first"):
        restore(tmp_path / "copy.db", at_work.path)
    assert not list(at_work.path.parent.glob("*aside*"))


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + bytes(5000), b"no database " * 1000])
def test_a_copy_that_is_no_sound_database_changes_nothing(content: bytes, state: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_bytes(content)
    before = (state / "pushd.db").read_bytes()
    assert main(["restore", str(tmp_path / "copy.db"), str(state / "pushd.db")]) == 1
    assert (state / "pushd.db").read_bytes() == before
    assert {path.name for path in state.iterdir()} == {"pushd.db", "pushd.db-sound", "lock"}


def test_another_programs_database_is_not_taken_for_ours(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    with pytest.raises(Refused, match="not a database of pushd"):
        copy(tmp_path / "other.db", tmp_path / "copy.db")


def test_what_cannot_be_done_is_said_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", str(tmp_path / "nothing.db")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "nothing.db: cannot be opened" in said.err


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)
