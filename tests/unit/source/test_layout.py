from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.source import open_source
from tests.fakes.images import INDEX, MANIFEST, ImageSpec, build_layout, entry, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TypeAlias

    from pushd.oci.image import Image
    from pushd.push.ports.source import OpenSource
    from tests.fakes.images import Layout

    Name: TypeAlias = Callable[[Layout, str], str]

PLATFORMS = ("linux/amd64", "linux/arm64")


@pytest.fixture(params=["oci", "oci-archive"])
def name(request: pytest.FixtureRequest, tmp_path: Path) -> Name:
    """Give what names a layout as it is now: its directory, or an archive packed of it."""

    def directory(layout: Layout, reference: str = "") -> str:
        return f"oci:{layout.path}:{reference}"

    def archive(layout: Layout, reference: str = "") -> str:
        return f"oci-archive:{pack(layout.path, tmp_path / 'packed.tar')}:{reference}"

    return directory if request.param == "oci" else archive


def read(source_name: str) -> Image:
    opener: OpenSource = open_source  # what the engine asks for is what is given
    source = opener(source_name, uid=0, gids=frozenset())
    try:
        return source.image()
    finally:
        source.close()


def refusal(source_name: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        read(source_name)
    return caught.value


def test_an_image_is_read_with_its_original_bytes(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[1024, 70_000])])

    image = read(name(layout, "1.4"))
    assert image.root.descriptor == layout.image.root
    assert image.root.content == layout.blob_path(layout.image.digest).read_bytes()
    assert image.blobs == layout.image.blobs


def test_an_index_is_read_with_all_below_it_children_first(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(platforms=PLATFORMS, nested=True)])

    image = read(name(layout, ""))
    assert tuple(document.descriptor for document in image.documents) == layout.image.manifests
    assert set(image.blobs) == set(layout.image.blobs)


def test_the_image_is_chosen_by_the_reference(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4"), ImageSpec(tag="example.com:5000/app:1.5")])

    for tag in ("1.4", "example.com:5000/app:1.5"):
        assert read(name(layout, tag)).root.descriptor == layout.images[tag].root
    assert refusal(name(layout, "")).code is Code.SOURCE_AMBIGUOUS
    assert refusal(name(layout, "1.6")).code is Code.SOURCE_REFERENCE_UNKNOWN


def test_every_blob_can_be_opened_and_is_what_its_digest_names(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(layers=[300, 5000, 200_000])])
    source = open_source(name(layout, ""), uid=0, gids=frozenset())
    for blob in layout.image.blobs:
        reader = source.open(blob)
        assert reader.size == blob.size
        assert blob.digest.matches(reader.read(0, blob.size))
        reader.close()
    source.close()


def test_blobs_can_be_opened_without_the_image_having_been_read(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app")
    (layout.path / "index.json").unlink()
    source = open_source(name(layout, ""), uid=0, gids=frozenset())

    source.open(layout.image.config).close()
    source.close()


def test_an_empty_blob_and_another_algorithm_are_blobs_too(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app")
    blobs = [layout.put(b""), layout.put(b"content", algorithm="sha512")]
    source = open_source(name(layout, ""), uid=0, gids=frozenset())
    for blob in blobs:
        reader = source.open(blob)
        assert blob.digest.matches(reader.read(0, blob.size))
        reader.close()
    source.close()


def test_a_missing_blob_is_found_before_anything_is_pushed(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(layers=[300, 400])])
    lost = layout.image.layers[1].digest
    layout.blob_path(lost).unlink()

    error = refusal(name(layout, ""))
    assert error.code is Code.SOURCE_BLOB_MISSING
    assert str(error).startswith(f"{lost} in {tmp_path}")


def test_a_missing_manifest_is_a_missing_blob(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(platforms=PLATFORMS)])
    layout.blob_path(layout.image.manifests[0].digest).unlink()

    assert refusal(name(layout, "")).code is Code.SOURCE_BLOB_MISSING


def test_a_layout_without_blobs_misses_them(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app")
    shutil.rmtree(layout.path / "blobs")

    assert refusal(name(layout, "")).code is Code.SOURCE_BLOB_MISSING


@pytest.mark.parametrize("change", [-1, 1])
def test_a_blob_of_another_size_is_refused_with_both_sizes(tmp_path: Path, name: Name, change: int) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(layers=[300])])
    os.truncate(layout.blob_path(layout.image.layers[0].digest), 300 + change)

    error = refusal(name(layout, ""))
    assert error.code is Code.SOURCE_BLOB_SIZE
    assert f"has {300 + change} bytes; its descriptor says 300" in str(error)


def test_a_manifest_of_other_bytes_than_its_digest_is_refused(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app")
    path = layout.blob_path(layout.image.digest)
    path.write_bytes(path.read_bytes().replace(b"amd64", b"arm64").replace(b"latest", b"newest"))

    assert refusal(name(layout, "")).code is Code.SOURCE_BLOB_DIGEST


@pytest.mark.parametrize("lost", ["oci-layout", "index.json"])
def test_what_is_no_layout_is_told_what_it_lacks(tmp_path: Path, name: Name, lost: str) -> None:
    layout = build_layout(tmp_path / "app")
    (layout.path / lost).unlink()

    error = refusal(name(layout, ""))
    assert error.code is Code.SOURCE_LAYOUT_INVALID
    assert f"is no OCI image layout, it has no {lost}" in str(error)


def test_a_layout_of_another_version_is_refused(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app")
    (layout.path / "oci-layout").write_text('{"imageLayoutVersion":"2.0.0"}')

    assert "version 2.0.0" in str(refusal(name(layout, "")))


@pytest.mark.parametrize("document", ["oci-layout", "index.json"])
def test_a_huge_document_is_refused_and_not_read(tmp_path: Path, name: Name, document: str) -> None:
    layout = build_layout(tmp_path / "app")
    os.truncate(layout.path / document, (4 << 20) + 1)

    assert refusal(name(layout, "")).code is Code.SOURCE_MANIFEST_TOO_LARGE


def test_a_huge_manifest_is_refused_and_not_read(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app")
    huge = Descriptor(MANIFEST, Digest.of(b"huge"), 10 << 30)
    layout.blob_path(huge.digest).touch()
    os.truncate(layout.blob_path(huge.digest), huge.size)  # of holes: it takes no room
    layout.write_index(entry(huge))

    assert refusal(f"oci:{layout.path}").code is Code.SOURCE_MANIFEST_TOO_LARGE


def test_an_index_that_lists_a_huge_manifest_is_refused(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app")
    huge = Descriptor(MANIFEST, Digest.of(b"huge"), 10 << 30)
    index = layout.put_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(huge)]}, INDEX)
    layout.write_index(entry(index))

    assert refusal(name(layout, "")).code is Code.SOURCE_MANIFEST_TOO_LARGE


def test_a_link_in_place_of_a_blob_is_refused_with_what_to_do(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app")
    blob = layout.blob_path(layout.image.layers[0].digest)
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")

    error = refusal(f"oci:{layout.path}")
    assert error.code is Code.SOURCE_BLOB_NOT_REGULAR
    assert "cp -rL" in str(error)


@pytest.mark.timeout(5)
def test_a_fifo_in_place_of_a_blob_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app")
    for blob in (layout.image.layers[0], layout.image.root):
        path = layout.blob_path(blob.digest)
        path.unlink()
        os.mkfifo(path)
        assert refusal(f"oci:{layout.path}").code is Code.SOURCE_BLOB_NOT_REGULAR


def test_a_link_in_place_of_the_index_is_refused(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app")
    (layout.path / "index.json").rename(tmp_path / "elsewhere")
    (layout.path / "index.json").symlink_to(tmp_path / "elsewhere")

    error = refusal(f"oci:{layout.path}")
    assert error.code is Code.SOURCE_LAYOUT_INVALID
    assert "index.json" in str(error)


def test_a_blob_that_changes_while_it_is_read_is_noticed(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(layers=[100_000])])
    (layer,) = layout.image.layers
    given = name(layout, "")
    source = open_source(given, uid=0, gids=frozenset())
    reader = source.open(layer)
    reader.read(0, 50_000)
    kind, path, _ = given.split(":")
    os.truncate(layout.blob_path(layer.digest) if kind == "oci" else path, 60_000)

    with pytest.raises(SourceError) as caught:
        reader.read(50_000, 50_000)
    reader.close()
    source.close()
    assert caught.value.code is Code.SOURCE_CHANGED
    assert str(layer.digest) in str(caught.value)


@contextmanager
def no_permission(path: Path) -> Iterator[None]:
    """Take the right to read `path`; root, whom nothing is forbidden, becomes nobody for the while."""
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        path.chmod(0o700)


def test_a_source_the_daemon_may_not_read_names_who_needs_the_permission(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app")
    given = name(layout, "")
    path = given.split(":")[1]
    with no_permission(tmp_path):
        error = refusal(given)

    assert error.code is Code.SOURCE_UNREADABLE
    assert str(error).startswith(f"{path}: may not be read by the daemon; the daemon runs as uid ")


def test_a_blob_the_daemon_may_not_read_is_named(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app")
    source = open_source(f"oci:{layout.path}", uid=0, gids=frozenset())
    blob = layout.image.config
    with no_permission(layout.blob_path(blob.digest)), pytest.raises(SourceError) as caught:
        source.open(blob)

    source.close()
    assert caught.value.code is Code.SOURCE_UNREADABLE
    assert str(blob.digest) in str(caught.value)


def test_an_index_the_daemon_may_not_read_is_named(tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app")
    source = open_source(f"oci:{layout.path}", uid=0, gids=frozenset())
    with no_permission(layout.path / "index.json"), pytest.raises(SourceError) as caught:
        source.image()

    source.close()
    assert caught.value.code is Code.SOURCE_UNREADABLE
    assert "index.json" in str(caught.value)


def test_threads_share_one_source(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(layers=[5000] * 8)])
    source = open_source(name(layout, ""), uid=0, gids=frozenset())
    wrong: list[Descriptor] = []

    def read_all() -> None:
        for blob in layout.image.blobs * 5:
            reader = source.open(blob)
            content = b"".join(reader.read(at, min(999, blob.size - at)) for at in range(0, blob.size, 999))
            reader.close()
            if not blob.digest.matches(content):
                wrong.append(blob)

    threads = [threading.Thread(target=read_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    source.close()
    assert wrong == []


def test_closing_twice_is_harmless_and_readers_stay_usable(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app")
    source = open_source(name(layout, ""), uid=0, gids=frozenset())
    reader = source.open(layout.image.config)
    source.close()
    source.close()

    assert layout.image.config.digest.matches(reader.read(0, reader.size))
    reader.close()


def test_nothing_stays_open_whatever_is_wrong(tmp_path: Path, name: Name) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(layers=[300, 400])])
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names are enough)
    read(name(layout, ""))
    os.truncate(layout.blob_path(layout.image.layers[1].digest), 1)
    refusal(name(layout, ""))
    (layout.path / "index.json").write_text(json.dumps({"manifests": 1}))
    refusal(name(layout, ""))

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 (names are enough)
