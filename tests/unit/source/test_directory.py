from __future__ import annotations

import os
import socket
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, SourceError
from pushd.source.directory import Directory
from pushd.source.faults import IrregularFileError
from pushd.source.permission import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = ("blobs", "sha256", "00")
ROOT = Peer(0, frozenset())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    root.joinpath(*FILE[:-1]).mkdir(parents=True)
    root.joinpath(*FILE).write_bytes(b"content")
    return root


@contextmanager
def opened(path: Path) -> Iterator[Directory]:
    directory = Directory.at(str(path), "app", ROOT)
    try:
        yield directory
    finally:
        directory.close()


def content(root: Path, path: tuple[str, ...] = FILE) -> bytes:
    with opened(root) as directory:
        extent = directory.open(path, "subject")
        try:
            return extent.read(0, extent.size)
        finally:
            extent.close()


def refusal(path: Path | str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        Directory.at(str(path), "app", ROOT)
    return caught.value


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names are enough)


def test_a_file_is_read_by_the_components_of_its_path(root: Path) -> None:
    assert content(root) == b"content"


def test_the_path_to_the_directory_may_lead_through_links(root: Path, tmp_path: Path) -> None:
    (tmp_path / "newest").symlink_to(root)
    (tmp_path / "above").symlink_to(tmp_path)

    assert content(tmp_path / "above" / "newest") == b"content"


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_inside_the_directory_no_link_is_followed(root: Path, tmp_path: Path, depth: int) -> None:
    link = root.joinpath(*FILE[:depth])
    link.rename(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")

    assert root.joinpath(*FILE).read_bytes() == b"content"  # whoever follows links gets there
    with pytest.raises(IrregularFileError):
        content(root)


def test_a_link_that_stays_inside_is_not_followed_either(root: Path) -> None:
    (root / "index.json").symlink_to("blobs/sha256/00")

    with pytest.raises(IrregularFileError):
        content(root, ("index.json",))


@pytest.mark.timeout(5)
def test_a_fifo_is_refused_and_does_not_hang(root: Path) -> None:
    os.mkfifo(root / "fifo")

    with pytest.raises(IrregularFileError):
        content(root, ("fifo",))


def test_a_directory_and_a_socket_are_no_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)  # a socket's address is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for path in [("blobs",), ("blobs", "sha256"), ("socket",)]:
            with pytest.raises(IrregularFileError):
                content(root, path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_no_file(root: Path) -> None:
    try:
        os.mknod(root / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("not even root makes devices here")

    with pytest.raises((IrregularFileError, PermissionError)):  # the latter where the filesystem is mounted nodev
        content(root, ("null",))


def test_a_file_where_a_directory_is_looked_for_is_no_way(root: Path) -> None:
    with pytest.raises(IrregularFileError):
        content(root, (*FILE, "more"))


@pytest.mark.parametrize("path", [("blobs", "sha512", "00"), ("nothing",)])
def test_what_is_not_there_is_told_so(root: Path, path: tuple[str, ...]) -> None:
    with pytest.raises(FileNotFoundError):
        content(root, path)


def test_a_path_to_nothing_is_not_found(tmp_path: Path) -> None:
    error = refusal(tmp_path / "nothing")

    assert error.code is Code.SOURCE_NOT_FOUND
    assert str(error).startswith("app: is not there; ")


def test_a_path_to_a_file_is_no_layout_and_points_to_archives(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    error = refusal(tmp_path / "file")
    assert error.code is Code.SOURCE_LAYOUT_INVALID
    assert "is not a directory" in str(error)
    assert "oci-archive:FILE" in str(error)


def test_a_path_through_a_file_is_no_layout_either(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert refusal(tmp_path / "file" / "below").code is Code.SOURCE_LAYOUT_INVALID


def test_a_path_too_long_for_the_filesystem_is_told_as_one(tmp_path: Path) -> None:
    assert "longer name" in str(refusal(tmp_path / ("x" * 300)))
    assert refusal(tmp_path / ("x" * 300)).code is Code.SOURCE_UNREADABLE
    assert "longer name" in str(refusal("/x" * 3000))


def test_a_circle_of_links_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    assert "too many symbolic links" in str(refusal(tmp_path / "a"))


def test_nothing_stays_open_whatever_happens(root: Path) -> None:
    (root / "link").symlink_to("blobs")
    os.mkfifo(root / "fifo")
    before = open_descriptors()
    for path in [
        FILE,
        ("link", "sha256"),
        ("blobs", "nothing", "00"),
        ("blobs", "sha256", "01"),
        ("blobs",),
        ("fifo",),
    ]:
        with opened(root) as directory:
            try:
                directory.open(path, "subject").close()
            except OSError:
                continue

    assert open_descriptors() == before


def test_closing_while_a_directory_is_entered_leaves_nothing_open(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_descriptors()
    directory = Directory.at(str(root), "app", ROOT)
    real = os.open

    def close_meanwhile(path: str, *args: int, **kwargs: int) -> int:
        if path == "sha256":
            directory.close()
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", close_meanwhile)
    with pytest.raises(ValueError, match="closed"):
        directory.open(FILE, "subject")
    assert open_descriptors() == before


def test_two_who_enter_a_directory_at_once_hold_it_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_descriptors()
    real = os.open

    def open_meanwhile(path: str, *args: int, **kwargs: int) -> int:
        if path == "sha256":
            monkeypatch.setattr(os, "open", real)
            directory.open(FILE, "subject").close()
        return real(path, *args, **kwargs)

    with opened(root) as directory:
        monkeypatch.setattr(os, "open", open_meanwhile)
        directory.open(FILE, "subject").close()
    assert open_descriptors() == before


def test_a_reader_outlives_the_directory_and_the_name_of_its_file(root: Path) -> None:
    with opened(root) as directory:
        extent = directory.open(FILE, "subject")
    (root / "blobs").rename(root / "moved")

    assert extent.read(0, 7) == b"content"
    extent.close()
