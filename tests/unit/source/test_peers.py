"""Layouts, archives and plain directories opened with somebody else's rights."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, SourceError
from pushd.source import open_source
from tests.fakes.archives import SavedImage, docker_archive
from tests.fakes.dirs import blob_file, flatten
from tests.fakes.images import ImageSpec, build_layout, pack

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.oci.image import Image
    from pushd.source import ImageSource
    from tests.fakes.images import Layout

ALICE = 4_000_001


def opened(name: str) -> ImageSource:
    return open_source(name, uid=ALICE, gids=frozenset({ALICE}))


def read(name: str) -> Image:
    source = opened(name)
    try:
        return source.image()
    finally:
        source.close()


def refusal(name: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        read(name)
    return caught.value


@pytest.fixture
def layout(passable: Path) -> Layout:
    """Give a layout that everybody may read."""
    layout = build_layout(passable / "app", [ImageSpec(layers=[300, 400])])
    for each in (layout.path, *layout.path.rglob("*")):
        each.chmod(0o755 if each.is_dir() else 0o644)
    return layout


def test_what_the_peer_may_read_is_read_whole(layout: Layout) -> None:
    source = opened(f"oci:{layout.path}")
    assert source.image().root.descriptor == layout.image.root
    for blob in layout.image.blobs:
        assert blob.digest.matches(source.open(blob).whole())
    source.close()


@pytest.mark.parametrize("closed", ["", "blobs", "blobs/sha256"])
def test_a_directory_of_a_layout_that_is_closed_to_the_peer_ends_it(layout: Layout, closed: str) -> None:
    (layout.path / closed).chmod(0o700)

    error = refusal(f"oci:{layout.path}")
    assert error.code is Code.SOURCE_FORBIDDEN
    assert error.hint == f"let uid {ALICE} search the directory {layout.path / closed}"


@pytest.mark.parametrize("closed", ["oci-layout", "index.json"])
def test_a_document_that_is_closed_to_the_peer_ends_it(layout: Layout, closed: str) -> None:
    (layout.path / closed).chmod(0o600)

    error = refusal(f"oci:{layout.path}")
    assert error.code is Code.SOURCE_FORBIDDEN
    assert error.subject == f"{closed} in {layout.path}"


def test_one_blob_that_is_closed_to_the_peer_is_found_before_anything_is_pushed(layout: Layout) -> None:
    blob = layout.image.layers[1]
    layout.blob_path(blob.digest).chmod(0o600)

    error = refusal(f"oci:{layout.path}")
    assert error.code is Code.SOURCE_FORBIDDEN
    assert error.subject == f"{blob.digest} in {layout.path}"
    assert error.hint == f"let uid {ALICE} read the file {layout.blob_path(blob.digest)}"


def test_a_blob_that_was_closed_meanwhile_is_forbidden_too(layout: Layout) -> None:
    source = opened(f"oci:{layout.path}")
    source.image()
    blob = layout.image.layers[0]
    layout.blob_path(blob.digest).chmod(0o600)

    with pytest.raises(SourceError) as caught:
        source.open(blob)
    source.close()
    assert caught.value.code is Code.SOURCE_FORBIDDEN


def test_an_archive_is_the_peers_to_read_or_it_is_not(layout: Layout, passable: Path) -> None:
    archive = pack(layout.path, passable / "app.tar")
    archive.chmod(0o644)
    assert read(f"oci-archive:{archive}").blobs == layout.image.blobs

    archive.chmod(0o600)
    error = refusal(f"oci-archive:{archive}")
    assert error.code is Code.SOURCE_FORBIDDEN
    assert error.hint == f"let uid {ALICE} read the file {archive}"


def test_what_docker_saved_is_the_peers_to_read_or_it_is_not(passable: Path) -> None:
    archive = passable / "app.tar"
    archive.write_bytes(docker_archive([SavedImage([b"layer"])]))
    archive.chmod(0o644)
    assert len(read(f"docker-archive:{archive}").blobs) == 2

    archive.chmod(0o600)
    error = refusal(f"docker-archive:{archive}")
    assert error.code is Code.SOURCE_FORBIDDEN
    assert error.hint == f"let uid {ALICE} read the file {archive}"


def test_a_link_to_what_docker_saved_is_followed_as_far_as_the_peer_may_go(passable: Path) -> None:
    closed = passable / "closed"
    closed.mkdir(mode=0o700)
    (closed / "app.tar").write_bytes(docker_archive([SavedImage([b"layer"])]))
    (passable / "link.tar").symlink_to(closed / "app.tar")

    error = refusal(f"docker-archive:{passable / 'link.tar'}")
    assert error.code is Code.SOURCE_FORBIDDEN
    assert error.hint == f"let uid {ALICE} search the directory {closed}"


@pytest.fixture
def flat(layout: Layout, passable: Path) -> Path:
    """Give a plain directory with the same image that everybody may read."""
    flat = flatten(layout, passable / "flat")
    for each in (flat, *flat.iterdir()):
        each.chmod(0o755 if each.is_dir() else 0o644)
    return flat


def test_what_the_peer_may_read_in_a_plain_directory_is_read_whole(layout: Layout, flat: Path) -> None:
    source = opened(f"dir:{flat}")
    assert source.image().root.descriptor == layout.image.root
    for blob in layout.image.blobs:
        assert blob.digest.matches(source.open(blob).whole())
    source.close()


def test_a_plain_directory_that_is_closed_to_the_peer_ends_it(flat: Path) -> None:
    flat.chmod(0o700)

    error = refusal(f"dir:{flat}")
    assert error.code is Code.SOURCE_FORBIDDEN
    assert error.hint == f"let uid {ALICE} search the directory {flat}"


@pytest.mark.parametrize("closed", ["manifest.json", "version"])
def test_a_document_of_a_plain_directory_that_is_closed_to_the_peer_ends_it(flat: Path, closed: str) -> None:
    (flat / closed).chmod(0o600)

    error = refusal(f"dir:{flat}")
    assert error.code is Code.SOURCE_FORBIDDEN
    assert error.subject == f"{closed} in {flat}"


def test_a_blob_of_a_plain_directory_that_is_closed_to_the_peer_is_found_at_once(layout: Layout, flat: Path) -> None:
    blob = layout.image.layers[1]
    blob_file(flat, blob.digest).chmod(0o600)

    error = refusal(f"dir:{flat}")
    assert error.code is Code.SOURCE_FORBIDDEN
    assert error.subject == f"{blob.digest} in {flat}"
    assert error.hint == f"let uid {ALICE} read the file {blob_file(flat, blob.digest)}"


def test_the_peer_is_judged_before_the_daemon(layout: Layout) -> None:
    layout.path.chmod(0o000)  # closed to a daemon that is not root as well
    error = refusal(f"oci:{layout.path}")
    layout.path.chmod(0o700)

    assert error.code is Code.SOURCE_FORBIDDEN


def test_directories_inside_are_entered_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    source = opened(f"oci:{layout.path}")
    source.image()
    names: list[str] = []
    real = os.open

    def watched(path: str, *args: int, **kwargs: int) -> int:
        names.append(path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", watched)
    blob = layout.image.layers[0]
    source.open(blob).close()
    source.close()

    assert names[0] == blob.digest.encoded
    assert all(name.startswith("/proc/self/fd/") for name in names[1:])
