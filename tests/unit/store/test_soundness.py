"""A database that was closed in good order is not read through at the next start; any other is."""

from __future__ import annotations

import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from pushd.errors import StoreError
from pushd.store import open_store, opening
from pushd.store.opening import open_database
from pushd.store.soundness import Soundness
from tests.unit.store.samples import NOON

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Give a file that was vouched for."""
    path = tmp_path / "pushd.db"
    path.write_bytes(b"content")
    Soundness(path).vouch()
    return path


def replace(path: Path) -> None:
    other = path.with_name("other")
    shutil.copy2(path, other)
    other.replace(path)


def leave_a_log(path: Path) -> None:
    path.with_name("pushd.db-wal").write_bytes(b"")


def tear(path: Path) -> None:
    record = path.with_name("pushd.db-sound")
    record.write_bytes(record.read_bytes()[:-3])


CHANGES: list[Callable[[Path], object]] = [
    lambda path: path.write_bytes(b"longer content"),
    lambda path: os.utime(path, ns=(0, 0)),
    replace,
    leave_a_log,
    tear,
    lambda path: path.with_name("pushd.db-sound").write_bytes(b"\xff"),
    lambda path: path.with_name("pushd.db-sound").unlink(),
]


def test_a_file_that_nobody_touched_is_vouched_for_and_only_once(database: Path) -> None:
    assert Soundness(database).vouched()
    assert not Soundness(database).vouched()


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_is_not_vouched_for(database: Path, change: Callable[[Path], object]) -> None:
    change(database)
    assert not Soundness(database).vouched()


def test_the_record_is_its_owners_alone(database: Path) -> None:
    assert database.with_name("pushd.db-sound").stat().st_mode & 0o777 == 0o600


def test_a_record_that_cannot_be_written_costs_the_next_start_a_check(tmp_path: Path) -> None:
    Soundness(tmp_path / "missing" / "pushd.db").vouch()
    assert not Soundness(tmp_path / "missing" / "pushd.db").vouched()


# ------------------------------------------------------------------------------------------------- at the start


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Tell, start by start, whether the whole file was read."""
    seen: list[bool] = []
    check = opening._check

    def noting(connection: sqlite3.Connection, path: Path, *, known: int, sound: bool) -> None:
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        check(connection, path, known=known, sound=sound)
        connection.set_trace_callback(None)
        seen.append(any("quick_check" in statement for statement in statements))

    monkeypatch.setattr(opening, "_check", noting)
    return seen


def test_after_a_good_end_the_history_is_not_read_through(tmp_path: Path, checks: list[bool]) -> None:
    for _ in range(3):
        open_database(tmp_path, NOON).close()
    assert checks == [False, False, False]  # the first finds nothing at all


def test_after_a_crash_it_is(tmp_path: Path, checks: list[bool]) -> None:
    open_database(tmp_path, NOON).close()
    open_database(tmp_path, NOON).lock.release()  # no more than what the kernel does for a process that is killed
    open_database(tmp_path, NOON).close()
    assert checks == [False, False, True]


async def test_a_life_that_met_damage_vouches_for_nothing(tmp_path: Path, checks: list[bool]) -> None:
    def meet(_: sqlite3.Connection) -> None:
        error = sqlite3.DatabaseError("malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT  # as the module sets it
        raise error

    store = await open_store(tmp_path, publish=lambda _: None)
    with pytest.raises(StoreError, match="damaged"):
        await store._reads.send(meet)
    await store.close()
    await store.close()
    await (await open_store(tmp_path, publish=lambda _: None)).close()
    await (await open_store(tmp_path, publish=lambda _: None)).close()
    assert checks == [False, True, False]
