from __future__ import annotations

import gc
import hashlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.oci.digest import Digest
from pushd.push.hashing import Hashings, Known, Own, Shared
from pushd.work import FileIdentity

if TYPE_CHECKING:
    from pushd.oci.digest import Hasher

NOW = datetime(2026, 11, 26, tzinfo=UTC)
LONG_AGO = int((NOW - timedelta(hours=1)).timestamp() * 1e9)
FILE = FileIdentity(device=1, inode=2, size=95, mtime_ns=LONG_AGO, ctime_ns=LONG_AGO, offset=0, length=95)
CONTENT = random.Random(7).randbytes(95)
DIGEST = Digest.of(CONTENT)


class Counting:
    """A hash that counts the bytes it is fed, and can be held up."""

    def __init__(self) -> None:
        self.fed = 0
        self.goes_on = threading.Event()
        self.goes_on.set()
        self._hasher = hashlib.sha256()

    def update(self, data: bytes | memoryview, /) -> None:
        self.goes_on.wait(10)
        self.fed += len(data)
        self._hasher.update(data)

    def hexdigest(self) -> str:
        return self._hasher.hexdigest()

    def copy(self) -> Hasher:
        raise AssertionError("a shared hash is not copied")


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """Give the hash that the next one to hash will use."""
    counting = Counting()
    monkeypatch.setattr(Digest, "hasher", lambda _: counting)
    return counting


def pieces(content: bytes, size: int) -> list[tuple[int, bytes]]:
    return [(at, content[at : at + size]) for at in range(0, len(content), size)]


@given(st.data())
def test_however_its_readers_take_turns_a_shared_hash_is_that_of_the_blob(data: st.DataObject) -> None:
    content = data.draw(st.binary(min_size=1, max_size=100))
    shared = Shared(Digest.of(content), len(content))
    readers = [pieces(content, size) for size in data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=4))]
    while any(readers):
        reader = data.draw(st.sampled_from([reader for reader in readers if reader]))
        shared.take(*reader.pop(0))
    assert shared.found() == hashlib.sha256(content).hexdigest()


def test_each_byte_is_hashed_once_whoever_is_in_front(counting: Counting) -> None:
    shared = Shared(DIGEST, 95)
    for offset, piece in pieces(CONTENT, 10)[:5]:
        shared.take(offset, piece)
    for offset, piece in pieces(CONTENT, 7):
        shared.take(offset, piece)
    for offset, piece in pieces(CONTENT, 10)[5:]:
        shared.take(offset, piece)
    assert counting.fed == 95
    assert shared.found() == DIGEST.encoded


def test_many_threads_hash_each_byte_once(counting: Counting) -> None:
    content = random.Random(8).randbytes(200_000)
    shared = Shared(Digest.of(content), len(content))

    def read(size: int) -> None:
        for offset, piece in pieces(content, size):
            shared.take(offset, piece)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(read, size) for size in (1000, 1000, 777, 4096)]:
            done.result(20)
    assert (counting.fed, shared.found()) == (200_000, hashlib.sha256(content).hexdigest())


def test_who_is_behind_waits_for_nobody_until_the_last_piece(counting: Counting) -> None:
    shared = Shared(DIGEST, 95)
    counting.goes_on.clear()
    with ThreadPoolExecutor(2) as threads:
        in_front = threads.submit(shared.take, 0, CONTENT)
        while shared.rewind(95) < 95:
            pass
        shared.take(0, CONTENT[:50])
        behind = threads.submit(shared.take, 50, CONTENT[50:])
        assert not behind.done()
        counting.goes_on.set()
        in_front.result(10)
        behind.result(10)
    assert shared.found() == DIGEST.encoded


def test_a_reader_that_goes_back_need_not_hash_again(counting: Counting) -> None:
    shared = Shared(DIGEST, 95)
    shared.mark(0)
    shared.take(0, CONTENT[:60])
    assert shared.rewind(30) == 30
    shared.take(30, CONTENT[30:])
    assert (counting.fed, shared.found()) == (95, DIGEST.encoded)


def test_a_reader_that_joins_far_ahead_begins_where_the_hash_stands() -> None:
    shared = Shared(DIGEST, 95)
    shared.take(0, CONTENT[:20])
    assert shared.rewind(70) == 20
    with pytest.raises(ValueError, match="stands at 20"):
        shared.take(70, CONTENT[70:])


def test_what_somebody_else_had_hashed_has_passed(counting: Counting) -> None:
    shared = Shared(DIGEST, len(CONTENT))
    shared.take(0, CONTENT[:40])
    assert [shared.passed(stop) for stop in (1, 40, 41, 95)] == [True, True, False, False]


def test_of_a_hash_of_ones_own_and_of_what_was_hashed_long_ago_nothing_has_just_passed() -> None:
    own = Own(DIGEST)
    own.take(0, CONTENT[:40])
    assert not own.passed(10)
    assert not Known(DIGEST).passed(10)


def test_a_hash_of_ones_own_goes_back_to_its_last_marks_and_from_farther_back_to_the_start() -> None:
    own = Own(DIGEST)
    for offset in range(95):
        own.mark(offset)
        own.take(offset, CONTENT[offset : offset + 1])
    assert len(own._marks) == 65
    assert own.rewind(40) == 40
    assert own.rewind(20) == 0
    own.take(0, CONTENT)
    assert own.found() == DIGEST.encoded


# ----------------------------------------------------------------------------------------------- who shares with whom


def test_readers_of_one_unchanged_file_share_a_hash() -> None:
    hashings = Hashings()
    one = hashings.of(FILE, DIGEST, known=None, now=NOW)
    assert isinstance(one, Shared)
    assert hashings.of(FILE, DIGEST, known=None, now=NOW) is one


@pytest.mark.parametrize(
    "other", [replace(FILE, inode=3), replace(FILE, ctime_ns=LONG_AGO + 1), replace(FILE, offset=1)]
)
def test_readers_of_another_file_have_another(other: FileIdentity) -> None:
    hashings = Hashings()
    one = hashings.of(FILE, DIGEST, known=None, now=NOW)
    assert hashings.of(other, DIGEST, known=None, now=NOW) is not one


def test_one_file_that_is_to_be_two_blobs_is_hashed_for_each() -> None:
    hashings = Hashings()
    one = hashings.of(FILE, DIGEST, known=None, now=NOW)
    assert hashings.of(FILE, Digest.of(b"another"), known=None, now=NOW) is not one


def test_a_file_that_changed_a_moment_ago_is_shared_with_nobody() -> None:
    fresh = replace(FILE, mtime_ns=int(NOW.timestamp() * 1e9))
    hashings = Hashings()
    assert isinstance(hashings.of(fresh, DIGEST, known=None, now=NOW), Own)
    assert hashings.of(fresh, DIGEST, known=None, now=NOW) is not hashings.of(fresh, DIGEST, known=None, now=NOW)


def test_a_file_that_was_hashed_before_is_not_hashed_again() -> None:
    assert isinstance(Hashings().of(FILE, DIGEST, known=DIGEST, now=NOW), Known)


def test_a_file_that_was_found_to_be_something_else_is_hashed() -> None:
    assert isinstance(Hashings().of(FILE, DIGEST, known=Digest.of(b"another"), now=NOW), Shared)


def test_a_hash_goes_with_its_last_reader(counting: Counting) -> None:
    hashings = Hashings()
    one = hashings.of(FILE, DIGEST, known=None, now=NOW)
    one.take(0, CONTENT[:50])
    del one
    gc.collect()
    again = hashings.of(FILE, DIGEST, known=None, now=NOW)
    assert again.rewind(50) == 0
