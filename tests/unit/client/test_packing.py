"""A directory as one layer: what is in it, always the same bytes, and what cannot be in it."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import socket
import subprocess
import sys
import tarfile
import tracemalloc
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pushd.client import packing
from pushd.client.packing import FullError, pack
from pushd.errors import Code, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

MIB = 1 << 20


@contextmanager
def _open(directory: Path) -> Iterator[int]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def _pack(directory: Path, name: str = "data", mtime: int = 0) -> tuple[bytes, str]:
    """Give the layer, and the digest it says its tar has."""
    target = io.BytesIO()
    with _open(directory) as fd:
        packed = pack(fd, name, target, mtime=mtime)
    content = target.getvalue()
    assert str(packed.digest) == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert packed.size == len(content)
    return content, str(packed.plain)


def _members(content: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return archive.getmembers()


def _refused(directory: Path, code: Code) -> str:
    with pytest.raises(SourceError) as caught:
        _pack(directory)
    assert caught.value.code is code
    return str(caught.value)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "b.txt").write_bytes(b"b" * 700)
    (root / "a.sh").write_bytes(b"#!/bin/sh\n")
    (root / "a.sh").chmod(0o755)
    (root / "b.txt").chmod(0o640)
    (root / "sub" / "deep" / "empty").touch()
    (root / "sub" / "link").symlink_to("../b.txt")
    return root


def test_files_directories_and_links_are_there_below_the_name_in_order(tree: Path) -> None:
    content, plain = _pack(tree)
    members = _members(content)
    assert [member.name for member in members] == [
        "data", "data/a.sh", "data/b.txt", "data/sub", "data/sub/deep", "data/sub/deep/empty", "data/sub/link",
    ]  # fmt: skip
    link = members[-1]
    assert (link.issym(), link.linkname) == (True, "../b.txt")
    assert (members[1].mode, members[2].mode) == (0o755, 0o640)
    assert plain == f"sha256:{hashlib.sha256(gzip.decompress(content)).hexdigest()}"


def test_whose_the_files_are_and_when_they_were_written_is_not_told(tree: Path) -> None:
    for member in _members(_pack(tree)[0]):
        assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)
    assert {member.mtime for member in _members(_pack(tree, mtime=1_700_000_000)[0])} == {1_700_000_000}


def test_a_right_to_be_somebody_else_is_not_told_for_the_owner_is_not(tree: Path) -> None:
    (tree / "a.sh").chmod(0o6755)
    (tree / "sub").chmod(0o1777)
    members = {member.name: member.mode for member in _members(_pack(tree)[0])}
    assert (members["data/a.sh"], members["data/sub"]) == (0o755, 0o777)


def test_the_directory_itself_may_be_named_by_a_dot(tree: Path) -> None:
    assert [member.name for member in _members(_pack(tree, ".")[0])][:2] == [".", "a.sh"]


def test_the_same_files_give_the_same_bytes_in_another_process_and_another_place(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "sub" / "deep").mkdir(parents=True)
    for name in ("sub/deep/empty", "a.sh", "b.txt"):  # made in another order, and later
        (other / name).write_bytes((tree / name).read_bytes())
    for name in ("a.sh", "b.txt", "sub", "sub/deep", "sub/deep/empty", "."):
        (other / name).chmod((tree / name).stat().st_mode & 0o777)
    (other / "sub" / "link").symlink_to("../b.txt")
    os.utime(other / "b.txt", (1, 1))
    program = (
        "import os, sys; from pushd.client.packing import pack;"
        "print(pack(os.open(sys.argv[1], os.O_RDONLY), 'data', open(os.devnull, 'wb'), mtime=0).digest)"
    )
    ran = subprocess.run([sys.executable, "-c", program, other], check=True, capture_output=True, text=True)
    assert ran.stdout == f"sha256:{hashlib.sha256(_pack(tree)[0]).hexdigest()}\n"


@pytest.mark.parametrize("name", ["é" * 80, "x" * 200, "\udcff\udcfe", "a\nb", "-rf", " "])
def test_any_name_a_file_can_have_is_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"1")
    assert [member.name for member in _members(_pack(tmp_path)[0])] == ["data", f"data/{name}"]


def test_a_hard_link_is_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"same")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert [(member.isreg(), member.size) for member in _members(_pack(tmp_path)[0])[1:]] == [(True, 4), (True, 4)]


def test_large_files_pass_through_and_are_never_held(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 * MIB)
    tracemalloc.start()
    try:
        with _open(tmp_path) as fd, (tmp_path.parent / "out").open("wb") as target:
            pack(fd, "data", target, mtime=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MIB


def test_a_full_disk_is_told_as_what_it_is_and_not_as_a_file_that_cannot_be_read(tree: Path) -> None:
    (tree / "large").write_bytes(os.urandom(MIB))
    with _open(tree) as fd, Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(FullError) as caught:
        pack(fd, "data", full, mtime=0)
    assert str(caught.value) == "No space left on device"


# ---------------------------------------------------------------------------------------------- what is refused


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.close()


@pytest.mark.parametrize(("make", "what"), [(_fifo, "a FIFO"), (_socket, "a socket")])
def test_what_is_no_file_is_refused_by_its_name(tree: Path, make: Callable[[Path], None], what: str) -> None:
    make(tree / "sub" / "odd")
    said = _refused(tree, Code.SOURCE_BLOB_NOT_REGULAR)
    assert said.startswith("data/sub/odd: ")
    assert what in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_refused_and_not_opened(tree: Path) -> None:
    try:
        os.mknod(tree / "null", 0o600 | 0o020000, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no device can be made here")
    assert "data/null: is a device" in _refused(tree, Code.SOURCE_BLOB_NOT_REGULAR)


@pytest.mark.parametrize(
    ("links", "guilty"),
    [
        ({"out": "/etc/passwd"}, "out"),
        ({"out": ".."}, "out"),
        ({"out": "../tree/b.txt"}, "out"),
        ({"sub/out": "../../x"}, "sub/out"),
        ({"sub/out": "deep/../../../x"}, "sub/out"),
        ({"sub/up": "..", "sub/w": "up/../x"}, "sub/w"),  # each looks as if it led inside
        ({"sub/deep/top": "../..", "sub/deep/w": "top/../x"}, "sub/deep/w"),
        ({"one": "two", "two": "one"}, "one"),
    ],
)
def test_a_link_that_leads_out_or_nowhere_is_refused_by_its_name(
    tree: Path, links: dict[str, str], guilty: str
) -> None:
    for at, target in links.items():
        (tree / at).symlink_to(target)
    said = _refused(tree, Code.SOURCE_BLOB_NOT_REGULAR)
    assert said.startswith(f"data/{guilty}: ")
    assert repr(links[guilty]) in said


@pytest.mark.parametrize("target", ["b.txt", "sub/deep/empty", "sub/link", "./sub/../b.txt", "not/there", "sub/deep"])
def test_a_link_that_stays_within_stays_a_link(tree: Path, target: str) -> None:
    (tree / "here").symlink_to(target)
    assert {member.name: member.linkname for member in _members(_pack(tree)[0])}["data/here"] == target


@pytest.mark.parametrize("name", ["b.txt", "sub"])
def test_what_may_not_be_read_is_refused_by_its_name(
    tree: Path, name: str, powerless: Callable[[], AbstractContextManager[None]]
) -> None:
    (tree / name).chmod(0)
    with _open(tree) as fd, powerless(), pytest.raises(SourceError) as caught:
        pack(fd, "data", io.BytesIO(), mtime=0)
    assert caught.value.code is Code.SOURCE_UNREADABLE
    assert str(caught.value).startswith(f"data/{name}: may not be read; you are uid ")


def test_what_may_be_listed_but_not_looked_at_is_refused_by_its_name(
    tree: Path, powerless: Callable[[], AbstractContextManager[None]]
) -> None:
    tree.chmod(0o744)
    with _open(tree) as fd, powerless(), pytest.raises(SourceError) as caught:
        pack(fd, "data", io.BytesIO(), mtime=0)
    assert str(caught.value).startswith("data/a.sh: may not be read")


def test_a_disk_that_fails_is_told_with_the_directory(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> list[str]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.listdir", fail)
    with _open(tree) as fd, pytest.raises(SourceError) as caught:
        pack(fd, "data", io.BytesIO(), mtime=0)
    assert str(caught.value) == "data: cannot be read: Input/output error"


def test_directories_as_deep_as_they_may_be_are_packed(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*["d"] * (packing.MAX_DEPTH - 1))
    deepest.mkdir(parents=True)
    assert len(_members(_pack(tmp_path)[0])) == packing.MAX_DEPTH


def test_directories_without_end_are_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MAX_DEPTH", 2)
    assert "data/sub/deep: " in _refused(tree, Code.SOURCE_UNREADABLE)


# ------------------------------------------------------------------------------------------------ what changes


class _Changing(io.BytesIO):
    """Does something to the tree once it has come to the middle of a large file."""

    def __init__(self, change: Callable[[], object]) -> None:
        super().__init__()
        self._change: Callable[[], object] | None = change

    def write(self, content: object) -> int:
        if self._change is not None and self.tell() > MIB:
            self._change()
            self._change = None
        return super().write(content)  # type: ignore[arg-type]  # whatever a BytesIO takes


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: _grow(tree / "large"),
        lambda tree: os.truncate(tree / "large", 5),
        lambda tree: (tree / "large").unlink(),
        lambda tree: (tree / "new").touch(),
        lambda tree: (tree / "z").unlink(),
    ],
    ids=["grows", "shrinks", "goes", "is joined", "goes before its turn"],
)
def test_what_changes_while_it_is_read_is_refused(tree: Path, change: Callable[[Path], object]) -> None:
    (tree / "large").write_bytes(os.urandom(4 * MIB))  # which gzip lets through piece by piece
    (tree / "z").touch()
    os.utime(tree, (1, 1))  # no clock is too coarse for what happens to it now
    with _open(tree) as fd, pytest.raises(SourceError) as caught:
        pack(fd, "data", _Changing(lambda: change(tree)), mtime=0)
    assert caught.value.code is Code.SOURCE_CHANGED
    assert caught.value.subject in ("data/large", "data", "data/z")
