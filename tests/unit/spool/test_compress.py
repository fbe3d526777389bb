"""Plain layers compressed into an entry: the same bytes whoever does it, whole and durable, or nothing at all."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest
import zstandard

from pushd.errors import Code, PushdError, RequestError, SourceError, StoreError
from pushd.oci.compression import Encoding, Plain, plain_layers
from pushd.oci.digest import Digest
from pushd.oci.image import read_image
from pushd.spool import compressing
from pushd.spool.compressing import compress_layers, room_for
from pushd.spool.record import Record
from pushd.spool.shelf import Shelf
from tests.fakes.images import ImageSpec, build_layout
from tests.unit.spool.conftest import ALICE, NOON, Layouted, made

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pushd.oci.compression import Packed
    from pushd.oci.image import Image
    from pushd.spool import Spool
    from pushd.work import Compressed
    from tests.fakes.images import Layout
    from tests.unit.spool.conftest import House

SIZES = (3000, 0, 1, 50_000)
ENTRY = "0" * 24


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "app", [ImageSpec(layers=SIZES, compressed=False)])


@pytest.fixture
def image(layout: Layout) -> Image:
    return read_image(layout.image.root, lambda it: layout.blob_path(it.digest).read_bytes())


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressing, "PIECE", 1000)


def never() -> None:
    """Let everything go on."""


async def compress(
    spool: Spool,
    source: Layouted,
    image: Image,
    encoding: Encoding = Encoding.GZIP,
    boundary: Callable[[], None] = never,
) -> Compressed:
    return await spool.compress(source, image, encoding, uid=ALICE, boundary=boundary)


def unpacked(content: bytes, encoding: Encoding) -> bytes:
    return gzip.decompress(content) if encoding is Encoding.GZIP else zstandard.ZstdDecompressor().decompress(content)


@pytest.mark.parametrize("encoding", Encoding)
async def test_an_entry_holds_the_whole_image_and_the_layers_unpack_to_what_they_were(
    spool: Spool, house: House, layout: Layout, image: Image, encoding: Encoding
) -> None:
    source = Layouted(layout)
    compressed = await compress(spool, source, image, encoding)

    after, kept = compressed.image, house.on_disk(compressed.spool)
    contents = {Digest.of(content): content for content in kept.values()}
    assert contents.keys() == {Digest("sha256", path.rpartition("/")[2]) for path in kept}
    assert contents.keys() == {it.digest for it in after.blobs} | {it.descriptor.digest for it in after.documents}
    config, *layers = after.root.manifest.blobs
    assert config == image.root.manifest.blobs[0]
    plain = [Digest.of(unpacked(contents[layer.digest], encoding)) for layer in layers]
    assert plain == [layer.digest for layer in image.root.manifest.blobs[1:]]
    assert [len(contents[layer.digest]) for layer in layers] == [layer.size for layer in layers]
    assert (compressed.layers, compressed.before) == (4, sum(SIZES))
    assert compressed.after == sum(layer.size for layer in layers)
    assert all(reader.closed for reader in source.readers)


async def test_what_is_reserved_is_what_is_there_and_goes_with_the_entry(
    house: House, layout: Layout, image: Image
) -> None:
    async with house.open() as spool:
        compressed = await compress(spool, Layouted(layout), image)
        assert spool.size == compressed.image.size == sum(map(len, house.on_disk(compressed.spool).values()))
        before = await spool.get(compressed.spool, uid=ALICE)
        files = spool._accounts.of(ALICE).files
    house.needed.add(compressed.spool)
    async with house.open() as spool:
        assert await spool.get(compressed.spool, uid=ALICE) == before
        assert spool._accounts.of(ALICE).files == files
        house.needed.clear()
        await spool.discard(compressed.spool, "its job has ended")
        assert (spool.size, spool._accounts.of(ALICE).files) == (0, 0)
        assert await made(spool, house.per_user)


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("size", [0, 1, 1000, 70_000, 500_000])
async def test_there_is_room_for_what_cannot_be_made_smaller(tmp_path: Path, size: int, encoding: Encoding) -> None:
    (packed,) = await packed_layers(tmp_path, [os.urandom(size)], encoding)
    assert packed.size <= size + room_for([Plain(Digest.of(b""), size, encoding)])


async def test_the_header_of_gzip_tells_no_time_and_no_name(tmp_path: Path) -> None:
    (packed,) = await packed_layers(tmp_path, [b"text" * 10_000], Encoding.GZIP)
    content = (tmp_path / "spool" / ENTRY / "blobs" / "sha256" / packed.digest.encoded).read_bytes()
    assert content[:10] == bytes.fromhex("1f8b 08 00 00000000 00 ff")
    assert len(content) < 1000


@pytest.mark.parametrize("encoding", Encoding)
async def test_the_same_bytes_become_the_same_with_any_number_of_threads_and_in_another_process(
    tmp_path: Path, encoding: Encoding
) -> None:
    one = await packed_layers(tmp_path / "one", repetitive(), encoding, threads=1)
    four = await packed_layers(tmp_path / "four", repetitive(), encoding, threads=4)
    assert one == four
    program = f"""
import asyncio, pathlib
from tests.unit.spool.test_compress import Encoding, compressing, packed_layers, repetitive
compressing.PIECE = 1000
directory = pathlib.Path({str(tmp_path / "other")!r})
for packed in asyncio.run(packed_layers(directory, repetitive(), Encoding("{encoding}"))):
    print(packed.digest)
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(packed.digest) for packed in one]


def repetitive() -> list[bytes]:
    """Give layers that can be made smaller, and are no two the same."""
    return [bytes(range(256)) * 40 + str(number).encode() * 999 for number in range(8)]


class Memory:
    """A source of layers that are in memory."""

    def __init__(self, contents: list[bytes]) -> None:
        self._contents = {Digest.of(content): content for content in contents}

    def open(self, blob: object) -> Reading:
        return Reading(self._contents[blob.digest])  # type: ignore[attr-defined]  # a descriptor


class Reading:
    """A reader of one of them."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]

    def copy_to(self, fd: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""


async def packed_layers(
    directory: Path, contents: list[bytes], encoding: Encoding, *, threads: int = 2
) -> list[Packed]:
    """Compress layers into an entry in a directory; give what they became, in order."""
    layers = [Plain(Digest.of(content), len(content), encoding) for content in contents]
    shelf = Shelf(directory / "spool")
    shelf.make(ENTRY, Record.fresh(uid=ALICE, size=0, ttl=60, now=NOON))
    with ThreadPoolExecutor(threads) as executor:
        packed = await compress_layers(
            Memory(contents),
            layers,
            shelf,
            ENTRY,
            threads=executor,
            places=anyio.CapacityLimiter(threads),
            boundary=never,
            done=lambda _, __: None,
        )
    shelf.close()
    return [packed[layer] for layer in layers]


# ------------------------------------------------------------------------------------------------- going wrong


async def check_nothing_left(spool: Spool, house: House, source: Layouted) -> None:
    assert (spool.size, list(house.directory.iterdir())) == (0, [])
    assert spool._accounts.of(ALICE).files == 0
    assert all(reader.closed for reader in source.readers)
    assert await made(spool, house.per_user)


async def test_a_layer_that_is_not_what_its_digest_says_is_refused_by_it(
    spool: Spool, house: House, layout: Layout, image: Image
) -> None:
    layer = image.root.manifest.blobs[1]
    layout.blob_path(layer.digest).write_bytes(b"x" * layer.size)
    source = Layouted(layout)
    with pytest.raises(SourceError, match="has the digest sha256:") as caught:
        await compress(spool, source, image)
    assert (caught.value.code, caught.value.subject) == (Code.SOURCE_BLOB_DIGEST, str(layer.digest))
    await check_nothing_left(spool, house, source)


@pytest.mark.parametrize("readings", [1, 10, 50])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceError(Code.SOURCE_CHANGED, "layer", "was changed"), Code.SOURCE_CHANGED),
        (StoreError(Code.STORE_FULL, "spool", "the disk is full"), Code.STORE_FULL),
    ],
)
async def test_what_goes_wrong_at_any_piece_leaves_nothing_behind(
    *, spool: Spool, house: House, layout: Layout, image: Image, error: PushdError, code: Code, readings: int
) -> None:
    read = 0

    def fail() -> None:
        nonlocal read
        read += 1
        if read == readings:
            raise error

    source = Layouted(layout, before=fail)
    with pytest.raises(PushdError) as caught:
        await compress(spool, source, image)
    assert caught.value.code is code
    await check_nothing_left(spool, house, source)


async def test_a_disk_that_is_full_is_said_to_be(
    spool: Spool, house: House, layout: Layout, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    fdopen = os.fdopen

    def full(fd: int, mode: str, buffering: int = -1) -> object:
        os.close(fd)
        return fdopen(os.open("/dev/full", os.O_WRONLY), mode, buffering=buffering)

    monkeypatch.setattr(compressing.os, "fdopen", full)  # type: ignore[attr-defined]  # the module it uses
    source = Layouted(layout)
    with pytest.raises(StoreError) as caught:
        await compress(spool, source, image)
    assert caught.value.code is Code.STORE_FULL
    await check_nothing_left(spool, house, source)


@pytest.mark.parametrize("boundaries", [1, 10, 50])
async def test_whoever_is_to_stop_does_so_between_two_pieces(
    spool: Spool, house: House, layout: Layout, image: Image, boundaries: int
) -> None:
    class StoppedError(Exception):
        """It is to stop."""

    passed = 0

    def boundary() -> None:
        nonlocal passed
        passed += 1
        if passed >= boundaries:
            raise StoppedError

    source = Layouted(layout)
    with pytest.raises(StoppedError):
        await compress(spool, source, image, boundary=boundary)
    await check_nothing_left(spool, house, source)


async def test_whoever_is_cancelled_does_not_go_on_to_the_end(
    spool: Spool, house: House, layout: Layout, image: Image
) -> None:
    begun, go, read = asyncio.Event(), threading.Event(), 0
    loop = asyncio.get_running_loop()

    def slow() -> None:
        nonlocal read
        read += 1
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(10)

    source = Layouted(layout, before=slow)
    async with anyio.create_task_group() as group:
        group.start_soon(compress, spool, source, image)
        await begun.wait()
        group.cancel_scope.cancel()
        loop.call_later(0.05, go.set)
    assert read <= (os.cpu_count() or 1)
    await check_nothing_left(spool, house, source)


async def test_what_has_no_room_as_it_is_is_refused_before_a_byte_is_read(
    spool: Spool, house: House, layout: Layout, image: Image
) -> None:
    await made(spool, house.per_user - image.size)
    source = Layouted(layout)
    with pytest.raises(PushdError) as limit:
        await compress(spool, source, image)
    house.refuses = StoreError(Code.STORE_BUDGET, "spool", "is at its budget")
    with pytest.raises(StoreError) as budget:
        await spool.compress(source, image, Encoding.GZIP, uid=ALICE + 1, boundary=never)
    assert (limit.value.code, budget.value.code) == (Code.REQUEST_LIMIT, Code.STORE_BUDGET)
    assert source.readers == []


async def test_what_a_crash_left_half_done_is_nobodys_at_the_next_start(
    house: House, layout: Layout, image: Image, tmp_path: Path
) -> None:
    crashed = tmp_path / "crashed"

    def crash() -> None:
        if not crashed.exists() and any(house.directory.glob("*/blobs/sha256/*")):
            shutil.copytree(house.directory, crashed)

    async with house.open() as spool:
        whole = await compress(spool, Layouted(layout), image, boundary=crash)
    assert any(crashed.glob("*/incoming/*"))
    house.directory = crashed
    async with house.open() as spool:
        assert (spool.size, spool.entries, spool._accounts.of(ALICE).files) == (0, (), 0)
        with pytest.raises(RequestError):
            await spool.get(whole.spool, uid=ALICE)
        await spool.sweep(house.now, [])
        assert list(house.directory.iterdir()) == []


def test_a_layer_is_compressed_once_though_it_is_listed_twice(image: Image) -> None:
    twice = replace(image, documents=image.documents * 2)
    assert plain_layers(twice, Encoding.ZSTD) == plain_layers(image, Encoding.ZSTD)
