from __future__ import annotations

import errno
import os

import pytest

from pushd.errors import Code
from pushd.source.faults import unreadable


def test_a_missing_permission_names_who_needs_it() -> None:
    error = unreadable(PermissionError(errno.EACCES, "Permission denied"), "/srv/app")

    assert error.code is Code.SOURCE_UNREADABLE
    assert f"the daemon runs as uid {os.geteuid()}" in str(error)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EIO, "cannot be read: Input/output error"),
        (errno.ENAMETOOLONG, "longer name than the filesystem can have"),
        (errno.ELOOP, "too many symbolic links"),
        (errno.EMFILE, "the daemon has too many files open"),
    ],
)
def test_other_errors_are_told_in_words(number: int, words: str) -> None:
    error = unreadable(OSError(number, "x"), "/srv/app")

    assert error.code is Code.SOURCE_UNREADABLE
    assert words in str(error)
