from __future__ import annotations

import asyncio
import gc
import hashlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.errors import Code, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.push.hashing import Known, Own, Shared
from pushd.push.tape import Tape
from pushd.work import FileIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushd.push.hashing import Hashing


class Reader:
    """A blob in memory that counts what is read of it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.read_bytes = 0
        self.fails: SourceError | None = None

    @property
    def identity(self) -> FileIdentity:
        size = len(self.content)
        return FileIdentity(device=1, inode=1, size=size, mtime_ns=0, ctime_ns=0, offset=0, length=size)

    def read(self, offset: int, length: int) -> bytes:
        self.read_bytes += length
        if self.fails is not None:
            raise self.fails
        return self.content[offset : offset + length]

    def copy_to(self, fd: int, /) -> None:
        raise AssertionError("a tape only reads")

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def tape_of(
    content: bytes,
    threads: ThreadPoolExecutor,
    *,
    piece: int = 10,
    claimed: bytes | None = None,
    algorithm: str = "sha256",
    hashing: Hashing | None = None,
) -> tuple[Tape, Reader]:
    reader = Reader(content)
    digest = Digest.of(content if claimed is None else claimed, algorithm)
    blob = Descriptor("application/octet-stream", digest, len(content))
    return Tape(blob, reader, piece_size=piece, threads=threads, hashing=hashing or Own(blob.digest)), reader


async def collect(tape: Tape, start: int, stop: int) -> list[bytes]:
    return [piece async for piece in tape.body(start, stop)]


async def gather(tape: Tape, got: list[bytes]) -> None:
    async for piece in tape.body(0, 95):
        got.append(piece)  # noqa: PERF401 (what came before an error counts)


CONTENT = random.Random(7).randbytes(95)


async def test_a_body_gives_exactly_its_bytes_in_pieces(threads: ThreadPoolExecutor) -> None:
    tape, _ = tape_of(CONTENT, threads)
    assert tape.body(0, 40).length == 40
    assert await collect(tape, 0, 40) == [CONTENT[:10], CONTENT[10:20], CONTENT[20:30], CONTENT[30:40]]
    assert b"".join(await collect(tape, 40, 95)) == CONTENT[40:]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_the_last_piece_is_withheld_from_a_blob_that_lies(threads: ThreadPoolExecutor, algorithm: str) -> None:
    tape, _ = tape_of(CONTENT, threads, claimed=b"something else", algorithm=algorithm)
    got: list[bytes] = []
    with pytest.raises(SourceError, match=hashlib.new(algorithm, CONTENT).hexdigest()) as refused:
        await gather(tape, got)
    assert refused.value.code is Code.SOURCE_BLOB_DIGEST
    assert len(b"".join(got)) == 90


async def test_a_lie_in_one_piece_sends_nothing(threads: ThreadPoolExecutor) -> None:
    tape, _ = tape_of(CONTENT, threads, piece=1000, claimed=b"something else")
    got: list[bytes] = []
    with pytest.raises(SourceError):
        await gather(tape, got)
    assert got == []


async def test_a_body_must_begin_where_the_hash_stands(threads: ThreadPoolExecutor) -> None:
    tape, _ = tape_of(CONTENT, threads)
    with pytest.raises(ValueError, match="stands at 0"):
        tape.body(10, 20)


async def test_after_a_break_only_what_follows_the_snapshot_is_read_again(threads: ThreadPoolExecutor) -> None:
    tape, reader = tape_of(CONTENT, threads)
    await collect(tape, 0, 50)
    pieces = aiter(tape.body(50, 95))
    await anext(pieces)
    await tape.rehash(70)
    assert tape.position == 70
    before = reader.read_bytes
    assert b"".join(await collect(tape, 70, 95)) == CONTENT[70:]
    assert before <= 50 + 20 + 20, "the first fifty bytes were read once"


async def test_going_back_behind_the_snapshot_reads_from_the_start(threads: ThreadPoolExecutor) -> None:
    tape, _ = tape_of(CONTENT, threads)
    await collect(tape, 0, 50)
    await collect(tape, 50, 90)
    await tape.rehash(13)
    assert b"".join(await collect(tape, 13, 95)) == CONTENT[13:]
    tape.check()


async def test_the_whole_blob_must_have_been_hashed_before_it_is_judged(threads: ThreadPoolExecutor) -> None:
    tape, _ = tape_of(CONTENT, threads)
    await collect(tape, 0, 90)
    with pytest.raises(ValueError, match="only 90 of 95"):
        tape.check()


async def test_an_empty_blob_is_judged_without_a_piece(threads: ThreadPoolExecutor) -> None:
    tape, _ = tape_of(b"", threads)
    assert await collect(tape, 0, 0) == []
    tape.check()
    lying, _ = tape_of(b"", threads, claimed=b"not empty")
    with pytest.raises(SourceError):
        lying.check()


async def test_settling_waits_for_the_read_under_way(threads: ThreadPoolExecutor) -> None:
    tape, reader = tape_of(CONTENT, threads)
    pieces = aiter(tape.body(0, 95))
    await anext(pieces)
    await tape.settle()
    before = reader.read_bytes
    await asyncio.sleep(0.01)
    assert reader.read_bytes == before
    await tape.settle()


async def test_settling_waits_for_a_read_whose_reader_was_cancelled(threads: ThreadPoolExecutor) -> None:
    tape, reader = tape_of(CONTENT, threads)
    begun, goes_on = threading.Event(), threading.Event()

    def read(offset: int, length: int) -> bytes:
        begun.set()
        goes_on.wait(10)
        return CONTENT[offset : offset + length]

    reader.read = read  # type: ignore[method-assign]
    collecting = asyncio.ensure_future(collect(tape, 0, 95))
    await asyncio.to_thread(begun.wait, 10)
    collecting.cancel()
    await asyncio.wait([collecting])
    settling = asyncio.ensure_future(tape.settle())
    await asyncio.sleep(0.02)
    assert not settling.done()
    goes_on.set()
    await settling


async def test_a_read_that_failed_is_told_once_and_not_by_the_library_again(threads: ThreadPoolExecutor) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    tape, reader = tape_of(CONTENT, threads)
    gone = SourceError(Code.SOURCE_CHANGED, "app.tar", "was changed")
    reader.fails = gone
    with pytest.raises(SourceError) as caught:
        await collect(tape, 0, 95)
    assert caught.value is gone
    await tape.close()
    del tape, reader, gone, caught
    gc.collect()
    assert told == []


async def test_what_was_validated_before_is_read_once_and_not_hashed(threads: ThreadPoolExecutor) -> None:
    reader = Reader(CONTENT)
    blob = Descriptor("application/octet-stream", Digest.of(b"known by its file, not by its bytes"), len(CONTENT))
    tape = Tape(blob, reader, piece_size=10, threads=threads, hashing=Known(blob.digest))
    await tape.rehash(70)
    assert reader.read_bytes == 0
    assert b"".join(await collect(tape, 70, 95)) == CONTENT[70:]
    tape.check()


@pytest.fixture
def none() -> ThreadPoolExecutor:
    """Give threads that do nothing any more."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    return pool


async def test_what_another_reader_has_just_had_hashed_is_read_without_a_thread(
    threads: ThreadPoolExecutor, none: ThreadPoolExecutor
) -> None:
    shared = Shared(Digest.of(CONTENT), len(CONTENT))
    first, _ = tape_of(CONTENT, threads, hashing=shared)
    assert b"".join(await collect(first, 0, 95)) == CONTENT
    second, reader = tape_of(CONTENT, none, hashing=shared)
    assert b"".join(await collect(second, 0, 40) + await collect(second, 40, 95)) == CONTENT
    assert reader.read_bytes == 95
    second.check()


async def test_who_catches_up_with_the_hash_goes_on_in_a_thread(threads: ThreadPoolExecutor) -> None:
    shared = Shared(Digest.of(CONTENT), len(CONTENT))
    first, _ = tape_of(CONTENT, threads, hashing=shared)
    await collect(first, 0, 40)
    second, _ = tape_of(CONTENT, threads, piece=15, hashing=shared)
    assert b"".join(await collect(second, 0, 95)) == CONTENT
    second.check()


async def test_without_a_thread_others_have_their_turn_after_each_piece(threads: ThreadPoolExecutor) -> None:
    shared = Shared(Digest.of(CONTENT), len(CONTENT))
    first, _ = tape_of(CONTENT, threads, hashing=shared)
    await collect(first, 0, 95)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    second, _ = tape_of(CONTENT, threads, hashing=shared)
    other = asyncio.ensure_future(others())
    seen = [turns async for _ in second.body(0, 95)]
    other.cancel()
    assert len(set(seen)) == len(seen) == 10


@given(st.data())
def test_whatever_breaks_and_goes_on_the_hash_is_that_of_the_blob(data: st.DataObject) -> None:
    content = data.draw(st.binary(min_size=1, max_size=200))
    piece = data.draw(st.integers(1, 50))

    async def run() -> None:
        with ThreadPoolExecutor(1) as threads:
            tape, _ = tape_of(content, threads, piece=piece)
            position = 0
            for _ in range(data.draw(st.integers(0, 5))):
                stop = data.draw(st.integers(position, len(content)))
                pieces = aiter(tape.body(position, stop))
                for _ in range(data.draw(st.integers(0, 3))):
                    await anext(pieces, b"")
                position = data.draw(st.integers(0, stop))
                await tape.rehash(position)
                assert tape.position == position
            assert b"".join([part async for part in tape.body(position, len(content))]) == content[position:]
            tape.check()

    asyncio.run(run())
