"""A whole image: every document checked, children before parents, nothing twice."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.errors import Code, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.document import Document
from pushd.oci.image import MAX_DEPTH, MAX_DOCUMENTS, MAX_TOTAL, Image, read_image
from pushd.oci.manifest import MAX_SIZE, Manifest
from pushd.oci.media_types import DOCKER_SCHEMA_1, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Sequence

LAYER = "application/vnd.oci.image.layer.v1.tar"


class Shelf:
    """Documents by digest, and which were asked for."""

    def __init__(self) -> None:
        self.contents: dict[Digest, bytes] = {}
        self.fetched: list[Descriptor] = []

    def fetch(self, descriptor: Descriptor) -> bytes:
        self.fetched.append(descriptor)
        return self.contents[descriptor.digest]

    def put(self, document: dict[str, Any], media_type: str) -> Descriptor:
        content = json.dumps({"schemaVersion": 2, "mediaType": media_type, **document}).encode()
        descriptor = Descriptor(media_type, Digest.of(content), len(content))
        self.contents[descriptor.digest] = content
        return descriptor

    def image(self, *layers: bytes, config: bytes = b"{}") -> Descriptor:
        blobs = [_json(Descriptor(LAYER, Digest.of(layer), len(layer))) for layer in layers]
        return self.put(
            {"config": _json(Descriptor(OCI_CONFIG, Digest.of(config), len(config))), "layers": blobs}, OCI_MANIFEST
        )

    def index(self, *children: Descriptor, note: str = "") -> Descriptor:
        return self.put({"manifests": [_json(child) for child in children], "annotations": {"note": note}}, OCI_INDEX)

    def read(self, root: Descriptor) -> Image:
        return read_image(root, self.fetch)

    def refused(self, root: Descriptor) -> SourceError:
        with pytest.raises(SourceError) as caught:
            self.read(root)
        return caught.value


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def _json(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}


def _digests(image: Image) -> list[Digest]:
    return [document.descriptor.digest for document in image.documents]


def _contents(blobs: Sequence[Descriptor], *contents: bytes) -> bool:
    return [blob.digest for blob in blobs] == [Digest.of(content) for content in contents]


def test_a_single_manifest_is_an_image(shelf: Shelf) -> None:
    root = shelf.image(b"one", b"two")
    image = shelf.read(root)
    content = shelf.contents[root.digest]
    assert image == Image((Document(root, content, Manifest.parse(content)),))
    assert image.root.descriptor == root
    assert _contents(image.blobs, b"{}", b"one", b"two")
    assert image.size == 2 + 3 + 3 + root.size


def test_children_come_before_their_parents_in_the_order_they_are_listed(shelf: Shelf) -> None:
    amd64, arm64 = shelf.image(b"amd64"), shelf.image(b"arm64")
    inner = shelf.index(arm64)
    root = shelf.index(amd64, inner)
    assert _digests(shelf.read(root)) == [amd64.digest, arm64.digest, inner.digest, root.digest]


def test_a_document_listed_twice_is_fetched_and_kept_once(shelf: Shelf) -> None:
    child = shelf.image(b"one")
    root = shelf.index(child, shelf.index(child), child)
    assert _digests(shelf.read(root)).count(child.digest) == 1
    assert [descriptor.digest for descriptor in shelf.fetched].count(child.digest) == 1


def test_a_blob_that_several_manifests_share_is_counted_once_where_it_is_first_needed(shelf: Shelf) -> None:
    first, second = shelf.image(b"base", b"amd64", b"base"), shelf.image(b"base", b"arm64")
    root = shelf.index(first, second)
    image = shelf.read(root)
    assert _contents(image.blobs, b"{}", b"base", b"amd64", b"arm64")
    assert image.size == 2 + 4 + 5 + 5 + first.size + second.size + root.size


def test_an_empty_index_is_an_image_without_blobs(shelf: Shelf) -> None:
    root = shelf.index()
    image = shelf.read(root)
    assert (image.blobs, image.size) == ((), root.size)


def test_the_bytes_are_kept_as_they_were(shelf: Shelf) -> None:
    content = b' {"schemaVersion" : 2,\n"manifests":[ ]}  '
    root = Descriptor(OCI_INDEX, Digest.of(content), len(content))
    shelf.contents[root.digest] = content
    assert shelf.read(root).root.content == content


def test_a_document_of_another_size_is_refused(shelf: Shelf) -> None:
    root = shelf.image()
    error = shelf.refused(dataclasses.replace(root, size=root.size + 1))
    assert error.code is Code.SOURCE_BLOB_SIZE
    assert str(root.digest) in error.subject
    assert f"{root.size} bytes" in error.detail
    assert f"{root.size + 1} bytes" in error.detail


def test_a_document_of_another_digest_is_refused(shelf: Shelf) -> None:
    root = shelf.image()
    other = Digest.of(b"other")
    shelf.contents[other] = shelf.contents[root.digest]
    error = shelf.refused(dataclasses.replace(root, digest=other))
    assert error.code is Code.SOURCE_BLOB_DIGEST
    assert str(other) in error.subject
    assert str(root.digest) in error.detail


def test_a_damaged_document_is_refused_for_its_digest_not_for_its_syntax(shelf: Shelf) -> None:
    root = shelf.image()
    shelf.contents[root.digest] = b"?" * root.size
    assert shelf.refused(root).code is Code.SOURCE_BLOB_DIGEST


def test_a_document_announced_too_large_is_refused_before_it_is_read(shelf: Shelf) -> None:
    error = shelf.refused(Descriptor(OCI_MANIFEST, Digest.of(b""), MAX_SIZE + 1))
    assert error.code is Code.SOURCE_MANIFEST_TOO_LARGE
    assert not shelf.fetched


def test_an_index_that_contains_itself_is_named_before_its_digest_is_doubted(shelf: Shelf) -> None:
    """No honest digest can be in its own content, so a digest check first would hide what is wrong."""
    fake = Digest.of(b"to be")
    content = json.dumps({"schemaVersion": 2, "manifests": [_json(Descriptor(OCI_INDEX, fake, 1))]}).encode()
    shelf.contents[fake] = content
    error = shelf.refused(Descriptor(OCI_INDEX, fake, len(content)))
    assert error.code is Code.SOURCE_MANIFEST_CYCLE
    assert str(fake) in error.subject


def test_a_longer_cycle_ends_at_the_digest_of_its_first_document(shelf: Shelf) -> None:
    one, two = Digest.of(b"one"), Digest.of(b"two")
    for digest, other in ((one, two), (two, one)):
        entry = {"mediaType": OCI_INDEX, "digest": str(other), "size": 1000}
        shelf.contents[digest] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode().ljust(1000)
    error = shelf.refused(Descriptor(OCI_INDEX, one, 1000))
    assert error.code is Code.SOURCE_BLOB_DIGEST
    assert str(one) in error.subject


@pytest.mark.parametrize("media_type", [LAYER, "application/vnd.buildkit.cacheconfig.v0", "text/html"])
def test_an_index_entry_that_is_no_manifest_is_refused_by_its_media_type(shelf: Shelf, media_type: str) -> None:
    root = shelf.index(shelf.image(), dataclasses.replace(shelf.image(b"x"), media_type=media_type))
    error = shelf.refused(root)
    assert error.code is Code.SOURCE_MANIFEST_UNSUPPORTED
    assert error.subject == f"manifest {root.digest}, manifests[1].mediaType"
    assert media_type in error.detail


def test_a_child_of_dockers_first_schema_is_refused_by_name(shelf: Shelf) -> None:
    error = shelf.refused(shelf.index(dataclasses.replace(shelf.image(), media_type=DOCKER_SCHEMA_1)))
    assert error.code is Code.SOURCE_MANIFEST_UNSUPPORTED
    assert "schema 1" in error.detail


def test_a_root_that_is_no_manifest_is_refused_by_its_media_type(shelf: Shelf) -> None:
    error = shelf.refused(dataclasses.replace(shelf.image(), media_type=LAYER))
    assert error.code is Code.SOURCE_MANIFEST_UNSUPPORTED
    assert LAYER in error.detail


def test_a_wrong_field_is_named_with_the_document_it_is_in(shelf: Shelf) -> None:
    child = shelf.put({"config": {}, "layers": []}, OCI_MANIFEST)
    error = shelf.refused(shelf.index(child))
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert error.subject == f"manifest {child.digest}, config.mediaType"


def test_what_is_wrong_with_a_whole_document_is_named_with_its_digest(shelf: Shelf) -> None:
    root = Descriptor(OCI_MANIFEST, Digest.of(b"junk"), 4)
    shelf.contents[root.digest] = b"junk"
    assert shelf.refused(root).subject == f"manifest {root.digest}"


def test_a_document_that_contradicts_the_media_type_of_its_entry_is_refused(shelf: Shelf) -> None:
    child = dataclasses.replace(shelf.image(), media_type=OCI_INDEX)
    error = shelf.refused(shelf.index(child))
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert error.subject == f"manifest {child.digest}, mediaType"


def test_one_blob_with_two_sizes_is_refused(shelf: Shelf) -> None:
    digest = str(Digest.of(b"one"))
    entries = [{"mediaType": LAYER, "digest": digest, "size": size} for size in (3, 4)]
    config = _json(Descriptor(OCI_CONFIG, Digest.of(b"{}"), 2))
    first = shelf.put({"config": config, "layers": entries[:1]}, OCI_MANIFEST)
    second = shelf.put({"config": config, "layers": entries[1:]}, OCI_MANIFEST)
    both = shelf.put({"config": config, "layers": entries}, OCI_MANIFEST)
    for root in (shelf.index(first, second), both):
        error = shelf.refused(root)
        assert error.code is Code.SOURCE_MANIFEST_INVALID
        assert digest in error.subject
        assert "3 bytes" in error.detail
        assert "4 bytes" in error.detail


def test_one_document_with_two_sizes_is_refused(shelf: Shelf) -> None:
    child = shelf.image()
    error = shelf.refused(shelf.index(child, dataclasses.replace(child, size=child.size + 1)))
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert str(child.digest) in error.subject


def test_one_document_under_two_media_types_is_refused(shelf: Shelf) -> None:
    child = shelf.image()
    error = shelf.refused(shelf.index(child, dataclasses.replace(child, media_type=OCI_INDEX)))
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert OCI_MANIFEST in error.detail
    assert OCI_INDEX in error.detail


def _nest(shelf: Shelf, levels: int) -> Descriptor:
    root = shelf.image()
    for _ in range(levels - 1):
        root = shelf.index(root)
    return root


def test_indexes_may_be_nested_to_a_depth_and_no_deeper(shelf: Shelf) -> None:
    assert len(shelf.read(_nest(shelf, MAX_DEPTH)).documents) == MAX_DEPTH
    error = shelf.refused(_nest(shelf, MAX_DEPTH + 1))
    assert error.code is Code.SOURCE_MANIFEST_UNSUPPORTED
    assert f"{MAX_DEPTH} levels" in error.detail


def test_an_image_may_have_so_many_documents_and_no_more(shelf: Shelf) -> None:
    children = [shelf.index(note=str(number)) for number in range(MAX_DOCUMENTS)]
    assert len(shelf.read(shelf.index(*children[1:])).documents) == MAX_DOCUMENTS
    error = shelf.refused(shelf.index(*children))
    assert error.code is Code.SOURCE_MANIFEST_TOO_LARGE
    assert f"{MAX_DOCUMENTS} documents" in error.detail


def test_documents_may_come_to_so_many_bytes_and_no_more(shelf: Shelf) -> None:
    """The documents are kept in memory and in the database, so many of the largest size are too much."""
    padding = "x" * (MAX_SIZE - 1000)
    children = [shelf.index(note=f"{number:03}{padding}") for number in range(MAX_TOTAL // MAX_SIZE + 1)]
    error = shelf.refused(shelf.index(*children))
    assert error.code is Code.SOURCE_MANIFEST_TOO_LARGE
    assert f"{MAX_TOTAL} bytes" in error.detail


def test_what_the_source_cannot_fetch_it_says_itself() -> None:
    failure = SourceError(Code.SOURCE_BLOB_MISSING, "blobs/sha256/aa", "is not there")

    def fetch(_: Descriptor) -> bytes:
        raise failure

    with pytest.raises(SourceError) as caught:
        read_image(Descriptor(OCI_INDEX, Digest.of(b""), 0), fetch)
    assert caught.value is failure


@given(st.data())
def test_any_graph_is_read_with_every_child_before_its_parents(data: st.DataObject) -> None:
    shelf = Shelf()
    nodes = [shelf.image(b"leaf")]
    for number in range(data.draw(st.integers(min_value=0, max_value=MAX_DEPTH - 1))):
        children = data.draw(st.lists(st.sampled_from(nodes), max_size=4))
        nodes.append(shelf.index(*children, note=str(number)))
    image = shelf.read(nodes[-1])
    order = _digests(image)
    assert len(set(order)) == len(order)
    assert image.root.descriptor == nodes[-1]
    for document in image.documents:
        place = order.index(document.descriptor.digest)
        assert all(order.index(child.digest) < place for child in document.manifest.children)


@given(st.binary())
def test_arbitrary_content_raises_nothing_but_our_errors(content: bytes) -> None:
    with pytest.raises(SourceError):
        read_image(Descriptor(OCI_MANIFEST, Digest.of(content), len(content)), lambda _: content)
