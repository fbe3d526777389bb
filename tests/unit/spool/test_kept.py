"""Compressed layers kept for the next image that has them: for their user alone, while there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, StoreError
from pushd.oci.compression import Encoding
from pushd.oci.image import read_image
from pushd.source.spooled import SpooledSource
from pushd.spool import Limits
from tests.fakes.images import ImageSpec, build_layout
from tests.unit.spool.conftest import ALICE, BOB, Layouted, made

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.oci.image import Image
    from pushd.spool import Spool
    from pushd.work import Compressed
    from tests.fakes.images import Layout
    from tests.unit.spool.conftest import House

SIZES = (3000, 0, 1, 50_000)


@pytest.fixture
def house(house: House) -> House:
    house.keep = 1 << 20
    return house


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "app", [ImageSpec(layers=SIZES, compressed=False)])


@pytest.fixture
def image(layout: Layout) -> Image:
    return image_of(layout)


def image_of(layout: Layout) -> Image:
    return read_image(layout.image.root, lambda it: layout.blob_path(it.digest).read_bytes())


async def compress(
    spool: Spool, source: Layouted, image: Image, encoding: Encoding = Encoding.GZIP, *, uid: int = ALICE
) -> Compressed:
    return await spool.compress(source, image, encoding, uid=uid, boundary=lambda: None)


async def test_more_of_them_than_a_start_has_time_to_look_at_are_not_kept(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushd.spool.kept.MOST", 2)
    layout = build_layout(tmp_path / "small", [ImageSpec(layers=[3000, 3001, 3002], compressed=False)])
    async with house.open() as spool:
        await compress(spool, Layouted(layout), image_of(layout))
        assert len(kept(house)) == 2
    monkeypatch.setattr("pushd.spool.kept.MOST", 1)
    async with house.open():
        assert len(kept(house)) == 1


def kept(house: House) -> list[Path]:
    """Give the files there are for the next image."""
    return [path for path in (house.directory / "packed").rglob("*") if path.is_file()]


async def test_the_next_image_with_the_same_layers_is_the_same_and_nothing_is_compressed_for_it(
    spool: Spool, house: House, layout: Layout, image: Image
) -> None:
    first = await compress(spool, Layouted(layout), image)
    source = Layouted(layout)
    second = await compress(spool, source, image)
    assert (first.reused, second.reused) == (0, len(SIZES))
    assert second.image == first.image
    assert house.on_disk(second.spool) == house.on_disk(first.spool)
    config = image.root.manifest.blobs[0]
    assert [reader.path for reader in source.readers] == [layout.blob_path(config.digest)]


async def test_of_an_image_with_one_new_layer_that_one_is_compressed(spool: Spool, tmp_path: Path) -> None:
    base = build_layout(tmp_path / "base", [ImageSpec(layers=[3000, 50_000], compressed=False)])
    more = build_layout(tmp_path / "more", [ImageSpec(layers=[3000, 50_000, 700], compressed=False)])
    await compress(spool, Layouted(base), image_of(base))
    compressed = await compress(spool, Layouted(more), image_of(more))
    assert (compressed.layers, compressed.reused) == (3, 2)


async def test_they_outlast_the_jobs_they_were_made_for_and_a_restart(
    house: House, layout: Layout, image: Image
) -> None:
    async with house.open() as spool:
        first = await compress(spool, Layouted(layout), image)
        await spool.discard(first.spool, "its job has ended")
        assert (len(kept(house)), spool.size) == (len(SIZES), first.after)
    async with house.open() as spool:
        assert spool.size == first.after
        second = await compress(spool, Layouted(layout), image)
        assert (second.reused, second.image) == (len(SIZES), first.image)


async def test_an_entry_needs_none_of_them_once_it_is_made(
    spool: Spool, house: House, layout: Layout, image: Image
) -> None:
    first = await compress(spool, Layouted(layout), image)
    before = house.on_disk(first.spool)
    spool.configure(Limits(per_user=house.per_user, ttl=house.ttl))
    await spool.sweep(house.now, [first.spool])
    assert kept(house) == []
    assert house.on_disk(first.spool) == before


async def test_whoever_reads_one_is_not_disturbed_by_its_names_that_come_and_go(
    spool: Spool, house: House, layout: Layout, image: Image
) -> None:
    first = await compress(spool, Layouted(layout), image)
    large = max(first.image.blobs, key=lambda blob: blob.size)
    source = SpooledSource(house.directory / first.spool, None)
    reader = source.open(large)
    identity = reader.identity
    content = reader.read(0, 10_000)
    await compress(spool, Layouted(layout), image)
    spool.configure(Limits(per_user=house.per_user, ttl=house.ttl))
    await spool.sweep(house.now, [first.spool])
    content += reader.read(10_000, large.size - 10_000)
    reader.close()
    again = source.open(large)
    assert (large.digest.matches(content), again.identity) == (True, identity)
    again.close()
    source.close()


async def test_what_one_users_layers_became_nobody_else_is_given(spool: Spool, layout: Layout, image: Image) -> None:
    # Bob may know no more of a layer than its digest.
    await compress(spool, Layouted(layout), image, uid=ALICE)
    assert (await compress(spool, Layouted(layout), image, uid=BOB)).reused == 0
    assert (await compress(spool, Layouted(layout), image, uid=BOB)).reused == len(SIZES)


async def test_what_is_compressed_in_one_way_is_not_taken_for_another(
    spool: Spool, layout: Layout, image: Image
) -> None:
    gzip = await compress(spool, Layouted(layout), image, Encoding.GZIP)
    zstd = await compress(spool, Layouted(layout), image, Encoding.ZSTD)
    assert zstd.reused == 0
    assert (await compress(spool, Layouted(layout), image, Encoding.GZIP)).image == gzip.image
    assert (await compress(spool, Layouted(layout), image, Encoding.ZSTD)).image == zstd.image


async def test_those_that_were_used_least_recently_go_first(house: House, tmp_path: Path) -> None:
    layouts = [
        build_layout(tmp_path / f"app{number}", [ImageSpec(layers=[100_000 + number], compressed=False)])
        for number in range(3)
    ]
    one, two, three = [(Layouted(layout), image_of(layout)) for layout in layouts]
    house.keep = 250_000
    async with house.open() as spool:
        for source, image in (one, two, one, three):
            await compress(spool, source, image)
        assert spool.size - spool._accounts.size <= house.keep
        assert [(await compress(spool, *it)).reused for it in (one, three)] == [1, 1]
    async with house.open() as spool:
        assert [(await compress(spool, *it)).reused for it in (one, two)] == [1, 0]


async def test_one_larger_than_all_that_may_be_kept_is_not(house: House, layout: Layout, image: Image) -> None:
    house.keep = 10_000
    async with house.open() as spool:
        await compress(spool, Layouted(layout), image)
        assert (await compress(spool, Layouted(layout), image)).reused == len(SIZES) - 1


@pytest.mark.parametrize("keep", [0, 10_000])
async def test_with_less_room_than_before_what_is_too_much_goes_at_the_start(
    house: House, layout: Layout, image: Image, keep: int
) -> None:
    async with house.open() as spool:
        first = await compress(spool, Layouted(layout), image)
        await spool.discard(first.spool, "its job has ended")
    house.keep = keep
    async with house.open() as spool:
        assert spool.size == sum(path.stat().st_size for path in kept(house)) <= keep


async def test_what_somebody_removed_from_the_disk_is_compressed_again(
    spool: Spool, house: House, layout: Layout, image: Image
) -> None:
    first = await compress(spool, Layouted(layout), image)
    for path in kept(house):
        path.unlink()
    second = await compress(spool, Layouted(layout), image)
    assert (second.reused, second.image) == (0, first.image)
    assert (await compress(spool, Layouted(layout), image)).reused == len(SIZES)


async def test_what_turned_out_to_be_wrong_is_not_given_again(
    spool: Spool, house: House, layout: Layout, image: Image
) -> None:
    first = await compress(spool, Layouted(layout), image)
    await spool.distrust(blob.digest for blob in first.image.blobs)
    assert kept(house) == []
    assert (await compress(spool, Layouted(layout), image)).reused == 0


async def test_what_comes_needs_room_more_than_what_may_be_of_use(
    spool: Spool, house: House, layout: Layout, image: Image
) -> None:
    first = await compress(spool, Layouted(layout), image)
    await spool.discard(first.spool, "its job has ended")
    house.refuses = StoreError(Code.STORE_FULL, "disk", "the disk is full")
    house.fits = lambda: not kept(house)
    assert await made(spool)
    assert kept(house) == []
    house.fits = lambda: False
    with pytest.raises(StoreError):
        await made(spool)


async def test_where_a_disk_is_short_they_go_at_the_next_look(
    spool: Spool, house: House, layout: Layout, image: Image
) -> None:
    first = await compress(spool, Layouted(layout), image)
    await spool.sweep(house.now, [first.spool])
    assert kept(house)
    house.refuses = StoreError(Code.STORE_FULL, "disk", "the disk is full")
    await spool.sweep(house.now, [first.spool])
    assert (kept(house), spool.size) == ([], first.image.size)


async def test_what_is_none_of_them_is_cleared_away(house: House, layout: Layout, image: Image) -> None:
    async with house.open() as spool:
        first = await compress(spool, Layouted(layout), image)
        await spool.discard(first.spool, "its job has ended")
    (large,) = [path for path in kept(house) if path.stat().st_size > 10_000]
    (large.parent / "no digest").write_bytes(b"x")
    (large.parent.parent / "sha256-abc").mkdir()
    (house.directory / "packed" / "nobody").mkdir()
    (house.directory / "packed" / "link").symlink_to(large)
    async with house.open() as spool:
        assert spool.size == sum(path.stat().st_size for path in kept(house)) < first.after
        assert not large.exists()
        assert [path.name for path in (house.directory / "packed").iterdir()] == [str(ALICE)]
        assert (await compress(spool, Layouted(layout), image)).reused == len(SIZES) - 1
