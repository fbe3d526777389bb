from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.push.held import Held
from pushd.source import open_source
from tests.fakes.images import ImageSpec, build_layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.images import Layout


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "image", [ImageSpec(layers=[1000])])


async def read(layout: Layout, threads: ThreadPoolExecutor) -> Held:
    source = open_source(f"oci:{layout.path}", uid=0, gids=frozenset())
    try:
        return await Held.read(source, layout.image.layers[0], threads=threads)
    finally:
        source.close()


async def test_it_gives_any_of_its_bytes_as_often_as_they_are_wanted(
    layout: Layout, threads: ThreadPoolExecutor
) -> None:
    content = layout.blob_path(layout.image.layers[0].digest).read_bytes()
    held = await read(layout, threads)
    await held.rehash(10)
    for start, stop in ((0, len(content)), (10, 30), (0, len(content))):
        body = held.body(start, stop)
        assert (body.length, body.content) == (stop - start, content[start:stop])
        assert b"".join([piece async for piece in body]) == content[start:stop]
    held.check()
    await held.close()


async def test_one_that_is_not_what_its_digest_says_is_never_there_to_be_sent(
    layout: Layout, threads: ThreadPoolExecutor
) -> None:
    path = layout.blob_path(layout.image.layers[0].digest)
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(SourceError, match=Digest.of(path.read_bytes()).encoded) as refused:
        await read(layout, threads)
    assert refused.value.code is Code.SOURCE_BLOB_DIGEST


async def test_an_empty_blob_has_nothing_to_send(threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000])])
    empty = Descriptor("application/octet-stream", Digest.of(b""), 0)
    layout.blob_path(empty.digest).write_bytes(b"")
    source = open_source(f"oci:{layout.path}", uid=0, gids=frozenset())
    held = await Held.read(source, empty, threads=threads)
    source.close()
    assert held.body(0, 0).content == b""
