"""The socket, made here: under the right mode, never over anything that is not a dead socket, and gone at the end."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, DaemonError
from pushd.service.listener import listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

REPOSITORY = Path(__file__).parents[3]


def connected(path: Path) -> bool:
    """Whether somebody listens."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(5)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True


@contextmanager
def another(path: Path, backlog: int = 8, kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """Somebody else's socket at this path, with none of our locks."""
    with socket.socket(socket.AF_UNIX, kind) as listener:
        listener.bind(str(path))
        if kind is socket.SOCK_STREAM:
            listener.listen(backlog)
        yield listener


def leave_stale(path: Path) -> None:
    """Leave what a killed daemon leaves."""
    with another(path):
        pass


def identity(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return status.st_ino, status.st_mode, status.st_mtime_ns


def refusal(path: Path) -> DaemonError:
    with pytest.raises(DaemonError) as refused, listening(path, {}, {}):
        pass
    assert refused.value.code is Code.DAEMON_SOCKET
    return refused.value


# ---------------------------------------------------------------------------------------------------------- made


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_owner_and_group_may_connect_and_nobody_else_whatever_the_umask(
    path: Path, umask: Callable[[int], int], mask: int
) -> None:
    umask(mask)
    with listening(path, {}, {}):
        assert stat.S_IMODE(path.lstat().st_mode) == 0o660
    assert umask(mask) == mask, "the process has its own umask back"


def test_it_listens_and_does_not_block(path: Path) -> None:
    with listening(path, {}, {}) as served:
        with pytest.raises(BlockingIOError):
            served.main.accept()
        assert connected(path)
        accepted, _ = served.main.accept()
        accepted.close()


def test_directories_that_are_missing_are_made_and_writable_by_the_owner_alone(
    place: Path, umask: Callable[[int], int]
) -> None:
    umask(0)
    path = place / "run" / "pushd" / "pushd.sock"
    with listening(path, {}, {}):
        assert connected(path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755


def test_a_socket_nobody_listens_on_is_replaced(path: Path) -> None:
    leave_stale(path)
    with listening(path, {}, {}):
        assert connected(path)


def test_a_path_of_107_bytes_is_the_longest_and_one_more_is_said_to_be_too_long(place: Path) -> None:
    room = 107 - len(os.fsencode(place)) - 1
    with listening(place / ("s" * room), {}, {}):
        assert connected(place / ("s" * room))
    before = sorted(place.iterdir())
    error = refusal(place / ("s" * (room + 1)))
    assert "107 bytes" in error.detail
    assert "shorter path" in error.hint
    assert sorted(place.iterdir()) == before, "nothing was left for a socket that cannot be"


def test_the_bytes_of_a_path_count_not_its_characters(place: Path) -> None:
    path = place / "missing" / ("é" * 50)
    assert len(str(path)) <= 107 < len(os.fsencode(path))
    assert "107 bytes" in refusal(path).detail
    assert not path.parent.exists()


# ------------------------------------------------------------------------------------------- somebody is there


def test_the_socket_of_a_living_daemon_is_never_taken_over(path: Path) -> None:
    with listening(path, {}, {}):
        before = identity(path)
        error = refusal(path)
        assert "another daemon serves this socket" in error.detail
        assert error.subject == str(path)
        assert identity(path) == before
        assert connected(path)
    assert not path.exists()


def test_a_daemon_that_holds_only_the_lock_is_respected(path: Path) -> None:
    with path.with_name("pushd.sock.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another daemon" in refusal(path).detail
    with listening(path, {}, {}):
        assert connected(path)


def test_a_listener_that_holds_no_lock_is_respected(path: Path) -> None:
    with another(path) as theirs:
        before = identity(path)
        assert "another daemon" in refusal(path).detail
        assert identity(path) == before
        theirs.settimeout(5)
        theirs.accept()[0].close()  # the probe
        assert connected(path)


def test_a_lock_file_somebody_cleaned_up_does_not_cost_the_living_daemon_its_socket(path: Path) -> None:
    with listening(path, {}, {}):
        path.with_name("pushd.sock.lock").unlink()
        assert "another daemon" in refusal(path).detail
        assert connected(path)


def test_a_daemon_too_busy_to_accept_is_alive(path: Path) -> None:
    with another(path, backlog=0), ExitStack() as callers:
        for _ in range(8):
            caller = callers.enter_context(socket.socket(socket.AF_UNIX))
            caller.setblocking(False)
            try:
                caller.connect(str(path))
            except BlockingIOError:
                break
        else:
            pytest.fail("the backlog never filled")
        before = identity(path)
        assert "another daemon" in refusal(path).detail
        assert identity(path) == before


_CONTENDER = """
import pathlib, sys
from pushd.errors import DaemonError
from pushd.service.listener import listening
print("here", flush=True)
sys.stdin.readline()
try:
    with listening(pathlib.Path(sys.argv[1]), {}, {}):
        print("serving", flush=True)
        sys.stdin.readline()
except DaemonError as error:
    print(error.detail, flush=True)
"""


@pytest.mark.parametrize("stale", [False, True], ids=["nothing there", "a stale socket there"])
def test_of_daemons_that_start_at_the_same_moment_exactly_one_serves(path: Path, *, stale: bool) -> None:
    if stale:
        leave_stale(path)
    command = [sys.executable, "-c", _CONTENDER, str(path)]
    with ExitStack() as ended:
        contenders = [
            ended.enter_context(
                subprocess.Popen(
                    command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
                )
            )
            for _ in range(6)
        ]
        for each in contenders:
            assert each.stdout is not None
            assert each.stdout.readline() == "here\n"
        for each in contenders:
            assert each.stdin is not None
            each.stdin.write("\n")
        said = [each.stdout.readline().strip() for each in contenders if each.stdout is not None]
        assert sorted(said) == ["another daemon serves this socket"] * 5 + ["serving"]
        assert connected(path)
        for each in contenders:
            each.communicate("\n", timeout=10)
    assert [each.returncode for each in contenders] == [0] * 6
    assert not path.exists()


# ------------------------------------------------------------------------------------------ something else is there


def a_file(path: Path) -> None:
    path.write_text("somebody's")


def a_directory(path: Path) -> None:
    path.mkdir()


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def a_link_in_a_circle(path: Path) -> None:
    path.symlink_to(path)


def a_link_to_a_dead_socket(path: Path) -> None:
    leave_stale(path.with_name("dead"))
    path.symlink_to(path.with_name("dead"))


@pytest.mark.parametrize(
    "leave", [a_file, a_directory, a_fifo, a_dangling_link, a_link_in_a_circle, a_link_to_a_dead_socket]
)
def test_what_is_no_socket_is_refused_and_left_alone(path: Path, leave: Callable[[Path], None]) -> None:
    leave(path)
    before = identity(path)
    error = refusal(path)
    assert "exists and is no socket" in error.detail
    assert "another path" in error.hint
    assert identity(path) == before


def test_a_link_to_a_living_socket_is_refused_and_left_alone(path: Path) -> None:
    with another(path.with_name("alive")):
        path.symlink_to(path.with_name("alive"))
        before = identity(path)
        refusal(path)
        assert identity(path) == before


def test_a_socket_of_another_kind_is_refused_and_left_alone(path: Path) -> None:
    with another(path, kind=socket.SOCK_DGRAM):
        before = identity(path)
        assert "cannot be listened on" in refusal(path).detail
        assert identity(path) == before


def test_a_living_socket_we_may_not_speak_to_is_refused_and_left_alone(
    place: Path, powerless: Callable[[], AbstractContextManager[None]]
) -> None:
    place.chmod(0o777)
    path = place / "pushd.sock"
    with another(path):
        path.chmod(0o000)
        before = identity(path)
        with powerless():
            assert "Permission denied" in refusal(path).detail
        assert identity(path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave what belongs to somebody else")
def test_a_dead_socket_we_may_not_remove_is_one_clear_error(
    place: Path, path: Path, powerless: Callable[[], AbstractContextManager[None]]
) -> None:
    place.chmod(0o1777)
    leave_stale(path)
    path.chmod(0o777)
    with powerless():
        assert "Operation not permitted" in refusal(path).detail
    assert path.is_socket()


@pytest.mark.parametrize("nameless", ["/", "."])
def test_a_path_without_a_name_is_refused(nameless: str) -> None:
    assert refusal(Path(nameless)).subject == nameless


# --------------------------------------------------------------------------------------------- no way to make one


def test_a_directory_that_may_not_be_written_to_is_named_with_the_reason(
    place: Path, path: Path, powerless: Callable[[], AbstractContextManager[None]]
) -> None:
    place.chmod(0o555)
    with powerless():
        error = refusal(path)
    assert error.subject == str(path)
    assert "Permission denied" in error.detail
    assert list(place.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_named_with_the_reason(place: Path) -> None:
    (place / "file").write_text("")
    error = refusal(place / "file" / "run" / "pushd.sock")
    assert "Not a directory" in error.detail
    error = refusal(place / "file" / "pushd.sock")
    assert f"{place / 'file'}" in error.detail, "what is in the way is named, not only the socket"


def test_a_lock_file_that_cannot_be_used_is_named_with_the_reason(path: Path) -> None:
    lock = path.with_name("pushd.sock.lock")
    lock.mkdir()
    assert str(lock) in refusal(path).detail


def test_a_link_laid_where_the_lock_is_to_be_is_not_followed(place: Path, path: Path) -> None:
    path.with_name("pushd.sock.lock").symlink_to(place / "target")
    assert "pushd.sock.lock" in refusal(path).detail
    assert not (place / "target").exists()


def test_a_filesystem_that_cannot_lock_is_one_clear_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, __: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    before = {link.name for link in Path("/proc/self/fd").iterdir()}
    assert "No locks available" in refusal(path).detail
    assert {link.name for link in Path("/proc/self/fd").iterdir()} == before, "nothing stays open"


# ----------------------------------------------------------------------------------------------------- at the end


def test_at_the_end_the_socket_is_gone_and_its_path_free(path: Path) -> None:
    for _ in range(2):
        with listening(path, {}, {}):
            assert connected(path)
        assert not path.exists()


def test_a_daemon_that_fails_takes_its_socket_with_it(path: Path) -> None:
    with pytest.raises(KeyError), listening(path, {}, {}):
        raise KeyError
    assert not path.exists()


def test_a_socket_somebody_put_in_its_place_stays(path: Path) -> None:
    with ExitStack() as theirs:
        with listening(path, {}, {}):
            path.unlink()
            theirs.enter_context(another(path))
        assert connected(path)


def test_a_file_somebody_put_in_its_place_stays(path: Path) -> None:
    with listening(path, {}, {}) as served:
        path.unlink()
        served.main.close()  # as the server does before the end: from here on its inode's number may be given away
        path.write_text("somebody's")
    assert path.read_text() == "somebody's"


def test_a_socket_that_is_gone_already_is_no_error(place: Path) -> None:
    path = place / "run" / "pushd.sock"
    with listening(path, {}, {}):
        path.unlink()
    with listening(path, {}, {}):
        path.unlink()
        path.with_name("pushd.sock.lock").unlink()
        path.parent.rmdir()
    assert not path.parent.exists()


def test_a_socket_that_may_not_be_removed_is_no_error_either(
    place: Path, path: Path, powerless: Callable[[], AbstractContextManager[None]]
) -> None:
    place.chmod(0o777)
    with ExitStack() as stopping:
        with powerless():
            stopping.enter_context(listening(path, {}, {}))
        place.chmod(0o555)
        with powerless():
            stopping.close()
    assert not connected(path)


# ------------------------------------------------------------------------------------------------- several of them


def test_each_of_several_is_listened_on_at_its_path_under_its_name(place: Path, path: Path) -> None:
    others = {"containers": place / "c.sock", "ci": place / "ci" / "ci.sock"}
    with listening(path, others, {}) as served:
        assert served.main.getsockname() == str(path)
        assert {name: other.getsockname() for name, other in served.others.items()} == {
            "containers": str(others["containers"]),
            "ci": str(others["ci"]),
        }
        for each in (path, *others.values()):
            assert connected(each)
            assert stat.S_IMODE(each.lstat().st_mode) == 0o660
    assert not any(each.exists() for each in (path, *others.values()))


def test_where_one_cannot_be_had_none_is_left_behind(place: Path, path: Path) -> None:
    others = {"one": place / "one.sock", "two": place / "two.sock", "three": place / "three.sock"}
    others["two"].write_text("somebody's")
    descriptors = {link.name for link in Path("/proc/self/fd").iterdir()}

    with pytest.raises(DaemonError) as refused, listening(path, others, {}):
        pass

    assert (refused.value.code, refused.value.subject) == (Code.DAEMON_SOCKET, str(others["two"]))
    assert sorted(file.name for file in place.iterdir() if not file.name.endswith(".lock")) == ["two.sock"]
    assert {link.name for link in Path("/proc/self/fd").iterdir()} == descriptors, "nothing stays open"


def test_another_socket_of_a_living_daemon_is_not_taken_over_either(place: Path, path: Path) -> None:
    with listening(path, {"containers": place / "c.sock"}, {}):
        with (
            pytest.raises(DaemonError, match=r"c\.sock: another daemon serves this socket"),
            listening(place / "mine.sock", {"containers": place / "c.sock"}, {}),
        ):
            pass
        assert connected(path)
        assert connected(place / "c.sock")
    assert not (place / "mine.sock").exists()


def test_one_path_by_two_names_is_one_socket_too_many(place: Path, path: Path) -> None:
    """Such as `/run` and `/var/run`: configured apart, they meet here."""
    (place / "link").symlink_to(place)

    with (
        pytest.raises(DaemonError, match="another daemon serves this socket"),
        listening(path, {"containers": place / "link" / path.name}, {}),
    ):
        pass

    assert not path.exists()
