"""What a layout has about an image in it, in the ways tools write that down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, SourceError
from pushd.oci.referrers import referrers_tag
from pushd.source import about, open_source
from tests.fakes.dirs import flatten
from tests.fakes.images import INDEX, MANIFEST, ImageSpec, build_layout, entry
from tests.fakes.referrers import cosign, listed_as, listing, refer, tag_of, tagged

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.document import Document
    from pushd.oci.image import Image
    from tests.fakes.images import Layout

PLATFORMS = ("linux/amd64", "linux/arm64")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "app", [ImageSpec(tag="1.4", platforms=PLATFORMS)])


def read(name: str) -> Image:
    source = open_source(name, uid=0, gids=frozenset())
    try:
        return source.with_referrers(source.image())
    finally:
        source.close()


def read_layout(layout: Layout) -> Image:
    return read(f"oci:{layout.path}:1.4")


def refusal(layout: Layout) -> SourceError:
    with pytest.raises(SourceError) as caught:
        read_layout(layout)
    return caught.value


def of(documents: Iterable[Document]) -> set[Descriptor]:
    return {document.descriptor for document in documents}


def test_a_layout_with_the_image_alone_has_nothing_more(layout: Layout) -> None:
    image = read_layout(layout)
    assert tuple(document.descriptor for document in image.documents) == layout.image.manifests
    assert (image.referrers, image.tags) == ((), ())


def test_what_the_index_lists_says_itself_what_it_is_about(layout: Layout) -> None:
    root, child = layout.image.root, layout.image.manifests[1]
    signature, sbom = refer(layout, root), refer(layout, child)
    layout.write_index(entry(sbom), tagged("1.4", root), tagged("named too", signature), entry(child))
    assert of(read_layout(layout).referrers) == {signature, sbom}


def test_what_is_under_the_referrers_tag_is_found_by_it(layout: Layout) -> None:
    root = layout.image.root
    signature = refer(layout, root)
    of_signature = refer(layout, signature)
    layout.write_index(
        tagged("1.4", root),
        listed_as(root.digest, listing(layout, [signature])),
        listed_as(signature.digest, listing(layout, [of_signature])),
    )
    assert of(read_layout(layout).referrers) == {signature, of_signature}


def test_what_is_listed_in_both_ways_is_there_once(layout: Layout) -> None:
    root = layout.image.root
    signature = refer(layout, root)
    layout.write_index(tagged("1.4", root), entry(signature), listed_as(root.digest, listing(layout, [signature])))
    assert of(read_layout(layout).referrers) == {signature}


def test_what_cosign_made_keeps_its_tag(layout: Layout) -> None:
    root, child = layout.image.root, layout.image.manifests[0]
    sig, att = cosign(layout, root.digest, "alice"), cosign(layout, child.digest, "bob")
    tags = (tag_of(root.digest), sig), (tag_of(child.digest, ".att"), att)
    layout.write_index(tagged("1.4", root), *(tagged(*one) for one in tags))
    image = read_layout(layout)
    assert of(image.referrers) == {sig, att}
    assert set(image.tags) == {(tag, descriptor.digest) for tag, descriptor in tags}


def test_what_is_about_another_image_stays(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4"), ImageSpec(tag="1.5")])
    ours, other = (layout.images[tag].root for tag in ("1.4", "1.5"))
    layout.write_index(
        tagged("1.4", ours), tagged("1.5", other), entry(refer(layout, other)),
        tagged(tag_of(other.digest), cosign(layout, other.digest, "bob")),
    )  # fmt: skip
    assert of(read_layout(layout).referrers) == set()


def test_what_it_needs_must_be_there(layout: Layout) -> None:
    signature = refer(layout, layout.image.root)
    layout.write_index(tagged("1.4", layout.image.root), entry(signature))
    image = read_layout(layout)
    for blob in set(image.referrers[0].manifest.blobs):
        content = layout.blob_path(blob.digest).read_bytes()
        layout.blob_path(blob.digest).unlink()
        error = refusal(layout)
        assert error.code is Code.SOURCE_BLOB_MISSING
        assert str(blob.digest) in error.subject
        layout.blob_path(blob.digest).write_bytes(content)


def test_what_is_listed_and_gone_may_have_been_about_it(layout: Layout) -> None:
    signature = refer(layout, layout.image.root)
    layout.write_index(tagged("1.4", layout.image.root), entry(signature))
    layout.blob_path(signature.digest).unlink()
    assert refusal(layout).code is Code.SOURCE_BLOB_MISSING


def test_what_is_listed_under_the_tag_and_gone_is_told_with_its_subject(layout: Layout) -> None:
    signature = refer(layout, layout.image.root)
    layout.write_index(tagged("1.4", layout.image.root), listed_as(layout.image.digest, listing(layout, [signature])))
    layout.blob_path(signature.digest).unlink()
    error = refusal(layout)
    assert error.code is Code.SOURCE_BLOB_MISSING
    assert str(layout.image.digest) in error.detail


def test_a_list_that_is_none_is_told_by_what_it_is_about(layout: Layout) -> None:
    image = layout.image.manifests[0]
    layout.write_index(tagged("1.4", layout.image.root), tagged(referrers_tag(layout.image.digest), image))
    error = refusal(layout)
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert f"the referrers of {layout.image.digest}" in error.subject


def test_a_manifest_that_is_none_may_have_been_about_it(layout: Layout) -> None:
    broken = layout.put(b'{"schemaVersion":2,"manifests":7}', INDEX)
    layout.write_index(tagged("1.4", layout.image.root), entry(broken))
    error = refusal(layout)
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert str(broken.digest) in error.subject


def test_a_layout_of_too_much_is_not_looked_through(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = refer(layout, layout.image.root)
    layout.write_index(tagged("1.4", layout.image.root), entry(signature))
    monkeypatch.setattr(about, "MAX_TOTAL", signature.size)
    assert len(read_layout(layout).referrers) == 1
    monkeypatch.setattr(about, "MAX_TOTAL", signature.size - 1)
    assert refusal(layout).code is Code.SOURCE_MANIFEST_TOO_LARGE


def test_a_manifest_larger_than_any_is_not_read(layout: Layout) -> None:
    huge = layout.put(b" " * ((4 << 20) + 1), MANIFEST)
    layout.write_index(tagged("1.4", layout.image.root), entry(huge))
    assert refusal(layout).code is Code.SOURCE_MANIFEST_TOO_LARGE


def test_a_plain_directory_has_its_image_alone(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4")])
    flatten(layout, tmp_path / "flat")
    image = read(f"dir:{tmp_path / 'flat'}")
    assert of(image.documents) == {layout.image.root}
