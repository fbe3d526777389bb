from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, PushdError, RequestError, SourceError, StoreError
from pushd.oci.digest import Digest
from pushd.oci.image import read_image
from tests.fakes.images import ImageSpec, build_layout
from tests.unit.spool.conftest import ALICE, Layouted, made

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.oci.image import Image
    from pushd.spool import Spool
    from tests.fakes.images import Layout
    from tests.unit.spool.conftest import House


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "app", [ImageSpec(layers=[1024, 2048], platforms=["linux/amd64", "linux/arm64"])])


@pytest.fixture
def image(layout: Layout) -> Image:
    return read_image(layout.image.root, lambda it: layout.blob_path(it.digest).read_bytes())


async def test_an_image_is_kept_whole_as_its_owners(spool: Spool, house: House, layout: Layout, image: Image) -> None:
    source = Layouted(layout)

    entry = await spool.keep(source, image, uid=ALICE)

    kept = house.on_disk(entry)
    assert {f"sha256:{path.rpartition('/')[2]}" for path in kept} == {
        str(Digest.of(content)) for content in kept.values()
    }
    built = layout.image
    assert len(kept) == len({it.digest for it in (*built.manifests, *built.configs, *built.layers)})
    assert sum(map(len, kept.values())) == image.size == spool.size
    assert {file.complete for file in (await spool.get(entry, uid=ALICE)).files} == {True}
    assert all(reader.closed for reader in source.readers)
    assert house.checked == []  # nobody hashed it: the push does


async def test_what_is_kept_is_there_after_a_restart(house: House, layout: Layout, image: Image) -> None:
    async with house.open() as spool:
        entry = await spool.keep(Layouted(layout), image, uid=ALICE)
        before = await spool.get(entry, uid=ALICE)
    house.needed.add(entry)
    async with house.open() as spool:
        assert await spool.get(entry, uid=ALICE) == before


async def test_what_was_kept_for_a_job_that_never_came_to_be_goes_at_the_next_start(
    house: House, layout: Layout, image: Image
) -> None:
    async with house.open() as spool:
        entry = await spool.keep(Layouted(layout), image, uid=ALICE)
        brought = await made(spool)
    house.told.clear()
    async with house.open() as spool:
        assert (spool.entries, spool.size) == ((brought,), 1000)
        await spool.sweep(house.now, [])
        assert [path.name for path in house.directory.iterdir()] == [brought]
    (told,) = house.told
    assert (told.kind.name, told.fields["entry"], told.uid) == ("spool.removed", entry, ALICE)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceError(Code.SOURCE_CHANGED, "layer", "was changed"), Code.SOURCE_CHANGED),
        (OSError(28, "No space left on device"), Code.STORE_FULL),
        (OSError(5, "Input/output error"), Code.STORE_UNAVAILABLE),
    ],
)
async def test_a_copy_that_fails_leaves_nothing_behind(
    *, spool: Spool, house: House, layout: Layout, image: Image, error: Exception, code: Code
) -> None:
    def fail() -> None:
        if len(source.readers) == 2:
            raise error

    source = Layouted(layout, before=fail)
    with pytest.raises(PushdError) as caught:
        await spool.keep(source, image, uid=ALICE)

    assert caught.value.code is code
    assert (spool.size, list(house.directory.iterdir())) == (0, [])
    assert all(reader.closed for reader in source.readers)
    assert await made(spool, house.per_user)


async def test_a_copy_that_is_cancelled_leaves_nothing_behind(
    spool: Spool, house: House, layout: Layout, image: Image
) -> None:
    begun, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow() -> None:
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(10)

    keeping = asyncio.create_task(spool.keep(Layouted(layout, before=slow), image, uid=ALICE))
    await begun.wait()
    keeping.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await keeping

    assert (spool.size, list(house.directory.iterdir())) == (0, [])


async def test_an_image_larger_than_what_is_left_is_refused_before_a_byte_is_read(
    spool: Spool, house: House, layout: Layout, image: Image
) -> None:
    await made(spool, house.per_user - image.size + 1)
    source = Layouted(layout)
    with pytest.raises(RequestError) as limit:
        await spool.keep(source, image, uid=ALICE)
    house.refuses = StoreError(Code.STORE_BUDGET, "spool", "is at its budget")
    with pytest.raises(StoreError) as budget:
        await spool.keep(source, image, uid=ALICE + 1)

    assert (limit.value.code, budget.value.code) == (Code.REQUEST_LIMIT, Code.STORE_BUDGET)
    assert source.readers == []


async def test_an_entry_is_not_swept_while_an_image_is_copied_into_it(
    spool: Spool, house: House, layout: Layout, image: Image
) -> None:
    begun, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow() -> None:
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(10)

    keeping = asyncio.create_task(spool.keep(Layouted(layout, before=slow), image, uid=ALICE))
    await begun.wait()
    house.later(10_000)
    await spool.sweep(house.now, set())
    go.set()

    assert len(house.on_disk(await keeping)) > 3
