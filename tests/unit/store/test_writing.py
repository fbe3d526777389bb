from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, StoreError
from pushd.store import schema
from pushd.store.transaction import About
from pushd.store.writing import commit
from pushd.telemetry.events import DELIVERY_REQUEUED
from tests.unit.store.samples import NOON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pushd.store.transaction import Transaction


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pushd.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        opened.row_factory = sqlite3.Row
        schema.migrate(opened, schema.migrations())
        opened.executescript("CREATE TABLE words (word TEXT UNIQUE); PRAGMA foreign_keys = ON")
        yield opened


def words(connection: sqlite3.Connection) -> list[str]:
    return [row["word"] for row in connection.execute("SELECT word FROM words ORDER BY rowid")]


class Write:
    """Writes a word, and tells of it."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, transaction: Transaction) -> str:
        transaction.execute("INSERT INTO words VALUES (?)", (self.word,))
        transaction.tell(DELIVERY_REQUEUED, NOON, About(1000, self.word), destination=self.word)
        return self.word.upper()


class WriteAndFail(Write):
    def __call__(self, transaction: Transaction) -> str:
        super().__call__(transaction)
        raise LookupError(self.word)


def test_a_group_shares_one_commit(connection: sqlite3.Connection, path: Path) -> None:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    answers = commit(connection, [Write("a"), Write("b"), Write("c")], path)
    connection.set_trace_callback(None)
    assert [answer.value for answer in answers] == ["A", "B", "C"]
    assert [statement for statement in statements if statement in ("BEGIN IMMEDIATE", "COMMIT")] == [
        "BEGIN IMMEDIATE",
        "COMMIT",
    ]


def test_each_answer_carries_its_own_events_numbered(connection: sqlite3.Connection, path: Path) -> None:
    answers = commit(connection, [Write("a"), Write("b")], path)
    assert [[event.job for event in answer.told] for answer in answers] == [["a"], ["b"]]
    assert [event.seq for answer in answers for event in answer.told] == [1, 2]


def test_one_that_fails_takes_back_its_own_and_nothing_else(connection: sqlite3.Connection, path: Path) -> None:
    answers = commit(connection, [Write("a"), WriteAndFail("b"), Write("c")], path)
    assert words(connection) == ["a", "c"]
    assert isinstance(answers[1].error, LookupError)
    assert answers[1].told == ()
    numbers = [event.seq for answer in answers for event in answer.told]
    assert numbers == [row["seq"] for row in connection.execute("SELECT seq FROM events ORDER BY seq")]


def test_a_constraint_that_breaks_is_the_failure_of_one(connection: sqlite3.Connection, path: Path) -> None:
    answers = commit(connection, [Write("a"), Write("a"), Write("b")], path)
    assert words(connection) == ["a", "b"]
    assert isinstance(answers[1].error, sqlite3.IntegrityError)


def test_when_the_commit_fails_all_have_failed(connection: sqlite3.Connection, path: Path) -> None:
    def promise_too_much(transaction: Transaction) -> None:
        transaction.execute("PRAGMA defer_foreign_keys = ON")
        transaction.execute("INSERT INTO idempotency_keys (uid, key, fingerprint, job) VALUES (1, 'key', x'00', 404)")

    answers = commit(connection, [Write("a"), promise_too_much, Write("b")], path)
    assert [type(answer.error) for answer in answers] == [sqlite3.IntegrityError] * 3
    assert [answer.told for answer in answers] == [()] * 3
    assert words(connection) == []
    assert commit(connection, [Write("c")], path)[0].value == "C"


def test_a_transaction_taken_back_whole_is_done_again_one_by_one(connection: sqlite3.Connection, path: Path) -> None:
    def be_taken_back(transaction: Transaction) -> None:
        # What SQLite does by itself after some faults of the disk.
        transaction.execute("ROLLBACK")
        raise StoreError(Code.STORE_FULL, "", "the disk is full")

    answers = commit(connection, [Write("a"), be_taken_back, Write("b")], path)
    assert words(connection) == ["a", "b"]
    assert [answer.value for answer in answers] == ["A", None, "B"]
    assert isinstance(answers[1].error, StoreError)
    assert not connection.in_transaction


def test_a_full_disk_fails_what_does_not_fit_and_goes_on(connection: sqlite3.Connection, path: Path) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    answers = commit(connection, [Write("a"), Write("b" * 100_000), Write("c")], path)
    assert isinstance(answers[1].error, StoreError)
    assert answers[1].error.code is Code.STORE_FULL
    assert words(connection) == ["a", "c"]
    connection.execute("PRAGMA max_page_count = 1000000")
    assert commit(connection, [Write("b" * 100_000)], path)[0].error is None


def test_a_database_someone_else_has_locked_is_unavailable_until_they_let_go(
    connection: sqlite3.Connection, path: Path
) -> None:
    connection.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answers = commit(connection, [Write("a"), Write("b")], path)
        errors = [answer.error for answer in answers]
        assert all(isinstance(error, StoreError) and error.code is Code.STORE_UNAVAILABLE for error in errors)
        assert errors[0] is not errors[1]
        other.execute("ROLLBACK")
    assert commit(connection, [Write("a")], path)[0].error is None
