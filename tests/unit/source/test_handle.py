from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from pushd.source.handle import Handle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def fd(tmp_path: Path) -> int:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return os.open(path, os.O_RDONLY)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_closing_closes_the_descriptor_once(fd: int) -> None:
    handle = Handle(fd)
    handle.close()
    assert not is_open(fd)

    other = os.open("/dev/null", os.O_RDONLY)  # takes the number that is free again
    handle.close()
    assert other == fd
    assert is_open(other)
    os.close(other)


def test_a_descriptor_closed_while_in_use_stays_open_until_the_last_user_has_left(fd: int) -> None:
    handle = Handle(fd)
    with handle.use() as first:
        with handle.use():
            handle.close()
            handle.close()
        assert os.pread(first, 7, 0) == b"content"
    assert not is_open(fd)


def test_using_it_after_closing_is_an_error(fd: int) -> None:
    handle = Handle(fd)
    handle.close()

    with pytest.raises(ValueError, match="closed"), handle.use():
        pytest.fail("was given")


def test_a_user_that_fails_leaves_too(fd: int) -> None:
    handle = Handle(fd)
    with pytest.raises(RuntimeError), handle.use():
        raise RuntimeError
    handle.close()

    assert not is_open(fd)


def test_threads_that_read_while_another_closes_read_the_file_or_are_told(fd: int) -> None:
    handle = Handle(fd)
    started = threading.Barrier(5)
    seen: set[bytes] = set()

    def read() -> None:
        started.wait()
        try:
            while True:
                with handle.use() as shared:
                    seen.add(os.pread(shared, 7, 0))
        except ValueError:
            return

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    handle.close()
    for thread in threads:
        thread.join(10)

    assert not any(thread.is_alive() for thread in threads)
    assert seen <= {b"content"}
    assert not is_open(fd)
