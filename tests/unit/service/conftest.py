from __future__ import annotations

import os
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A short directory that anybody may search: a socket's address holds 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="pushd-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def path(place: Path) -> Path:
    """Where the daemon's socket is to be."""
    return place / "pushd.sock"


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    """Give what sets the umask, which is as it was afterwards."""
    before = os.umask(0o022)
    os.umask(before)
    yield os.umask
    os.umask(before)


@pytest.fixture
def powerless() -> Callable[[], AbstractContextManager[None]]:
    """Give a context in which files are what their modes say, for root as well."""

    @contextmanager
    def as_nobody() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(_NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    return as_nobody


@pytest.fixture
def running_threads() -> Callable[[], set[str]]:
    """Give what tells the threads that run."""
    return lambda: {thread.name for thread in threading.enumerate()}
