"""Of an image exactly that is looked into which its configs and media types say something of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pushd.errors import Code, SourceError
from pushd.inspection.compression import Compression
from pushd.inspection.image import Worklist, make_worklist
from pushd.inspection.layer import Layer
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.image import read_image
from pushd.oci.manifest import MAX_SIZE
from pushd.oci.media_types import DOCKER_CONFIG, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from tests.fakes.images import LAYER, LAYER_GZIP, ImageSpec, build_layout, entry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
ENCRYPTED = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"


def blob(name: str, media_type: str = LAYER_GZIP) -> Descriptor:
    return Descriptor(media_type, Digest.of(name.encode()), len(name))


def diff_id(name: str) -> str:
    return str(Digest.of(f"tar of {name}".encode()))


def config(*layers: str, **more: object) -> dict[str, Any]:
    rootfs = {"type": "layers", "diff_ids": [diff_id(name) for name in layers]}
    return {"os": "linux", "architecture": "arm64", "rootfs": rootfs, **more}


def worklist(
    content: object, layers: Sequence[dict[str, Any]], *, kind: str = OCI_CONFIG, indexed: bool = False
) -> Worklist:
    """Say what is looked into of an image with this config."""
    kept: dict[Digest, bytes] = {}

    def put(document: object, media_type: str) -> Descriptor:
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        kept[Digest.of(raw)] = raw
        return Descriptor(media_type, Digest.of(raw), len(raw))

    written = put(content, kind)
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": entry(written), "layers": list(layers)}
    root = put(manifest, OCI_MANIFEST)
    if indexed:
        root = put({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry(root), entry(root)]}, OCI_INDEX)
    image = read_image(root, lambda document: kept[document.digest])
    return make_worklist(image, lambda document: kept[document.digest])


def layer(name: str, kind: Compression, media_type: str) -> Layer:
    return Layer(blob(name, media_type), kind, Digest.parse(diff_id(name)))


@pytest.mark.parametrize("kind", [OCI_CONFIG, DOCKER_CONFIG])
def test_each_layer_stands_beside_what_the_config_says_of_it(kind: str) -> None:
    layers = [entry(blob("a")), entry(blob("b", LAYER)), entry(blob("a"))]
    found = worklist(config("a", "b", "a"), layers, kind=kind, indexed=True)
    assert found.layers == (layer("a", Compression.GZIP, LAYER_GZIP), layer("b", Compression.NONE, LAYER))
    assert found.skipped == 0


def test_one_blob_that_is_said_to_be_two_tars_is_looked_into_for_both() -> None:
    found = worklist(config("a", "b"), [entry(blob("a")), entry(blob("a"))])
    assert [str(one.diff_id) for one in found.layers] == [diff_id("a"), diff_id("b")]


def test_what_cannot_be_looked_into_is_skipped_and_counted_and_its_place_kept() -> None:
    elsewhere = entry(blob("far", FOREIGN), urls=["https://example.com/far"])
    layers = [elsewhere, entry(blob("near", FOREIGN)), entry(blob("locked", ENCRYPTED)), entry(blob("a"))]
    found = worklist(config("far", "near", "locked", "a"), layers)
    assert found.layers == (layer("a", Compression.GZIP, LAYER_GZIP),)
    assert found.skipped == 3


def test_of_an_artifact_only_the_media_types_of_layers_are_compared() -> None:
    layers = [entry(blob("a")), entry(blob("chart", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"))]
    found = worklist(b"{}", layers, kind="application/vnd.example.config.v1+json")
    assert found == Worklist((Layer(blob("a"), Compression.GZIP, None),), 1)


def test_of_an_attestation_or_a_signature_nothing_is_claimed(tmp_path: Path) -> None:
    found = worklist(b"{}", [entry(blob("signed", "application/vnd.dev.cosign.simplesigning.v1+json"))])
    assert found == Worklist((), 1)
    layout = build_layout(tmp_path / "app", [ImageSpec(attested=True)])
    image = read_image(layout.image.root, lambda one: layout.blob_path(one.digest).read_bytes())
    attested = make_worklist(image, lambda one: layout.blob_path(one.digest).read_bytes())
    assert [one.blob for one in attested.layers] == [layout.image.layers[0]]
    assert attested.skipped == 1


def test_an_image_without_layers_is_one() -> None:
    assert worklist(config(), []) == Worklist((), 0)
    assert worklist(config(rootfs={"type": "layers", "diff_ids": None}), []) == Worklist((), 0)


@pytest.mark.parametrize(
    ("content", "field", "says"),
    [
        (b"not JSON", "", "is not JSON"),
        (config("a", os=""), ", os", "is missing, or no text"),
        (config("a", architecture=None), ", architecture", "is missing, or no text"),
        (config("a", rootfs=[]), ", rootfs.type", 'is not "layers"'),
        (config("a", rootfs={"diff_ids": []}), ", rootfs.type", 'is not "layers"'),
        (config(), ", rootfs.diff_ids", "has 0 layers; the manifest has 1"),
        (config("a", "b"), ", rootfs.diff_ids", "has 2 layers; the manifest has 1"),
        (config(rootfs={"type": "layers", "diff_ids": "a"}), ", rootfs.diff_ids", "has no list of layers"),
        (config(rootfs={"type": "layers", "diff_ids": [7]}), ", rootfs.diff_ids[0]", "is no text"),
        (config(rootfs={"type": "layers", "diff_ids": ["md5:x"]}), ", rootfs.diff_ids[0]", "is 'md5:x', which has"),
    ],
)
def test_a_config_that_does_not_say_what_an_images_must_is_refused(content: object, field: str, says: str) -> None:
    with pytest.raises(SourceError) as caught:
        worklist(content, [entry(blob("a"))])
    error = caught.value
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert error.subject.startswith("config sha256:")
    assert error.subject.endswith(field)
    assert says in error.detail


def test_a_config_is_what_its_digest_says_and_no_larger_than_is_read_at_once() -> None:
    for size, code in ((2, Code.SOURCE_BLOB_DIGEST), (MAX_SIZE + 1, Code.SOURCE_MANIFEST_TOO_LARGE)):
        kept = {}
        written = Descriptor(OCI_CONFIG, Digest.of(b"another"), size)
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": entry(written), "layers": []}
        raw = json.dumps(manifest).encode()
        kept[Digest.of(raw)] = raw
        image = read_image(Descriptor(OCI_MANIFEST, Digest.of(raw), len(raw)), lambda one: kept[one.digest])  # noqa: B023
        with pytest.raises(SourceError) as caught:
            make_worklist(image, lambda _: b"{}")
        assert caught.value.code is code
