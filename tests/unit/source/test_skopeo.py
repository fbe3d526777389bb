"""Layouts, archives and plain directories as skopeo writes them, and ours as skopeo reads them."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, SourceError
from pushd.oci.digest import Digest
from pushd.oci.media_types import DOCKER_MANIFEST, DOCKER_MANIFEST_LIST
from pushd.source import open_source
from tests.fakes.archives import SavedImage, docker_archive
from tests.fakes.dirs import flatten
from tests.fakes.images import ImageSpec, build_layout, pack

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.oci.image import Image

SKOPEO = shutil.which("skopeo")
pytestmark = pytest.mark.skipif(SKOPEO is None, reason="skopeo is not installed")

SPECS = [
    ImageSpec(tag="1.4", layers=[1024, 200_000]),
    ImageSpec(tag="example.com:5000/app:1.5", platforms=("linux/amd64", "linux/arm64")),
]


def skopeo(*arguments: str) -> bytes:
    done = subprocess.run([str(SKOPEO), "--insecure-policy", *arguments], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def read(name: str) -> Image:
    source = open_source(name, uid=0, gids=frozenset())
    try:
        image = source.image()
        for blob in image.blobs:
            reader = source.open(blob)
            assert blob.digest.matches(reader.read(0, reader.size))
            reader.close()
    finally:
        source.close()
    return image


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
@pytest.mark.parametrize("reference", [":renamed:2.0", ""])
def test_what_skopeo_writes_is_read(tmp_path: Path, spec: ImageSpec, kind: str, reference: str) -> None:
    layout = build_layout(tmp_path / "app", [spec])
    written = f"{kind}:{tmp_path / 'written'}{reference}"
    skopeo("copy", "--all", f"oci:{layout.path}:{spec.tag}", written)

    image = read(written)
    assert image.root.descriptor.digest == layout.image.digest
    assert set(image.blobs) == set(layout.image.blobs)


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_names_choose_the_images_skopeo_would_choose(tmp_path: Path, kind: str) -> None:
    layout = build_layout(tmp_path / "app", SPECS)
    path = layout.path if kind == "oci" else pack(layout.path, tmp_path / "app.tar")
    for spec in SPECS:
        name = f"{kind}:{path}:{spec.tag}"
        assert read(name).root.content == skopeo("inspect", "--raw", name)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", ["flat", "app:1.4"])
def test_what_skopeo_writes_into_a_plain_directory_is_read(tmp_path: Path, spec: ImageSpec, name: str) -> None:
    layout = build_layout(tmp_path / "app", [spec])
    written = f"dir:{tmp_path / name}"
    skopeo("copy", "--all", f"oci:{layout.path}:{spec.tag}", written)

    image = read(written)
    assert image.root.descriptor == layout.image.root
    assert set(image.blobs) == set(layout.image.blobs)


@pytest.mark.parametrize("spec", SPECS)
def test_dockers_manifests_are_read_from_a_plain_directory_as_skopeo_wrote_them(
    tmp_path: Path, spec: ImageSpec
) -> None:
    layout = build_layout(tmp_path / "app", [spec])
    written = f"dir:{tmp_path / 'written'}"
    skopeo("copy", "--all", "--format", "v2s2", f"oci:{layout.path}:{spec.tag}", written)

    image = read(written)
    assert image.root.content == skopeo("inspect", "--raw", written)
    assert {document.descriptor.media_type for document in image.documents} <= {DOCKER_MANIFEST, DOCKER_MANIFEST_LIST}
    assert {blob.digest for blob in image.blobs} == {blob.digest for blob in layout.image.blobs}


def test_an_index_whose_images_skopeo_left_out_is_refused_with_how_to_copy_them_too(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [SPECS[1]])
    written = f"dir:{tmp_path / 'written'}"
    skopeo("copy", "--multi-arch", "index-only", f"oci:{layout.path}:{SPECS[1].tag}", written)

    with pytest.raises(SourceError, match="skopeo copy --all") as caught:
        read(written)
    assert caught.value.code is Code.SOURCE_BLOB_MISSING


@pytest.mark.parametrize("spec", SPECS)
def test_a_plain_directory_of_ours_is_what_skopeo_would_write(tmp_path: Path, spec: ImageSpec) -> None:
    layout = build_layout(tmp_path / "app", [spec])
    skopeo("copy", "--all", f"oci:{layout.path}:{spec.tag}", f"dir:{tmp_path / 'written'}")

    ours = flatten(layout, tmp_path / "ours")
    assert contents(ours) == contents(tmp_path / "written")


@pytest.mark.parametrize("reference", ["docker.io/library/app:1.4", "example.com:5000/team/app:1"])
def test_what_skopeo_writes_as_docker_would_is_read(tmp_path: Path, reference: str) -> None:
    layout = build_layout(tmp_path / "app", [SPECS[0]])
    written = f"docker-archive:{tmp_path / 'app.tar'}"
    skopeo("copy", f"oci:{layout.path}:{SPECS[0].tag}", f"{written}:{reference}")

    names = ("", f":{reference}", f":{reference.removeprefix('docker.io/library/')}", ":@0")
    images = [read(written + name) for name in names]
    assert {image.root.descriptor.digest for image in images} == {images[0].root.descriptor.digest}
    config = skopeo("inspect", "--config", "--raw", written)
    assert Digest.of(config) == images[0].blobs[0].digest
    assert [str(blob.digest) for blob in images[0].blobs[1:]] == json.loads(config)["rootfs"]["diff_ids"]


def test_an_archive_of_ours_is_what_skopeo_reads_as_dockers(tmp_path: Path) -> None:
    saved = [SavedImage([b"1" * 3000, b"2" * 10]), SavedImage([b"3" * 3000, b"1" * 3000], names=["app:2"])]
    file = tmp_path / "app.tar"
    file.write_bytes(docker_archive(saved, links=True))

    for name, one in (("app:1", saved[0]), ("@0", saved[0]), ("app:2", saved[1]), ("@1", saved[1])):
        assert skopeo("inspect", "--config", "--raw", f"docker-archive:{file}:{name}") == one.config
        assert read(f"docker-archive:{file}:{name}").blobs[0].digest == Digest.of(one.config)
