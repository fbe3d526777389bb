from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, SourceError
from pushd.source import SpooledSource
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.referrers import listing, refer

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.oci.image import Image
    from pushd.push.ports.source import Source
    from tests.fakes.images import Layout

PLATFORMS = ("linux/amd64", "linux/arm64")


@pytest.fixture
def spooled(tmp_path: Path) -> Layout:
    """Give an entry as the spool keeps it: blobs alone, closed to everybody else."""
    layout = build_layout(tmp_path / "0c5a", [ImageSpec(platforms=PLATFORMS, layers=[300, 5000])])
    for document in ("oci-layout", "index.json"):
        (layout.path / document).unlink()
    layout.path.chmod(0o700)
    return layout


def read(layout: Layout) -> Image:
    source: Source = SpooledSource(layout.path, layout.image.root)  # what the engine asks for is what is given
    try:
        return source.image()
    finally:
        source.close()


def refusal(layout: Layout) -> SourceError:
    with pytest.raises(SourceError) as caught:
        read(layout)
    return caught.value


def test_an_image_is_read_from_its_root(spooled: Layout) -> None:
    image = read(spooled)
    assert tuple(document.descriptor for document in image.documents) == spooled.image.manifests
    assert set(image.blobs) == set(spooled.image.blobs)


def test_what_was_brought_with_an_image_is_found_by_its_list(spooled: Layout) -> None:
    signature = refer(spooled, spooled.image.root)
    index = listing(spooled, [signature])
    source = SpooledSource(spooled.path, spooled.image.root, index.digest)
    image = source.with_referrers(source.image())
    assert [document.descriptor for document in image.referrers] == [signature]
    spooled.blob_path(index.digest).write_bytes(b"other")
    with pytest.raises(SourceError, match="is not what its digest says") as caught:
        source.with_referrers(source.image())
    assert caught.value.code is Code.SOURCE_BLOB_DIGEST
    spooled.blob_path(index.digest).unlink()
    with pytest.raises(SourceError, match=str(index.digest)) as caught:
        source.with_referrers(source.image())
    assert caught.value.code is Code.SOURCE_BLOB_MISSING
    source.close()


def test_where_nothing_was_brought_with_it_the_image_is_all(spooled: Layout) -> None:
    source = SpooledSource(spooled.path, spooled.image.root)
    image = source.image()
    assert source.with_referrers(image) == image
    source.close()


def test_blobs_are_opened_without_knowing_the_root(spooled: Layout) -> None:
    source = SpooledSource(spooled.path, None)
    for blob in spooled.image.blobs:
        assert blob.digest.matches(source.open(blob).whole())
    with pytest.raises(ValueError, match="root"):
        source.image()
    source.close()


def test_an_entry_that_is_gone_says_to_push_again(spooled: Layout) -> None:
    spooled.path.rename(spooled.path.with_name("moved"))

    error = refusal(spooled)
    assert error.code is Code.SOURCE_NOT_FOUND
    assert not error.retryable
    assert str(error) == "spool entry 0c5a: is gone; its time was up, or its job had ended: push the image again"


def test_an_entry_that_goes_meanwhile_leaves_its_blobs_missing(spooled: Layout) -> None:
    source = SpooledSource(spooled.path, None)
    blob = spooled.image.layers[0]
    spooled.blob_path(blob.digest).unlink()

    with pytest.raises(SourceError) as caught:
        source.open(blob)
    source.close()
    assert caught.value.code is Code.SOURCE_BLOB_MISSING
    assert caught.value.subject == f"{blob.digest} in spool entry 0c5a"


def test_a_blob_that_was_not_brought_whole_is_refused(spooled: Layout) -> None:
    os.truncate(spooled.blob_path(spooled.image.layers[0].digest), 299)

    assert refusal(spooled).code is Code.SOURCE_BLOB_SIZE


def test_an_entry_is_a_directory_and_no_link_to_one(spooled: Layout) -> None:
    moved = spooled.path.with_name("moved")
    spooled.path.rename(moved)
    spooled.path.symlink_to(moved)
    assert refusal(spooled).code is Code.SOURCE_UNREADABLE

    spooled.path.unlink()
    spooled.path.touch()
    assert refusal(spooled).code is Code.SOURCE_UNREADABLE


def test_inside_an_entry_no_link_is_followed(spooled: Layout, tmp_path: Path) -> None:
    path = spooled.blob_path(spooled.image.layers[0].digest)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    assert refusal(spooled).code is Code.SOURCE_BLOB_NOT_REGULAR


def test_nothing_stays_open(spooled: Layout) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names are enough)
    read(spooled)
    source = SpooledSource(spooled.path, None)
    source.close()
    source.close()

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 (names are enough)
    with pytest.raises(ValueError, match="closed"):
        source.open(spooled.image.layers[0])
