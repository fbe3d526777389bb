"""An image in a plain directory, as the directory transport of containers/image keeps it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from pushd.errors import Code, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.source import open_source
from tests.fakes.dirs import blob_file, child_file, flatten
from tests.fakes.images import CONFIG, INDEX, LAYER_GZIP, MANIFEST, ImageSpec, build_layout, entry, pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pushd.oci.image import Image
    from pushd.push.ports.source import OpenSource
    from tests.fakes.images import Layout

PLATFORMS = ("linux/amd64", "linux/arm64")
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def read(path: Path) -> Image:
    opener: OpenSource = open_source  # what the engine asks for is what is given
    source = opener(f"dir:{path}", uid=0, gids=frozenset())
    try:
        return source.image()
    finally:
        source.close()


def refusal(path: Path) -> SourceError:
    with pytest.raises(SourceError) as caught:
        read(path)
    return caught.value


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "layout", [ImageSpec(layers=[300, 70_000])])


@pytest.fixture
def flat(layout: Layout, tmp_path: Path) -> Path:
    """Give a directory with an image of one platform."""
    return flatten(layout, tmp_path / "flat")


@pytest.fixture
def multi(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "multi", [ImageSpec(layers=[300], platforms=PLATFORMS)])


@pytest.fixture
def flat_index(multi: Layout, tmp_path: Path) -> Path:
    """Give a directory with an index and the images of two platforms."""
    return flatten(multi, tmp_path / "flat-index")


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the root document of an image."""
    document = json.loads((path / "manifest.json").read_text())
    change(document)
    (path / "manifest.json").write_text(json.dumps(document))


# ------------------------------------------------------------------------------------------------- what is read


def test_an_image_is_read_with_its_original_bytes(layout: Layout, flat: Path) -> None:
    image = read(flat)
    assert image.root.descriptor == layout.image.root
    assert image.root.content == (flat / "manifest.json").read_bytes()
    assert image.blobs == layout.image.blobs


def test_an_index_is_read_with_all_below_it_children_first(multi: Layout, flat_index: Path) -> None:
    image = read(flat_index)
    assert tuple(document.descriptor for document in image.documents) == multi.image.manifests
    assert set(image.blobs) == set(multi.image.blobs)


def test_an_index_within_an_index_is_read_as_well(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "layout", [ImageSpec(platforms=PLATFORMS, nested=True)])

    image = read(flatten(layout, tmp_path / "flat"))
    assert tuple(document.descriptor for document in image.documents) == layout.image.manifests


def test_every_blob_can_be_opened_without_the_image_having_been_read(layout: Layout, flat: Path) -> None:
    (flat / "manifest.json").unlink()
    source = open_source(f"dir:{flat}", uid=0, gids=frozenset())
    for blob in layout.image.blobs:
        assert blob.digest.matches(source.open(blob).whole())
    source.close()


@pytest.mark.parametrize("media_type", [MANIFEST, DOCKER_MANIFEST])
def test_the_media_type_of_the_root_is_what_the_manifest_says_itself(flat: Path, media_type: str) -> None:
    rewrite(flat, lambda document: document.update(mediaType=media_type))

    assert read(flat).root.descriptor.media_type == media_type


@pytest.mark.parametrize("media_type", [INDEX, DOCKER_LIST])
def test_the_media_type_of_an_index_is_what_it_says_itself(flat_index: Path, media_type: str) -> None:
    rewrite(flat_index, lambda document: document.update(mediaType=media_type))

    assert read(flat_index).root.descriptor.media_type == media_type


def test_a_root_that_does_not_say_what_it_is_is_known_by_its_structure(flat: Path, flat_index: Path) -> None:
    for path, media_type in ((flat, MANIFEST), (flat_index, INDEX)):
        rewrite(path, lambda document: document.pop("mediaType"))
        root = read(path).root.descriptor
        content = (path / "manifest.json").read_bytes()
        assert root == Descriptor(media_type, Digest.of(content), len(content))


def test_signatures_and_whatever_else_lies_there_are_passed_over(flat: Path, layout: Layout) -> None:
    (flat / "signature-1").write_bytes(b"\x00 signed")
    (flat / f"{layout.image.digest.encoded}.signature-1").write_bytes(b"\x00 signed")
    (flat / "dir-put-blob123").mkdir()
    (flat / "link").symlink_to("/etc/passwd")

    image = read(flat)
    assert (image.root.descriptor, image.blobs) == (layout.image.root, layout.image.blobs)


def test_digests_of_another_algorithm_have_it_in_the_names_of_their_files(tmp_path: Path) -> None:
    config = b"{}"
    layer, described = b"layer", Descriptor(CONFIG, Digest.of(config), len(config))
    blob = Descriptor(LAYER_GZIP, Digest.of(layer, "sha512"), len(layer))
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": entry(described), "layers": [entry(blob)]}
    content = json.dumps(manifest).encode()
    child = Descriptor(MANIFEST, Digest.of(content, "sha512"), len(content))
    (tmp_path / "version").write_text("Directory Transport Version: 1.2\n")
    (tmp_path / "manifest.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry(child)]}))
    (tmp_path / f"sha512-{child.digest.encoded}.manifest.json").write_bytes(content)
    (tmp_path / f"sha512-{blob.digest.encoded}").write_bytes(layer)
    (tmp_path / described.digest.encoded).write_bytes(config)

    image = read(tmp_path)
    assert [document.descriptor.digest for document in image.documents[:-1]] == [child.digest]
    assert image.blobs == (described, blob)


def test_everything_behind_the_kind_is_the_path_colons_included(layout: Layout, tmp_path: Path) -> None:
    """As `skopeo sync` writes it: `registry.example.com/app:1.4`."""
    path = flatten(layout, tmp_path / "app:1.4")

    assert read(path).root.descriptor == layout.image.root


# ---------------------------------------------------------------------------------------------------- the version


@pytest.mark.parametrize("version", [None, "1.0\n", "1.1\n", "1.1", "1.2\n"])
def test_a_directory_of_a_known_version_is_read_and_so_is_one_that_names_none(flat: Path, version: str | None) -> None:
    (flat / "version").unlink()
    if version is not None:
        (flat / "version").write_text(f"Directory Transport Version: {version}")

    read(flat)


@pytest.mark.parametrize("version", ["1.3", "1.10", "2.0", "999999999999.0"])
def test_a_newer_version_is_refused_for_its_files_may_be_named_otherwise(flat: Path, version: str) -> None:
    (flat / "version").write_text(f"Directory Transport Version: {version}\n")

    error = refusal(flat)
    assert error.code is Code.SOURCE_LAYOUT_INVALID
    assert f"version {version}; known are those up to 1.2" in str(error)


@pytest.mark.parametrize(
    "content",
    [b"", b"1.1\n", b"Docker Transport Version: 1.1\n", b"Directory Transport Version: one\n", b"\xff" * 100],
)
def test_a_version_of_something_else_is_refused(flat: Path, content: bytes) -> None:
    (flat / "version").write_bytes(content)

    error = refusal(flat)
    assert error.code is Code.SOURCE_LAYOUT_INVALID
    assert error.subject == f"version in {flat}"
    assert "skopeo copy" in error.hint


# ------------------------------------------------------------------------------------------------- what is refused


def test_a_directory_without_a_manifest_is_refused_with_how_others_are_named(tmp_path: Path) -> None:
    error = refusal(tmp_path)

    assert error.code is Code.SOURCE_LAYOUT_INVALID
    assert str(error).startswith(
        f"{tmp_path}: is no image as skopeo copy writes it to dir:DIR, it has no manifest.json;"
    )
    assert "oci:DIR[:REF]" in error.hint


def test_a_layout_is_to_be_named_as_one(layout: Layout) -> None:
    error = refusal(layout.path)

    assert error.code is Code.SOURCE_LAYOUT_INVALID
    assert "oci:DIR[:REF]" in error.hint


def test_a_directory_that_is_no_layout_is_told_that_it_may_be_one_of_these(flat: Path) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(f"oci:{flat}", uid=0, gids=frozenset()).image()

    assert caught.value.code is Code.SOURCE_LAYOUT_INVALID
    assert "dir:DIR" in caught.value.hint


def test_what_docker_save_wrote_is_told_from_a_manifest(flat: Path) -> None:
    (flat / "manifest.json").write_text(json.dumps([{"Config": "0.json", "RepoTags": [], "Layers": []}]))

    error = refusal(flat)
    assert error.code is Code.SOURCE_LAYOUT_INVALID
    assert "docker save" in str(error)


def test_nothing_at_the_path_is_told_and_that_colons_belong_to_it(flat: Path) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(f"dir:{flat}:1.4", uid=0, gids=frozenset())

    assert caught.value.code is Code.SOURCE_NOT_FOUND
    assert caught.value.subject == f"{flat}:1.4"
    assert "dir: takes no :REF" in caught.value.hint


def test_an_archive_is_no_directory(layout: Layout, tmp_path: Path) -> None:
    archive = pack(layout.path, tmp_path / "app.tar")
    with pytest.raises(SourceError) as caught:
        open_source(f"dir:{archive}", uid=0, gids=frozenset())

    assert caught.value.code is Code.SOURCE_LAYOUT_INVALID
    assert "oci-archive:FILE" in caught.value.hint


@pytest.mark.parametrize("name", ["manifest.json", "version"])
@pytest.mark.timeout(5)
def test_a_link_or_a_fifo_in_place_of_a_document_is_refused(flat: Path, tmp_path: Path, name: str) -> None:
    (flat / name).rename(tmp_path / "elsewhere")
    (flat / name).symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        error = refusal(flat)
        assert error.code is Code.SOURCE_LAYOUT_INVALID
        assert str(error).startswith(f"{name} in {flat}: is not a regular file")
        (flat / name).unlink()
        os.mkfifo(flat / name)


@pytest.mark.parametrize("name", ["manifest.json", "version"])
def test_a_huge_document_is_refused_and_not_read(flat: Path, name: str) -> None:
    os.truncate(flat / name, 10 << 30)  # of holes: it takes no room

    assert refusal(flat).code is Code.SOURCE_MANIFEST_TOO_LARGE


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"{not json", Code.SOURCE_MANIFEST_INVALID, "is not JSON"),
        (b"", Code.SOURCE_MANIFEST_INVALID, "is not JSON"),
        (b'"text"', Code.SOURCE_MANIFEST_INVALID, "is not a JSON object"),
        (b"{}", Code.SOURCE_MANIFEST_INVALID, "schemaVersion: is missing"),
        (b'{"schemaVersion":2}', Code.SOURCE_MANIFEST_INVALID, "neither an image manifest"),
        (b'{"schemaVersion":2,"mediaType":"text/html"}', Code.SOURCE_MANIFEST_UNSUPPORTED, "text/html"),
        (b'{"schemaVersion":2,"config":{},"manifests":[]}', Code.SOURCE_MANIFEST_INVALID, "manifests: has no place"),
    ],
)
def test_what_is_no_manifest_is_refused_by_the_name_of_its_file(
    flat: Path, content: bytes, code: Code, words: str
) -> None:
    (flat / "manifest.json").write_bytes(content)

    error = refusal(flat)
    assert error.code is code
    assert str(error).startswith(f"manifest.json in {flat}")
    assert words in str(error)


@pytest.mark.parametrize("signed", [False, True])
def test_dockers_first_schema_is_refused_by_name_with_the_next_step(flat: Path, *, signed: bool) -> None:
    document = {"schemaVersion": 1, "name": "app", "tag": "1", "fsLayers": [], "history": []}
    (flat / "manifest.json").write_text(json.dumps(document | ({"signatures": [{}]} if signed else {})))

    error = refusal(flat)
    assert error.code is Code.SOURCE_MANIFEST_UNSUPPORTED
    assert "schema 1" in error.detail
    assert "skopeo copy --format oci" in error.hint


def test_a_missing_blob_is_found_before_anything_is_pushed(flat: Path, layout: Layout) -> None:
    lost = layout.image.layers[1].digest
    blob_file(flat, lost).unlink()

    error = refusal(flat)
    assert error.code is Code.SOURCE_BLOB_MISSING
    assert error.subject == f"{lost} in {flat}"


def test_a_missing_child_is_told_with_how_to_copy_it_too(flat_index: Path, multi: Layout) -> None:
    """As `skopeo copy --multi-arch index-only` leaves it."""
    lost = multi.image.manifests[0].digest
    child_file(flat_index, lost).unlink()

    error = refusal(flat_index)
    assert error.code is Code.SOURCE_BLOB_MISSING
    assert error.subject == f"{lost} in {flat_index}"
    assert "skopeo copy --all" in error.hint


@pytest.mark.parametrize("change", [-1, 1])
def test_a_blob_of_another_size_is_refused_with_both_sizes(flat: Path, layout: Layout, change: int) -> None:
    os.truncate(blob_file(flat, layout.image.layers[0].digest), 300 + change)

    error = refusal(flat)
    assert error.code is Code.SOURCE_BLOB_SIZE
    assert f"has {300 + change} bytes; its descriptor says 300" in str(error)


def test_a_child_of_other_bytes_than_its_digest_is_refused(flat_index: Path, multi: Layout) -> None:
    child = child_file(flat_index, multi.image.manifests[0].digest)
    child.write_bytes(child.read_bytes().replace(b"latest", b"newest"))

    error = refusal(flat_index)
    assert error.code is Code.SOURCE_BLOB_DIGEST
    assert str(multi.image.manifests[0].digest) in error.subject


def test_an_index_that_lists_a_huge_child_is_refused_and_not_read(flat_index: Path, multi: Layout) -> None:
    child = multi.image.manifests[0]
    os.truncate(child_file(flat_index, child.digest), 10 << 30)
    rewrite(flat_index, lambda document: document["manifests"][0].update(size=10 << 30))

    assert refusal(flat_index).code is Code.SOURCE_MANIFEST_TOO_LARGE


def test_a_link_in_place_of_a_blob_is_refused_with_what_to_do(flat: Path, layout: Layout, tmp_path: Path) -> None:
    blob = blob_file(flat, layout.image.layers[0].digest)
    blob.rename(tmp_path / "elsewhere")
    for target in (tmp_path / "elsewhere", blob_file(flat, layout.image.layers[1].digest).name):
        blob.symlink_to(target)
        error = refusal(flat)
        assert error.code is Code.SOURCE_BLOB_NOT_REGULAR
        assert "cp -rL" in error.hint
        blob.unlink()


def test_a_link_in_place_of_a_child_is_refused(flat_index: Path, multi: Layout, tmp_path: Path) -> None:
    child = child_file(flat_index, multi.image.manifests[0].digest)
    child.rename(tmp_path / "elsewhere")
    child.symlink_to(tmp_path / "elsewhere")

    assert refusal(flat_index).code is Code.SOURCE_BLOB_NOT_REGULAR


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
@pytest.mark.timeout(5)
def test_a_fifo_or_a_directory_in_place_of_a_blob_is_refused_and_does_not_hang(
    flat: Path, layout: Layout, make: Callable[[Path], None]
) -> None:
    blob = blob_file(flat, layout.image.layers[0].digest)
    blob.unlink()
    make(blob)

    assert refusal(flat).code is Code.SOURCE_BLOB_NOT_REGULAR


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../../etc/passwd",
        "sha256:" + "../" * 21 + "x",
        "sha256:.",
        "../x:00",
        "sha256:/etc/passwd",
        "md5:00",
    ],
)
def test_a_digest_that_leads_elsewhere_is_none(flat: Path, flat_index: Path, digest: str) -> None:
    rewrite(flat, lambda document: document["layers"][0].update(digest=digest))
    rewrite(flat_index, lambda document: document["manifests"][0].update(digest=digest))

    for path, field in ((flat, "layers[0].digest"), (flat_index, "manifests[0].digest")):
        error = refusal(path)
        assert error.code is Code.SOURCE_MANIFEST_INVALID
        assert error.subject == f"manifest.json in {path}, {field}"


def test_a_blob_that_changes_while_it_is_read_is_noticed(flat: Path, layout: Layout) -> None:
    blob = layout.image.layers[1]
    source = open_source(f"dir:{flat}", uid=0, gids=frozenset())
    reader = source.open(blob)
    os.truncate(blob_file(flat, blob.digest), 60_000)

    with pytest.raises(SourceError) as caught:
        reader.read(50_000, 20_000)
    reader.close()
    source.close()
    assert caught.value.code is Code.SOURCE_CHANGED


def test_closing_twice_is_harmless_and_readers_stay_usable(flat: Path, layout: Layout) -> None:
    source = open_source(f"dir:{flat}", uid=0, gids=frozenset())
    reader = source.open(layout.image.config)
    source.close()
    source.close()

    assert layout.image.config.digest.matches(reader.whole())


def test_nothing_stays_open_whatever_is_wrong(flat: Path, layout: Layout) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names are enough)
    read(flat)
    os.truncate(blob_file(flat, layout.image.layers[1].digest), 1)
    refusal(flat)
    (flat / "version").write_text("2")
    refusal(flat)
    os.truncate(flat / "manifest.json", 10 << 30)
    refusal(flat)

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 (names are enough)
