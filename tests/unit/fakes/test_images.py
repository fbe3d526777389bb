from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from pushd.oci.digest import Digest
from tests.fakes.images import INDEX, MANIFEST, ImageSpec, build_layout, pack
from tests.fakes.layers import MIN_LAYER

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = 65540  # a full stored block with its header


@pytest.mark.parametrize(
    "size", [MIN_LAYER, 1024, 1558, 1559, 2048, _BLOCK + 17, _BLOCK + 18, _BLOCK + 19, _BLOCK + 24, 1 << 20, 3 << 20]
)
def test_a_layer_has_the_size_asked_for_and_unpacks_to_its_diff_id(tmp_path: Path, size: int) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(layers=[size])])
    (layer,) = layout.image.layers
    blob = layout.blob_path(layer.digest)
    content = blob.read_bytes()
    config = json.loads(layout.blob_path(layout.image.config.digest).read_bytes())

    assert len(content) == layer.size == size
    assert Digest.of(content) == layer.digest
    unpacked = hashlib.sha256(gzip.decompress(content)).hexdigest()
    assert config["rootfs"]["diff_ids"] == [f"sha256:{unpacked}"]
    with tarfile.open(blob) as archive:
        assert len(archive.getmembers()) == 1


def test_a_layer_too_small_for_gzip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the smallest is 256"):
        build_layout(tmp_path / "app", [ImageSpec(layers=[MIN_LAYER - 1])])


def test_a_plain_layer_may_have_any_size(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(layers=[0, 1, 100], compressed=False)])

    assert [layout.blob_path(layer.digest).stat().st_size for layer in layout.image.layers] == [0, 1, 100]


def test_the_same_specs_give_the_same_bytes_and_other_tags_other_layers(tmp_path: Path) -> None:
    first = build_layout(tmp_path / "a", [ImageSpec(tag="1"), ImageSpec(tag="2")])
    again = build_layout(tmp_path / "b", [ImageSpec(tag="1"), ImageSpec(tag="2")])

    assert first.images == again.images
    assert first.images["1"].layers != first.images["2"].layers


def test_images_of_one_seed_share_layers_and_are_two_images(tmp_path: Path) -> None:
    images = build_layout(tmp_path / "a", [ImageSpec(tag="1", seed="s"), ImageSpec(tag="2", seed="s")]).images

    assert images["1"].layers == images["2"].layers
    assert images["1"].digest != images["2"].digest


def test_platforms_make_an_index_and_nesting_another_around_it(tmp_path: Path) -> None:
    platforms = ("linux/amd64", "linux/arm64")
    layout = build_layout(tmp_path / "a", [ImageSpec(platforms=platforms, nested=True)])

    kinds = [manifest.media_type for manifest in layout.image.manifests]
    assert kinds == [MANIFEST, MANIFEST, INDEX, INDEX]
    inner = json.loads(layout.blob_path(layout.image.manifests[2].digest).read_bytes())
    assert [child["platform"]["architecture"] for child in inner["manifests"]] == ["amd64", "arm64"]
    assert len(layout.image.blobs) == 4


def test_each_image_may_have_an_attestation_in_the_index(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "a", [ImageSpec(platforms=["linux/arm/v7"], attested=True)])

    listed, attestation = json.loads(layout.blob_path(layout.image.root.digest).read_bytes())["manifests"]
    assert listed["platform"] == {"os": "linux", "architecture": "arm", "variant": "v7"}
    assert attestation["platform"] == {"os": "unknown", "architecture": "unknown"}
    assert attestation["annotations"]["vnd.docker.reference.digest"] == listed["digest"]
    (part,) = layout.image.parts.values()
    assert [str(one.digest) for one in part.manifests] == [listed["digest"], attestation["digest"]]
    assert set(part.blobs) == set(layout.image.blobs)


def test_a_packed_layout_holds_what_the_directory_holds(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "a")
    with tarfile.open(pack(layout.path, tmp_path / "a.tar"), "r:") as archive:
        names = {member.name for member in archive if member.isfile()}

    assert names == {file.relative_to(layout.path).as_posix() for file in layout.path.rglob("*") if file.is_file()}
