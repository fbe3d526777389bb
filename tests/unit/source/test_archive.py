from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, SourceError
from pushd.source.archive import Archive
from pushd.source.members import LayoutMembers
from pushd.source.permission import Peer

if TYPE_CHECKING:
    from pathlib import Path

BLOB = ("blobs", "sha256", "00")
ROOT = Peer(0, frozenset())
Entry = tuple[str, bytes | tarfile.TarInfo]


def write(path: Path, *entries: Entry, form: int = tarfile.PAX_FORMAT) -> Path:
    """Write a tar of these files; a `TarInfo` in place of bytes stands for itself, under the entry's name."""
    with tarfile.open(path, "w", format=form) as archive:
        for name, what in entries:
            member = what if isinstance(what, tarfile.TarInfo) else tarfile.TarInfo()
            content = what if isinstance(what, bytes) else b""
            member.name, member.size = name, len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def of_kind(kind: bytes, linkname: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo()
    member.type = kind
    member.linkname = linkname
    return member


def content(path: Path, wanted: tuple[str, ...] = BLOB) -> bytes:
    archive = Archive(str(path), "app.tar", ROOT, LayoutMembers())
    try:
        extent = archive.open(wanted, "subject")
    finally:
        archive.close()
    try:
        return extent.read(0, extent.size)
    finally:
        extent.close()


def refusal(path: Path) -> SourceError:
    with pytest.raises(SourceError) as caught:
        Archive(str(path), "app.tar", ROOT, LayoutMembers())
    return caught.value


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    return tmp_path / "app.tar"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("prefix", ["", "./", ".//"])
def test_members_are_read_where_they_lie(tar: Path, form: int, prefix: str) -> None:
    directory = of_kind(tarfile.DIRTYPE)
    write(tar, (f"{prefix}blobs", directory), (f"{prefix}blobs/sha256/00", b"content"), ("z", b""), form=form)

    assert content(tar) == b"content"


def test_the_archives_own_directory_may_be_listed(tar: Path) -> None:
    assert content(write(tar, ("./", of_kind(tarfile.DIRTYPE)), ("./blobs/sha256/00", b"x"))) == b"x"


def test_the_path_to_the_archive_may_lead_through_links(tar: Path, tmp_path: Path) -> None:
    (tmp_path / "newest").symlink_to(write(tar, ("blobs/sha256/00", b"x")))

    assert content(tmp_path / "newest") == b"x"


def test_what_is_not_in_it_is_told_so(tar: Path) -> None:
    with pytest.raises(FileNotFoundError):
        content(write(tar, ("blobs/sha256/01", b"x")))


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "blobs/../x", "./..", "//x"])
def test_a_name_that_leads_out_of_the_archive_is_refused_wherever_it_is(tar: Path, name: str) -> None:
    error = refusal(write(tar, ("blobs/sha256/00", b"x"), (name, b"y")))

    assert error.code is Code.SOURCE_ARCHIVE_INVALID
    assert "leads out of it" in str(error)
    assert name in str(error)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a FIFO"),
        (b"M", "no regular file"),
    ],
)
@pytest.mark.parametrize("name", ["blobs/sha256/00", "blobs", "index.json", "oci-layout"])
def test_what_belongs_to_the_layout_must_be_a_regular_file(tar: Path, kind: bytes, words: str, name: str) -> None:
    error = refusal(write(tar, (name, of_kind(kind, "elsewhere"))))

    assert error.code is Code.SOURCE_ARCHIVE_INVALID
    assert error.detail == f"has '{name}', which is {words}"
    assert "save the image again" in error.hint


def test_a_sparse_file_is_refused(tar: Path) -> None:
    assert "which is a sparse file" in str(refusal(write(tar, ("extra", of_kind(tarfile.GNUTYPE_SPARSE)))))
    sparse = of_kind(tarfile.REGTYPE)
    sparse.pax_headers = {"GNU.sparse.major": "1"}
    assert "which is a sparse file" in str(refusal(write(tar, ("blobs/sha256/00", sparse))))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_what_does_not_belong_to_the_layout_is_passed_over(tar: Path, kind: bytes) -> None:
    extra = ("manifest.json", of_kind(kind, "../../etc/passwd"))

    assert content(write(tar, extra, ("manifest.json", b"{}"), ("blobs/sha256/00", b"x"))) == b"x"


@pytest.mark.parametrize("again", ["blobs/sha256/00", "./blobs/sha256/00", "blobs//sha256/./00"])
def test_two_members_of_one_name_are_refused(tar: Path, again: str) -> None:
    error = refusal(write(tar, ("blobs/sha256/00", b"x"), (again, b"y")))

    assert error.detail == "has 'blobs/sha256/00' more than once"


def test_a_truncated_archive_is_refused_by_the_member_that_is_not_whole(tar: Path) -> None:
    write(tar, ("blobs/sha256/00", b"x" * 5000))
    os.truncate(tar, 4000)

    error = refusal(tar)
    assert error.code is Code.SOURCE_ARCHIVE_INVALID
    assert "is truncated: 'blobs/sha256/00'" in str(error)


def test_an_archive_without_its_end_is_refused(tar: Path) -> None:
    write(tar, ("blobs/sha256/00", b"x" * 512))
    os.truncate(tar, 1024)

    assert "before its end was marked" in str(refusal(tar))


@pytest.mark.parametrize("given", [b"", b"x", b"PK\3\4" + bytes(600), b'{"imageLayoutVersion":"1.0.0"}' * 50])
def test_what_is_no_tar_is_refused(tar: Path, given: bytes) -> None:
    tar.write_bytes(given)

    assert refusal(tar).code is Code.SOURCE_ARCHIVE_INVALID


@pytest.mark.parametrize(
    ("compressed", "words"),
    [
        (gzip.compress(bytes(10240)), "compressed with gzip; blobs are read where they lie in the archive: run gunzip"),
        (bz2.compress(bytes(10240)), "compressed with bzip2"),
        (lzma.compress(bytes(10240)), "compressed with xz"),
        (b"\x28\xb5\x2f\xfd" + bytes(range(256)) * 4, "compressed with zstd"),
    ],
    ids=["gzip", "bzip2", "xz", "zstd"],
)
def test_a_compressed_archive_is_refused_by_name_with_what_to_do(tar: Path, compressed: bytes, words: str) -> None:
    tar.write_bytes(compressed)

    error = refusal(tar)
    assert error.code is Code.SOURCE_ARCHIVE_INVALID
    assert words in str(error)


def test_a_name_in_the_archive_reaches_no_terminal_with_control_characters(tar: Path) -> None:
    assert str(refusal(write(tar, ("../\x1b[2J\u202e\udcff", b"")))).isprintable()


def test_a_path_to_nothing_is_not_found(tar: Path) -> None:
    assert refusal(tar).code is Code.SOURCE_NOT_FOUND


def test_a_directory_is_no_archive_and_is_pointed_to_its_own_kind(tmp_path: Path) -> None:
    error = refusal(tmp_path)

    assert error.code is Code.SOURCE_ARCHIVE_INVALID
    assert "oci:DIR" in str(error)


@pytest.mark.timeout(5)
def test_a_fifo_is_no_archive_and_does_not_hang(tar: Path) -> None:
    os.mkfifo(tar)

    error = refusal(tar)
    assert error.code is Code.SOURCE_ARCHIVE_INVALID
    assert "not a regular file" in str(error)


def test_a_path_through_a_file_is_unreadable(tar: Path) -> None:
    write(tar)

    assert refusal(tar / "below").code is Code.SOURCE_UNREADABLE


def test_a_disk_that_fails_under_the_headers_is_told_as_one(tar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    write(tar, ("blobs/sha256/00", b"x"))
    monkeypatch.setattr(os, "pread", fail)

    error = refusal(tar)
    assert error.code is Code.SOURCE_UNREADABLE
    assert str(error) == "app.tar: cannot be read: Input/output error"


def test_an_archive_that_changed_after_its_headers_were_read_opens_no_member(tar: Path) -> None:
    archive = Archive(str(write(tar, ("blobs/sha256/00", b"x"))), "app.tar", ROOT, LayoutMembers())
    os.truncate(tar, 512)

    with pytest.raises(SourceError) as caught:
        archive.open(BLOB, "subject")
    archive.close()
    assert caught.value.code is Code.SOURCE_CHANGED


def test_an_archive_that_changes_while_its_headers_are_read_is_refused(
    tar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tar, ("blobs/sha256/00", b"x"))
    whole = os.pread

    def pread(fd: int, length: int, offset: int) -> bytes:
        with tar.open("ab") as file:
            file.write(b"more")
        return whole(fd, length, offset)

    monkeypatch.setattr(os, "pread", pread)

    assert refusal(tar).code is Code.SOURCE_CHANGED


def test_a_reader_outlives_the_archive(tar: Path) -> None:
    archive = Archive(str(write(tar, ("blobs/sha256/00", b"content"))), "app.tar", ROOT, LayoutMembers())
    extent = archive.open(BLOB, "subject")
    archive.close()

    assert extent.read(0, 7) == b"content"
    extent.close()


def test_nothing_stays_open_whatever_happens(tar: Path, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names are enough)
    refusal(write(tar, ("../x", b"")))
    refusal(tmp_path)
    assert content(write(tar, ("blobs/sha256/00", b"x"))) == b"x"

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 (names are enough)
