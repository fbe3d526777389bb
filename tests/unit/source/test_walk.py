from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, SourceError
from pushd.source.faults import IrregularFileError
from pushd.source.permission import Peer
from pushd.source.walk import MAX_LINKS, MAX_STEPS, Walk
from tests.unit.source.acls import ATTRIBUTE, acl

if TYPE_CHECKING:
    from pathlib import Path

ALICE = 4_000_001  # nobody on any system the tests run on
TEAM = 4_000_100
OWNERS = Peer(ALICE, frozenset({TEAM}))


def read(path: Path | str, peer: Peer | None = OWNERS) -> bytes:
    """Read what a path leads to as somebody."""
    walk = Walk(peer, "subject")
    found, place = walk.to(str(path))
    try:
        fd, status = walk.read(found, place)
    finally:
        os.close(found)
    try:
        assert os.fstat(fd).st_ino == status.st_ino
        return os.read(fd, 100)
    finally:
        os.close(fd)


def refusal(path: Path | str, peer: Peer = OWNERS) -> SourceError:
    with pytest.raises(SourceError) as caught:
        read(path, peer)
    return caught.value


def place_of(path: Path | str) -> str:
    fd, place = Walk(None, "subject").to(str(path))
    os.close(fd)
    return place


def give_acl(path: Path, listed: bytes) -> None:
    try:
        os.setxattr(path, ATTRIBUTE, listed)
    except OSError:
        pytest.skip("the filesystem has no access control lists")


@pytest.fixture
def file(passable: Path) -> Path:
    """Give a file that everybody may read, two directories down."""
    path = passable / "a" / "b" / "file"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    for each, mode in [(path, 0o644), (path.parent, 0o755), (path.parent.parent, 0o755)]:
        each.chmod(mode)
    return path


# ---------------------------------------------------------------------------------------------- whose rights count


def test_what_everybody_may_read_is_read(file: Path) -> None:
    assert read(file) == b"content"


def test_a_file_that_the_peer_may_not_read_is_forbidden_though_the_daemon_may(file: Path) -> None:
    file.chmod(0o600)

    error = refusal(file)
    assert error.code is Code.SOURCE_FORBIDDEN
    assert not error.retryable
    assert str(error) == f"subject: may not be read by uid {ALICE}; let uid {ALICE} read the file {file}"
    assert read(file, Peer(os.geteuid(), frozenset())) == b"content"
    assert read(file, None) == b"content"


@pytest.mark.parametrize("up", [0, 1])
def test_a_directory_on_the_way_that_the_peer_may_not_search_is_the_end_of_it(file: Path, up: int) -> None:
    file.parents[up].chmod(0o744)

    error = refusal(file)
    assert error.code is Code.SOURCE_FORBIDDEN
    assert error.hint == f"let uid {ALICE} search the directory {file.parents[up]}"


def test_a_directory_need_not_be_readable_to_be_passed(file: Path) -> None:
    file.parent.chmod(0o711)

    assert read(file) == b"content"


def test_root_passes_where_nobody_is_let_in(file: Path) -> None:
    file.chmod(0o000)
    file.parent.chmod(0o700)
    if os.geteuid() != 0:
        file.chmod(0o400)  # what the daemon itself may not do is another matter

    assert read(file, Peer(0, frozenset())) == b"content"


def test_a_group_opens_what_is_its_own(file: Path) -> None:
    file.chmod(0o640)

    assert read(file, Peer(ALICE, frozenset({TEAM, file.stat().st_gid}))) == b"content"
    assert refusal(file).code is Code.SOURCE_FORBIDDEN


def test_a_list_on_the_file_lets_one_more_in(file: Path) -> None:
    give_acl(file, acl(user=6, users={ALICE: 4}, mask=4))

    assert read(file) == b"content"
    assert refusal(file, Peer(ALICE + 1, frozenset())).code is Code.SOURCE_FORBIDDEN


def test_a_list_on_the_file_keeps_one_out_whom_the_mode_would_let_in(file: Path) -> None:
    give_acl(file, acl(user=6, users={ALICE: 0}, mask=4, group=4, other=4))

    assert refusal(file).code is Code.SOURCE_FORBIDDEN
    assert read(file, Peer(ALICE + 1, frozenset())) == b"content"


def test_a_list_on_a_directory_counts_as_well(file: Path) -> None:
    give_acl(file.parent, acl(user=7, groups={TEAM: 0}, mask=5, group=5, other=5))
    assert refusal(file).code is Code.SOURCE_FORBIDDEN

    file.parent.chmod(0o700)
    give_acl(file.parent, acl(user=7, groups={TEAM: 1}, mask=1))
    assert read(file) == b"content"


def test_a_sticky_directory_that_everybody_may_write_to_is_as_good_as_any(file: Path) -> None:
    file.parent.chmod(0o1777)

    assert read(file) == b"content"


def test_what_lies_beneath_a_directory_that_is_closed_to_the_peer_is_not_told(file: Path) -> None:
    os.mkfifo(file.parent / "fifo")
    (file.parent / "loop").symlink_to("loop")
    (file.parent / "inner").mkdir()
    file.parent.chmod(0o700)

    names = ["file", "nothing", "fifo", "loop", "inner", "inner/nothing", "file/below", "..", "x" * 300]
    told = {str(refusal(file.parent / name)) for name in names}
    assert told == {f"subject: may not be read by uid {ALICE}; let uid {ALICE} search the directory {file.parent}"}


def test_a_place_reaches_no_terminal_with_control_characters(file: Path) -> None:
    odd = file.parent / "\x1b[2Jodd\udcff"
    odd.mkdir(mode=0o700)

    assert str(refusal(odd / "file")).isprintable()


# ---------------------------------------------------------------------------------------------------------- links


def test_links_are_followed_whatever_they_are_written_like(file: Path, passable: Path) -> None:
    (passable / "absolute").symlink_to(file.parent)
    (passable / "relative").symlink_to("./a//b/")
    (passable / "a" / "up").symlink_to("../relative")
    (passable / "name").symlink_to("a/up/file")

    for way in ("absolute/file", "relative/file", "a/up/file", "name", "a/../a/./b/../b/file"):
        assert read(passable / way) == b"content"
        assert place_of(passable / way) == str(file)


def test_upwards_goes_to_the_parent_of_where_a_link_has_led(file: Path, passable: Path) -> None:
    (passable / "link").symlink_to("a/b")
    (passable / "a" / "here").write_bytes(b"here")

    assert read(f"{passable}/link/../here") == b"here"


def test_above_the_root_is_the_root() -> None:
    assert place_of("/../..") == "/"
    assert place_of("/") == "/"


def test_the_parent_is_judged_like_any_other_directory(file: Path, passable: Path) -> None:
    closed = passable / "closed"
    closed.mkdir()
    (closed / "open").mkdir(mode=0o755)
    (passable / "link").symlink_to("closed/open")
    closed.chmod(0o700)

    assert refusal(f"{passable}/link/../../a/b/file").hint == f"let uid {ALICE} search the directory {closed}"


def test_a_link_leads_nobody_where_they_may_not_go(file: Path, passable: Path) -> None:
    (passable / "link").symlink_to(file)
    file.parent.chmod(0o700)
    assert refusal(passable / "link").code is Code.SOURCE_FORBIDDEN

    file.parent.chmod(0o755)
    file.chmod(0o600)
    assert refusal(passable / "link").hint == f"let uid {ALICE} read the file {file}"


def test_as_many_links_are_followed_as_linux_follows(file: Path, passable: Path) -> None:
    (passable / "0").symlink_to(file)
    for number in range(1, MAX_LINKS + 1):
        (passable / str(number)).symlink_to(str(number - 1))

    assert (passable / str(MAX_LINKS - 1)).read_bytes() == read(passable / str(MAX_LINKS - 1))
    for follow in (read, lambda path: path.read_bytes()):
        with pytest.raises(OSError, match="symbolic links") as caught:
            follow(passable / str(MAX_LINKS))
        assert caught.value.errno == errno.ELOOP


def test_a_way_that_links_make_endless_is_given_up(passable: Path) -> None:
    (passable / "long").symlink_to("./" + "../" * 1000 + f"{passable}"[1:])
    path = str(passable) + "/long" * 5

    assert len(os.listdir(path)) == 1  # noqa: PTH208 (names are enough)
    assert MAX_STEPS < 5 * 1000
    with pytest.raises(OSError, match="symbolic links"):
        read(path)


# ------------------------------------------------------------------------------------------------- what is there


def test_a_name_that_leads_through_a_file_is_no_directory(file: Path) -> None:
    with pytest.raises(NotADirectoryError):
        read(file / "below")


def test_what_is_not_there_is_told_so(file: Path, passable: Path) -> None:
    (passable / "dangling").symlink_to("nothing")
    for path in (file.parent / "nothing", file.parent / "nothing" / "below", passable / "dangling"):
        with pytest.raises(FileNotFoundError):
            read(path)


@pytest.mark.timeout(5)
def test_a_fifo_is_never_opened(passable: Path) -> None:
    fifo = passable / "fifo"
    os.mkfifo(fifo)
    fifo.chmod(0o644)

    with pytest.raises(IrregularFileError):
        read(fifo)
    with pytest.raises(
        OSError, match="No such device"
    ) as caught:  # had it been opened, a writer would have been let in
        os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    assert caught.value.errno == errno.ENXIO


def test_without_proc_nothing_is_guessed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> bytes:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, "getxattr", gone)
    assert refusal(file).code is Code.SOURCE_UNREADABLE
    assert "there is no /proc" in str(refusal(file))


def test_without_proc_nothing_is_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def gone(path: str, *args: int, **kwargs: int) -> int:
        if path.startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", gone)
    assert "there is no /proc" in str(refusal(file, Peer(0, frozenset())))


def test_what_becomes_a_directory_while_it_is_looked_at_is_entered_as_one(
    file: Path, passable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = passable / "closed"
    closed.mkdir(mode=0o700)
    real = os.open
    late = ["b", "closed"]

    def no_directory_yet(path: str, *args: int, **kwargs: int) -> int:
        if path in late:
            late.remove(path)
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", no_directory_yet)
    assert read(file) == b"content"
    assert refusal(closed).code is Code.SOURCE_FORBIDDEN
    assert late == []


def test_a_list_that_cannot_be_had_is_no_missing_list(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "getxattr", fail)
    with pytest.raises(OSError, match="Input/output"):
        read(file)


@pytest.mark.parametrize("answer", [errno.ENODATA, errno.EOPNOTSUPP])
def test_a_filesystem_without_lists_leaves_it_to_the_mode(
    file: Path, monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    def none(*_: object, **__: object) -> bytes:
        raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(os, "getxattr", none)
    assert read(file) == b"content"


def test_nothing_stays_open_however_it_ends(file: Path, passable: Path) -> None:
    (passable / "loop").symlink_to("loop")
    (passable / "link").symlink_to(file)
    closed = passable / "closed"
    closed.mkdir(mode=0o700)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names are enough)
    for path in ("link", "a/b", "a/b/../b/file", "nothing", "loop", "a/b/file/below", "closed/x", "x" * 5000):
        try:
            read(passable / path)
        except (OSError, SourceError):
            continue

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 (names are enough)
