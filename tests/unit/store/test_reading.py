from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, StoreError
from pushd.store.opening import open_database
from pushd.store.reading import read
from tests.unit.store.samples import NOON

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
    opened = open_database(tmp_path, NOON)
    opened.writer.execute("CREATE TABLE words (word TEXT)")
    yield opened.reader, opened.writer
    opened.close()


def count(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("SELECT count(*) FROM words").fetchone()
    return int(number)


def test_an_operation_sees_one_state_whatever_is_written_meanwhile(
    pair: tuple[sqlite3.Connection, sqlite3.Connection],
) -> None:
    reader, writer = pair

    def twice(connection: sqlite3.Connection) -> tuple[int, int]:
        before = count(connection)
        writer.execute("INSERT INTO words VALUES ('a')")
        return before, count(connection)

    answers = read(reader, [twice, count], Path("pushd.db"))
    assert [answer.value for answer in answers] == [(0, 0), 1]


def test_the_reading_connection_cannot_write(pair: tuple[sqlite3.Connection, sqlite3.Connection]) -> None:
    reader, _ = pair
    (answer,) = read(reader, [lambda connection: connection.execute("DELETE FROM words")], Path("pushd.db"))
    assert isinstance(answer.error, StoreError)
    assert answer.error.code is Code.STORE_UNAVAILABLE


def test_the_reading_connection_cannot_checkpoint(pair: tuple[sqlite3.Connection, sqlite3.Connection]) -> None:
    reader, _ = pair
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def test_one_that_fails_leaves_the_others_alone(pair: tuple[sqlite3.Connection, sqlite3.Connection]) -> None:
    reader, _ = pair

    def fail(_: sqlite3.Connection) -> None:
        raise LookupError

    answers = read(reader, [count, fail, count], Path("pushd.db"))
    assert [answer.value for answer in answers] == [0, None, 0]
    assert isinstance(answers[1].error, LookupError)
    assert not reader.in_transaction
