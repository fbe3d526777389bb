"""Plain layers listed as compressed ones: what changes in an image, and above all what does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.errors import Code, SourceError
from pushd.oci.compression import Encoding, Packed, Plain, plain_layers, with_packed
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.image import read_image
from pushd.oci.manifest import MAX_SIZE
from pushd.oci.media_types import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
)

if TYPE_CHECKING:
    from pushd.oci.image import Image

Entry = dict[str, Any]
FOREIGN = {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar", "urls": ["https://example.com/a"]}
ABOUT = "vnd.docker.reference.digest"
NAMES = st.text(st.characters(codec="ascii", min_codepoint=97, max_codepoint=122), min_size=1, max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
MORE = st.dictionaries(NAMES.map("x-{}".format), JSON, max_size=3)


class Shelf:
    """Documents by digest."""

    def __init__(self) -> None:
        self.contents: dict[Digest, bytes] = {}

    def put(self, document: Entry, media_type: str, **more: object) -> Entry:
        content = json.dumps(document, indent=1).encode()
        digest = Digest.of(content)
        self.contents[digest] = content
        return {"mediaType": media_type, "digest": str(digest), "size": len(content), **more}

    def manifest(self, *layers: Entry, kind: str = OCI_MANIFEST, **more: object) -> Entry:
        config = blob("config", DOCKER_CONFIG if kind == DOCKER_MANIFEST else OCI_CONFIG)
        return self.put({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": list(layers), **more}, kind)

    def index(self, *children: Entry, **more: object) -> Entry:
        return self.put({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children), **more}, OCI_INDEX)

    def read(self, root: Entry) -> Image:
        descriptor = Descriptor(root["mediaType"], Digest.parse(root["digest"]), root["size"])
        return read_image(descriptor, lambda it: self.contents[it.digest])


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def blob(name: str, media_type: str = OCI_LAYER, **more: object) -> Entry:
    return {"mediaType": media_type, "digest": str(Digest.of(name.encode())), "size": len(name), **more}


def packed(image: Image, encoding: Encoding) -> dict[Plain, Packed]:
    """Make up what each plain layer became."""
    return {
        plain: Packed(Digest.of(f"{plain.encoding} of {plain.digest}".encode()), plain.size + 7)
        for plain in plain_layers(image, encoding)
    }


def compressed(image: Image, encoding: Encoding = Encoding.GZIP) -> Image:
    return with_packed(image, encoding, packed(image, encoding))


def fields(image: Image, number: int = -1) -> Entry:
    return json.loads(image.documents[number].content)  # type: ignore[no-any-return]


def test_a_plain_layer_gets_the_type_of_its_family(shelf: Shelf) -> None:
    layers = blob("a"), blob("b", OCI_LAYER_GZIP), blob("c", OCI_LAYER_ZSTD), blob("d", "text/plain"), FOREIGN
    image = shelf.read(shelf.manifest(*layers))

    for encoding, media_type in ((Encoding.GZIP, OCI_LAYER_GZIP), (Encoding.ZSTD, OCI_LAYER_ZSTD)):
        (plain,) = plain_layers(image, encoding)
        assert plain == Plain(Digest.of(b"a"), 1, encoding)
        after = fields(compressed(image, encoding))
        assert after["layers"][0]["mediaType"] == media_type
        assert after["layers"][1:] == list(layers[1:])


@pytest.mark.parametrize("encoding", Encoding)
def test_dockers_layers_become_gzip_for_that_is_all_docker_has_a_type_for(shelf: Shelf, encoding: Encoding) -> None:
    image = shelf.read(shelf.manifest(blob("a", DOCKER_LAYER), kind=DOCKER_MANIFEST))
    assert [plain.encoding for plain in plain_layers(image, encoding)] == [Encoding.GZIP]
    assert fields(compressed(image, encoding))["layers"][0]["mediaType"] == DOCKER_LAYER_GZIP


def test_a_layer_is_compressed_once_though_many_list_it(shelf: Shelf) -> None:
    shared = blob("shared")
    index = shelf.index(shelf.manifest(shared, blob("a"), shared), shelf.manifest(shared, blob("b")))
    image = shelf.read(index)
    assert [str(plain.digest) for plain in plain_layers(image, Encoding.ZSTD)] == [
        shared["digest"],
        blob("a")["digest"],
        blob("b")["digest"],
    ]


def test_a_config_that_calls_itself_a_layer_is_none(shelf: Shelf) -> None:
    document = {"schemaVersion": 2, "config": blob("config"), "layers": None}
    image = shelf.read(shelf.put(document, OCI_MANIFEST))
    assert plain_layers(image, Encoding.GZIP) == ()
    assert compressed(image) == image


def test_what_lists_no_plain_layer_keeps_its_bytes(shelf: Shelf) -> None:
    kept, changed = shelf.manifest(blob("a", OCI_LAYER_GZIP)), shelf.manifest(blob("b"))
    image = compressed(shelf.read(shelf.index(kept, changed)))
    assert image.documents[0].content == shelf.contents[Digest.parse(kept["digest"])]
    first, second = fields(image)["manifests"]
    assert first == kept
    assert second["digest"] != changed["digest"]
    whole = shelf.read(shelf.index(kept))
    assert compressed(whole) == whole


def test_embedded_content_goes_with_what_it_was_and_stays_elsewhere(shelf: Shelf) -> None:
    kept = shelf.manifest(blob("a", OCI_LAYER_GZIP), note="kept") | {"data": "e30="}
    changed = shelf.manifest(blob("b", data="Yg==")) | {"data": "e30="}
    image = compressed(shelf.read(shelf.index(kept, changed)))
    assert ["data" in child for child in fields(image)["manifests"]] == [True, False]
    assert "data" not in fields(image, 1)["layers"][0]


def test_an_attestation_follows_the_image_it_is_about(shelf: Shelf) -> None:
    image = shelf.manifest(blob("a"))
    about = {"vnd.docker.reference.type": "attestation-manifest", ABOUT: image["digest"], "other": "words"}
    statement = shelf.manifest(blob("in-toto", "application/vnd.in-toto+json"))
    after = compressed(shelf.read(shelf.index(image, statement | {"annotations": about})))
    child, attestation = fields(after)["manifests"]
    assert attestation == statement | {"annotations": about | {ABOUT: child["digest"]}}
    assert list(attestation["annotations"]) == list(about)


@pytest.mark.parametrize("odd", [None, [], {ABOUT: 7}, {ABOUT: "sha256:unknown"}, "text"])
def test_annotations_of_another_shape_are_left_alone(shelf: Shelf, odd: object) -> None:
    after = compressed(shelf.read(shelf.index(shelf.manifest(blob("a"), annotations=odd) | {"annotations": odd})))
    assert fields(after)["manifests"][0]["annotations"] == odd
    assert fields(after, 0)["annotations"] == odd


def test_a_subject_stays_what_it_was(shelf: Shelf) -> None:
    image = shelf.manifest(blob("a"))
    referrer = shelf.manifest(blob("b"), subject=image)
    after = compressed(shelf.read(shelf.index(image, referrer)))
    assert fields(after, 1)["subject"] == image
    assert after.documents[1].manifest.subject is not None


def test_two_that_become_one_are_listed_twice_and_there_once(shelf: Shelf) -> None:
    twin = shelf.manifest(blob("a"))
    plain = shelf.read(twin)
    done = compressed(plain).root
    shelf.contents[done.descriptor.digest] = done.content
    already = {"mediaType": OCI_MANIFEST, "digest": str(done.descriptor.digest), "size": len(done.content)}
    after = compressed(shelf.read(shelf.index(twin, already)))
    assert [child["digest"] for child in fields(after)["manifests"]] == [already["digest"]] * 2
    assert len(after.documents) == 2


def test_a_manifest_that_grows_too_large_is_refused_by_its_name(shelf: Shelf) -> None:
    # ASCII alone is written: each of these takes two bytes before, and six then.
    root = shelf.manifest(blob("a"), annotations={})
    content = shelf.contents.pop(Digest.parse(root["digest"])).decode()
    content = content.replace('"annotations": {}', '"annotations": {"a": "' + "é" * (MAX_SIZE // 4) + '"}')
    digest = Digest.of(content.encode())
    shelf.contents[digest] = content.encode()
    image = shelf.read(root | {"digest": str(digest), "size": len(content.encode())})
    with pytest.raises(SourceError) as caught:
        compressed(image)
    assert caught.value.code is Code.SOURCE_MANIFEST_TOO_LARGE
    assert str(digest) in caught.value.subject


TYPES = st.sampled_from([OCI_LAYER, OCI_LAYER_GZIP, DOCKER_LAYER, "text/plain"])
LAYERS = st.lists(st.tuples(st.sampled_from("abc"), TYPES, MORE), max_size=4)


@given(
    manifests=st.lists(st.tuples(LAYERS, MORE, MORE), min_size=1, max_size=3),
    above=MORE,
    deep=st.booleans(),
    encoding=st.sampled_from(Encoding),
)
def test_nothing_changes_but_the_names_of_what_changed(
    manifests: list[tuple[list[tuple[str, str, Entry]], Entry, Entry]], above: Entry, *, deep: bool, encoding: Encoding
) -> None:
    shelf = Shelf()
    children = [
        shelf.manifest(*(blob(name, kind, **more) for name, kind, more in layers), **within) | listed
        for layers, within, listed in manifests
    ]
    root = shelf.index(*children, **above)
    image = shelf.read(shelf.index(root) if deep else root)

    after = compressed(image, encoding)

    assert compressed(image, encoding) == after
    assert compressed(after, encoding) == after
    assert not plain_layers(after, encoding)
    assert {blob for blob in after.blobs if blob in image.blobs} >= {
        blob for blob in image.blobs if blob.media_type not in (OCI_LAYER, DOCKER_LAYER)
    }
    held = {document.descriptor.digest: document.content for document in after.documents}
    assert read_image(after.root.descriptor, lambda it: held[it.digest]) == after
    for before, now in _pairs(image, after):
        assert _nameless(json.loads(before)) == _nameless(json.loads(now))


def _pairs(image: Image, after: Image) -> list[tuple[bytes, bytes]]:
    """Give each document as it was and as it is, from the root down."""
    was = {str(document.descriptor.digest): document.content for document in image.documents}
    now = {str(document.descriptor.digest): document.content for document in after.documents}
    pairs, found = [(image.root.content, after.root.content)], []
    while pairs:
        found.append(pairs.pop())
        one, other = (json.loads(content).get("manifests", ()) for content in found[-1])
        pairs += [(was[a["digest"]], now[b["digest"]]) for a, b in zip(one, other, strict=True)]
    return found


def _nameless(value: Any) -> Any:
    """Give JSON in its order, without what names content."""
    if isinstance(value, dict):
        return [(name, _nameless(of)) for name, of in value.items() if name not in ("digest", "size", "mediaType")]
    return [_nameless(one) for one in value] if isinstance(value, list) else value
