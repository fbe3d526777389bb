"""A blob on its way from one registry to another: in order, hashed, and again from where it broke."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import pytest

from pushd.errors import Code, RegistryError, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.push import persistence
from pushd.push.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = random.Random(3).randbytes(10_000)
GONE = RegistryError(Code.REGISTRY_INTERRUPTED, "app", "the connection broke")


@dataclass
class Stream:
    """A blob that comes in small slices, as far as `until`; then it breaks off, or just ends."""

    content: bytes
    offset: int
    until: int
    slice: int = 300
    ends: bool = False
    closed: bool = False

    async def read(self) -> bytes:
        assert not self.closed
        await asyncio.sleep(0)
        piece = self.content[self.offset : min(self.offset + self.slice, self.until)]
        if not piece and self.until < len(self.content) and not self.ends:
            raise GONE
        self.offset += len(piece)
        return piece

    def close(self) -> None:
        self.closed = True


@dataclass
class Origin:
    """Where the blob is: gives one stream after another.

    Attributes:
        breaks: where each of the next streams breaks off.
        refusals: what the next attempts to open one come to.
        ranges: whether it begins where it is asked to.
        opened: where each stream was asked to begin.
    """

    content: bytes = CONTENT
    breaks: list[int] = field(default_factory=list)
    refusals: list[RegistryError] = field(default_factory=list)
    ranges: bool = True
    ends: bool = False
    opened: list[int] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)

    async def open(self, offset: int) -> Stream:
        self.opened.append(offset)
        if self.refusals:
            raise self.refusals.pop(0)
        until = self.breaks.pop(0) if self.breaks else len(self.content)
        self.streams.append(Stream(self.content, offset if self.ranges else 0, until, ends=self.ends))
        return self.streams[-1]


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "_PAUSES", (0.0, 0.0, 0.0, 0.0))


def relay_of(origin: Origin, threads: ThreadPoolExecutor, *, claimed: bytes = CONTENT, piece: int = 1000) -> Relay:
    blob = Descriptor("a/b", Digest.of(claimed), len(claimed))
    return Relay(blob, origin.open, piece_size=piece, threads=threads, rng=lambda: 0.5)


async def taken(relay: Relay, start: int = 0, stop: int = len(CONTENT)) -> bytes:
    return b"".join([piece async for piece in relay.body(start, stop)])


async def test_it_comes_whole_in_pieces_by_one_stream(threads: ThreadPoolExecutor) -> None:
    origin = Origin()
    relay = relay_of(origin, threads)
    assert [len(piece) async for piece in relay.body(0, len(CONTENT))] == [1000] * 10
    relay.check()
    await relay.close()
    assert origin.opened == [0]
    assert origin.streams[0].closed


async def test_several_bodies_are_read_from_one_stream(threads: ThreadPoolExecutor) -> None:
    origin = Origin()
    relay = relay_of(origin, threads)
    parts = [await taken(relay, start, start + 2500) for start in range(0, 10_000, 2500)]
    assert b"".join(parts) == CONTENT
    assert origin.opened == [0]
    with pytest.raises(ValueError, match="the body starts at 5"):
        relay.body(5, 10)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("ranges", [True, False])
async def test_a_stream_that_breaks_goes_on_where_it_broke(
    threads: ThreadPoolExecutor, ends: bool, ranges: bool
) -> None:
    origin = Origin(breaks=[1, 4444, 4445, 9999], ends=ends, ranges=ranges)
    relay = relay_of(origin, threads)
    assert await taken(relay) == CONTENT
    assert origin.opened == [0, 1, 4444, 4445, 9999]
    assert all(stream.closed for stream in origin.streams)


async def test_one_that_comes_no_further_is_given_up_for_now(threads: ThreadPoolExecutor) -> None:
    origin = Origin(breaks=[5000] * 100)
    relay = relay_of(origin, threads)
    with pytest.raises(SourceError) as caught:
        await taken(relay)
    assert caught.value.code is Code.SOURCE_INTERRUPTED
    assert caught.value.retryable
    assert origin.opened == [0, 5000, 5000, 5000, 5000]


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (RegistryError(Code.REGISTRY_NOT_FOUND, "app", "gone"), Code.SOURCE_NOT_FOUND),
        (RegistryError(Code.REGISTRY_DENIED, "app", "no"), Code.SOURCE_DENIED),
        (RegistryError(Code.REGISTRY_UNAUTHORIZED, "app", "no"), Code.SOURCE_UNAUTHORIZED),
        (RegistryError(Code.REGISTRY_TLS, "app", "no"), Code.SOURCE_UNREADABLE),
        (RegistryError(Code.REGISTRY_THROTTLED, "app", "later", retry_after=600), Code.SOURCE_THROTTLED),
    ],
)
async def test_what_does_not_pass_by_itself_is_not_tried_again(
    threads: ThreadPoolExecutor, refusal: RegistryError, code: Code
) -> None:
    origin = Origin(refusals=[refusal])
    with pytest.raises(SourceError) as caught:
        await taken(relay_of(origin, threads))
    assert (caught.value.code, caught.value.retry_after) == (code, refusal.retry_after)
    assert str(caught.value).startswith("source app: ")
    assert origin.opened == [0]


async def test_a_refusal_that_passes_is_sat_out(threads: ThreadPoolExecutor) -> None:
    busy = RegistryError(Code.REGISTRY_UNAVAILABLE, "app", "busy")
    origin = Origin(refusals=[busy, busy])
    assert await taken(relay_of(origin, threads)) == CONTENT


async def test_the_last_piece_of_a_blob_that_lies_is_withheld(threads: ThreadPoolExecutor) -> None:
    origin = Origin(content=CONTENT[:-1] + b"!")
    relay = relay_of(origin, threads)
    got = bytearray()

    async def take() -> None:
        async for piece in relay.body(0, len(CONTENT)):
            got.extend(piece)

    with pytest.raises(SourceError) as caught:
        await take()
    assert caught.value.code is Code.SOURCE_BLOB_DIGEST
    assert got == CONTENT[:9000]
    await relay.close()


async def test_after_a_restart_what_was_sent_is_read_again_and_only_hashed(threads: ThreadPoolExecutor) -> None:
    origin = Origin()
    relay = relay_of(origin, threads)
    await relay.rehash(7777)
    assert relay.position == 7777
    assert await taken(relay, 7777) == CONTENT[7777:]
    assert origin.opened == [0]


async def test_what_an_upload_lost_is_read_again_from_the_mark_before(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushd.push.relay._MARK", 2000)
    origin = Origin()
    relay = relay_of(origin, threads)
    await taken(relay, 0, 9000)
    await relay.rehash(5500)
    assert await taken(relay, 5500) == CONTENT[5500:]
    assert origin.opened == [0, 4000]
    await relay.rehash(1)
    assert await taken(relay, 1) == CONTENT[1:]
    assert origin.opened == [0, 4000, 0]


async def test_nothing_is_read_again_when_nothing_was_lost(threads: ThreadPoolExecutor) -> None:
    origin = Origin()
    relay = relay_of(origin, threads)
    await taken(relay, 0, 5000)
    relay.body(5000, 6000)  # begun, and refused before anything of it was pulled
    await relay.rehash(5000)
    assert await taken(relay, 5000) == CONTENT[5000:]
    assert origin.opened == [0]


@pytest.mark.parametrize("turns", range(1, 40, 3))
async def test_wherever_a_body_is_cut_short_the_next_one_is_right(threads: ThreadPoolExecutor, turns: int) -> None:
    origin = Origin()
    relay = relay_of(origin, threads)

    async def take() -> None:
        await taken(relay)

    task = asyncio.ensure_future(take())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with anyio.CancelScope():
        await asyncio.wait([task])
    await relay.rehash(300)
    assert await taken(relay, 300) == CONTENT[300:]
    await relay.close()
    assert all(stream.closed for stream in origin.streams)
