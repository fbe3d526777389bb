from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, SourceError
from pushd.source.extent import Extent, Identity, OwnIdentity
from pushd.work import FileIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 16
SUBJECT = "sha256:0 in /srv/app"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    os.utime(path, (1, 1))  # or a change within the clock's tick could pass for none
    return path


@pytest.fixture
def extent(path: Path) -> Iterator[Extent]:
    """Give bytes 100 to 1100 of the file."""
    fd = os.open(path, os.O_RDONLY)
    extent = Extent(fd, Identity.of(os.fstat(fd)), 100, 1000, SUBJECT)
    yield extent
    extent.close()


def refusal(extent: Extent, offset: int = 0, length: int = 1000) -> SourceError:
    with pytest.raises(SourceError) as caught:
        extent.read(offset, length)
    return caught.value


def test_a_read_gives_exactly_the_bytes_asked_for(extent: Extent) -> None:
    assert extent.size == 1000
    assert extent.read(0, 1000) == CONTENT[100:1100]
    assert extent.read(999, 1) == CONTENT[1099:1100]
    assert extent.read(1000, 0) == b""


def test_an_extent_is_told_by_its_file_and_its_place_in_it(path: Path, extent: Extent) -> None:
    status = path.stat()
    assert extent.identity == FileIdentity(
        device=status.st_dev,
        inode=status.st_ino,
        size=4096,
        mtime_ns=1_000_000_000,
        ctime_ns=status.st_ctime_ns,
        offset=100,
        length=1000,
    )


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (0, 1001), (1000, 1), (1001, 0)])
def test_no_read_goes_beyond_the_extent(extent: Extent, offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="of 1000"):
        extent.read(offset, length)


def test_every_read_gives_fresh_bytes(extent: Extent) -> None:
    first = extent.read(0, 500)

    assert type(first) is bytes
    assert extent.read(0, 500) is not first


def test_reads_that_the_system_cuts_short_are_completed(extent: Extent, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: whole(fd, min(length, 7), offset))

    assert extent.read(0, 1000) == CONTENT[100:1100]


def test_a_file_truncated_under_the_reader_has_changed(path: Path, extent: Extent) -> None:
    os.truncate(path, 600)

    error = refusal(extent)
    assert error.code is Code.SOURCE_CHANGED
    assert str(error).startswith(f"{SUBJECT}: was changed")


def test_a_file_written_to_in_place_has_changed_even_with_its_old_time(path: Path, extent: Extent) -> None:
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, (1, 1))

    assert refusal(extent).code is Code.SOURCE_CHANGED


def test_a_file_that_grew_has_changed(path: Path, extent: Extent) -> None:
    with path.open("ab") as file:
        file.write(b"more")

    assert refusal(extent).code is Code.SOURCE_CHANGED


def test_a_file_of_our_own_may_get_names_and_lose_them_but_not_change(path: Path, tmp_path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    own = Extent(fd, OwnIdentity.of(os.fstat(fd)), 100, 1000, SUBJECT)
    identity = own.identity

    (tmp_path / "another").hardlink_to(path)
    path.unlink()

    assert own.read(0, 1000) == CONTENT[100:1100]
    assert own.identity == identity
    os.pwrite(fd, b"x", 0)
    assert refusal(own).code is Code.SOURCE_CHANGED
    own.close()


def test_a_change_is_noticed_at_the_next_read_not_only_at_the_end(path: Path, extent: Extent) -> None:
    extent.read(0, 10)
    path.write_bytes(CONTENT)

    assert refusal(extent, 10, 10).code is Code.SOURCE_CHANGED


def test_a_read_that_is_short_on_an_unchanged_file_is_refused_too(
    extent: Extent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pread", lambda *_: b"")

    assert refusal(extent).code is Code.SOURCE_CHANGED


def test_a_failing_disk_is_told_as_one(extent: Extent, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)

    error = refusal(extent)
    assert error.code is Code.SOURCE_UNREADABLE
    assert str(error) == f"{SUBJECT}: cannot be read: Input/output error"


def test_what_is_small_is_read_whole_and_closed(extent: Extent) -> None:
    assert extent.whole() == CONTENT[100:1100]
    with pytest.raises(ValueError, match="closed"):
        extent.read(0, 1)


def test_an_extent_that_cannot_be_read_whole_is_closed_too(path: Path, extent: Extent) -> None:
    os.truncate(path, 0)

    with pytest.raises(SourceError):
        extent.whole()
    with pytest.raises(ValueError, match="closed"):
        extent.read(0, 1)


# --------------------------------------------------------------------------------------------------- copying out


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    """Give a file that has two bytes already."""
    fd = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"->")
    yield fd
    os.close(fd)


def copied(extent: Extent, target: int) -> bytes:
    extent.copy_to(target)
    return os.pread(target, 10_000, 0)


def answering(*answers: int | OSError) -> Callable[[int, int, int, int], int]:
    """Give a `copy_file_range` that copies as much as it is told to, or fails, once for each answer."""
    whole = os.copy_file_range
    left = list(answers)

    def copy(source: int, target: int, count: int, offset: int) -> int:
        answer = left.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return whole(source, target, min(count, answer), offset) if answer else 0

    return copy


def test_a_copy_is_the_extents_bytes_at_the_targets_offset(extent: Extent, target: int) -> None:
    assert copied(extent, target) == b"->" + CONTENT[100:1100]
    os.write(target, b"<-")  # the offset went along
    assert copied(extent, target) == b"->" + CONTENT[100:1100] + b"<-" + CONTENT[100:1100]


@pytest.mark.parametrize(
    "answers",
    [
        (1, 7, 992),
        (OSError(errno.EXDEV, "Invalid cross-device link"),),
        (OSError(errno.EINVAL, "Invalid argument"),),
        (OSError(errno.ENOSYS, "Function not implemented"),),
        (OSError(errno.EOPNOTSUPP, "Operation not supported"),),
        (300, OSError(errno.EXDEV, "Invalid cross-device link")),
        (0,),
        (300, 0),
    ],
)
def test_what_the_kernel_does_not_copy_is_read_and_written(
    extent: Extent, target: int, monkeypatch: pytest.MonkeyPatch, answers: tuple[int | OSError, ...]
) -> None:
    monkeypatch.setattr(os, "copy_file_range", answering(*answers))

    assert copied(extent, target) == b"->" + CONTENT[100:1100]


def test_a_copy_goes_into_a_pipe_as_well(extent: Extent) -> None:
    reader, writer = os.pipe()
    extent.copy_to(writer)

    assert os.read(reader, 2000) == CONTENT[100:1100]
    os.close(reader)
    os.close(writer)


def test_writes_that_the_system_cuts_short_are_completed(
    extent: Extent, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.write
    monkeypatch.setattr(os, "copy_file_range", answering(0))
    monkeypatch.setattr(os, "write", lambda fd, content: whole(fd, content[:7]))

    assert copied(extent, target) == b"->" + CONTENT[100:1100]


def test_more_than_a_piece_is_copied_in_pieces(tmp_path: Path, target: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom((1 << 20) + 5))
    fd = os.open(path, os.O_RDONLY)
    extent = Extent(fd, Identity.of(os.fstat(fd)), 0, (1 << 20) + 5, SUBJECT)
    monkeypatch.setattr(os, "copy_file_range", answering(0))
    extent.copy_to(target)
    extent.close()

    assert os.pread(target, 2 << 20, 2) == path.read_bytes()


def test_an_empty_extent_is_copied_at_once(path: Path, target: int) -> None:
    fd = os.open(path, os.O_RDONLY)
    extent = Extent(fd, Identity.of(os.fstat(fd)), 100, 0, SUBJECT)

    assert copied(extent, target) == b"->"
    extent.close()


def test_a_file_that_changed_before_it_is_copied_is_not_copied(path: Path, extent: Extent, target: int) -> None:
    os.truncate(path, 600)

    with pytest.raises(SourceError) as caught:
        extent.copy_to(target)
    assert caught.value.code is Code.SOURCE_CHANGED
    assert os.pread(target, 10, 0) == b"->"


@pytest.mark.parametrize("size", [600, 4096])
def test_a_file_that_changes_while_it_is_copied_is_noticed(
    path: Path, extent: Extent, target: int, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    whole = os.copy_file_range

    def copy(source: int, target: int, count: int, offset: int) -> int:
        os.truncate(path, size)  # to the same size as well: it has been written to
        return whole(source, target, count, offset)

    monkeypatch.setattr(os, "copy_file_range", copy)
    with pytest.raises(SourceError) as caught:
        extent.copy_to(target)
    assert caught.value.code is Code.SOURCE_CHANGED


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")  # noqa: PTH110 (no path is made)
def test_a_full_disk_is_the_targets_fault_and_not_the_sources(extent: Extent) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left") as caught:
        extent.copy_to(full)
    os.close(full)
    assert caught.value.errno == errno.ENOSPC


def test_a_file_whose_identity_cannot_be_told_is_unreadable(
    extent: Extent, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> os.stat_result:
        raise OSError(errno.ESTALE, "Stale file handle")

    with pytest.raises(SourceError) as caught, monkeypatch.context() as patched:  # noqa: PT012 (pytest needs it, too)
        patched.setattr(os, "fstat", fail)
        extent.copy_to(target)
    assert caught.value.code is Code.SOURCE_UNREADABLE


def test_a_disk_that_fails_under_a_copy_is_the_sources_fault(
    extent: Extent, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "copy_file_range", answering(OSError(errno.EIO, "Input/output error")))
    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(SourceError) as caught:
        extent.copy_to(target)
    assert caught.value.code is Code.SOURCE_UNREADABLE


# ------------------------------------------------------------------------------------------------------- sending


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("unable", [None, errno.EINVAL, errno.ENOSYS])
def test_a_part_is_sent_whether_the_kernel_moves_it_or_not(
    extent: Extent,
    sockets: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    unable: int | None,
) -> None:
    def refuse(*_: int) -> int:
        raise OSError(unable, "no")

    if unable is not None:
        monkeypatch.setattr(os, "sendfile", refuse)
    ours, theirs = sockets
    assert extent.send_to(ours.fileno(), 10, 100) == 100
    assert theirs.recv(1000) == CONTENT[110:210]


def test_nothing_beyond_the_extent_is_sent(extent: Extent, sockets: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(ValueError, match="of 1000"):
        extent.send_to(sockets[0].fileno(), 999, 2)


@pytest.mark.parametrize("size", [50, 4096, 5000])
def test_a_file_that_changed_is_not_sent_as_if_it_had_not(
    path: Path, extent: Extent, sockets: tuple[socket.socket, socket.socket], size: int
) -> None:
    os.truncate(path, size)

    with pytest.raises(SourceError) as caught:
        extent.send_to(sockets[0].fileno(), 0, 1000)
    assert caught.value.code is Code.SOURCE_CHANGED


def test_a_peer_that_has_gone_is_no_fault_of_the_source(extent: Extent) -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(BrokenPipeError):
        extent.send_to(ours.fileno(), 0, 1000)


def test_a_peer_without_room_is_told_as_one(extent: Extent, sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = sockets
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while ours.send(bytes(1 << 20)):
            pass
    with pytest.raises(BlockingIOError):
        extent.send_to(ours.fileno(), 0, 1000)


def test_a_kernel_that_sends_nothing_of_an_unchanged_file_is_no_endless_loop(
    extent: Extent, sockets: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sendfile", lambda *_: 0)
    with pytest.raises(SourceError) as caught:
        extent.send_to(sockets[0].fileno(), 0, 1000)
    assert caught.value.code is Code.SOURCE_CHANGED


def test_closing_twice_is_harmless_and_reading_afterwards_a_mistake(extent: Extent) -> None:
    extent.close()
    extent.close()

    with pytest.raises(ValueError, match="closed"):
        extent.read(0, 1)
