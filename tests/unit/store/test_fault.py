from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from pushd.errors import Code, StoreError
from pushd.store.fault import os_fault, sqlite_fault

DATABASE = Path("/var/lib/pushd/pushd.db")


def failed(code: int, name: str) -> sqlite3.Error:
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (sqlite3.SQLITE_FULL, Code.STORE_FULL),
        (sqlite3.SQLITE_IOERR_SHMSIZE, Code.STORE_FULL),
        (sqlite3.SQLITE_CORRUPT, Code.STORE_DAMAGED),
        (sqlite3.SQLITE_CORRUPT_INDEX, Code.STORE_DAMAGED),
        (sqlite3.SQLITE_NOTADB, Code.STORE_DAMAGED),
        (sqlite3.SQLITE_IOERR_FSYNC, Code.STORE_UNAVAILABLE),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Code.STORE_UNAVAILABLE),
        (sqlite3.SQLITE_READONLY_DIRECTORY, Code.STORE_UNAVAILABLE),
        (sqlite3.SQLITE_CANTOPEN, Code.STORE_UNAVAILABLE),
    ],
)
def test_a_fault_of_the_disk_or_the_file_has_a_code_of_ours(code: int, meaning: Code) -> None:
    error = failed(code, "SQLITE_SOMETHING")
    fault = sqlite_fault(error, DATABASE)
    assert isinstance(fault, StoreError)
    assert fault.code is meaning
    assert fault.__cause__ is error
    assert str(DATABASE) in str(fault)
    assert fault.hint


def test_a_constraint_that_broke_is_a_defect_and_stays_what_it_is() -> None:
    error = failed(sqlite3.SQLITE_CONSTRAINT_UNIQUE, "SQLITE_CONSTRAINT_UNIQUE")
    assert sqlite_fault(error, DATABASE) is error


def test_what_the_module_itself_refused_is_a_defect_too() -> None:
    error = sqlite3.ProgrammingError("Cannot operate on a closed database.")
    assert sqlite_fault(error, DATABASE) is error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_space_and_no_quota_both_mean_full(number: int) -> None:
    assert os_fault(OSError(number, "whatever"), DATABASE).code is Code.STORE_FULL


def test_any_other_refusal_names_the_file_and_the_reason() -> None:
    fault = os_fault(PermissionError(errno.EACCES, "Permission denied", "/var/lib/pushd/lock"), DATABASE)
    assert fault.code is Code.STORE_UNAVAILABLE
    assert fault.subject == "/var/lib/pushd/lock"
    assert "Permission denied" in fault.detail
