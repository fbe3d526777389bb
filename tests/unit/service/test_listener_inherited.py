"""The socket, inherited from a service manager as sd_listen_fds(3) says: taken when it is for us, and never removed."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, DaemonError
from pushd.service.listener import listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def listener(place: Path) -> Iterator[socket.socket]:
    """A listening socket of the service manager's."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(place / "theirs.sock"))
        made.listen()
        yield made


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], dict[str, str]]:
    """Give what passes a descriptor as the first one (3 itself is pytest's), and the environment that says so."""

    def as_first(descriptor: int) -> dict[str, str]:
        monkeypatch.setattr("pushd.service.listener._FIRST", descriptor)
        return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}

    return as_first


def refusal(path: Path, environ: dict[str, str]) -> DaemonError:
    with pytest.raises(DaemonError) as refused, listening(path, environ):
        pass
    assert refused.value.code is Code.DAEMON_SOCKET
    assert not path.exists()
    return refused.value


def test_the_socket_passed_is_served_and_no_other_is_made(
    place: Path, path: Path, listener: socket.socket, passed: Callable[[int], dict[str, str]]
) -> None:
    with socket.socket(socket.AF_UNIX) as caller, listening(path, passed(os.dup(listener.fileno()))) as served:
        assert served.getsockname() == listener.getsockname()
        with pytest.raises(BlockingIOError):
            served.accept()
        caller.connect(listener.getsockname())
        served.accept()[0].close()
        assert [file.name for file in place.iterdir()] == ["theirs.sock"], "no lock file either"


def test_the_socket_passed_stays_at_the_end_and_still_takes_callers(
    place: Path, path: Path, listener: socket.socket, passed: Callable[[int], dict[str, str]]
) -> None:
    descriptor = os.dup(listener.fileno())
    with listening(path, passed(descriptor)):
        pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(place / "theirs.sock"))
        listener.accept()[0].close()


@pytest.mark.parametrize("pid", [None, "", "1", "not a number", f"{os.getpid()} ", f"0{os.getpid()}"])
def test_what_was_passed_to_another_process_is_ignored(
    path: Path, listener: socket.socket, passed: Callable[[int], dict[str, str]], pid: str | None
) -> None:
    environ = passed(listener.fileno())
    del environ["LISTEN_PID"]
    with listening(path, environ if pid is None else {**environ, "LISTEN_PID": pid}) as served:
        assert served.getsockname() == str(path)
    assert os.fstat(listener.fileno()), "and left open"


@pytest.mark.parametrize("count", [None, "", "0", "2", "-1", "one"])
def test_any_other_number_than_one_is_refused(
    path: Path, listener: socket.socket, passed: Callable[[int], dict[str, str]], count: str | None
) -> None:
    environ = passed(listener.fileno())
    del environ["LISTEN_FDS"]
    error = refusal(path, environ if count is None else {**environ, "LISTEN_FDS": count})
    assert error.subject == "LISTEN_FDS"
    assert f"{count or ''!r} sockets were passed, one is wanted" in error.detail


def test_a_descriptor_that_is_closed_is_refused(path: Path, passed: Callable[[int], dict[str, str]]) -> None:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    os.close(descriptor)
    assert "Bad file descriptor" in refusal(path, passed(descriptor)).detail


def test_a_descriptor_that_is_no_socket_is_refused(path: Path, passed: Callable[[int], dict[str, str]]) -> None:
    with open("/dev/null") as file:  # noqa: PTH123 (the descriptor is what is wanted)
        assert "descriptor 3 is no socket" in refusal(path, passed(file.fileno())).detail
        assert os.fstat(file.fileno()), "whatever it is, it is not ours to close"


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        pytest.param(socket.AF_INET, socket.SOCK_STREAM, id="TCP"),
        pytest.param(socket.AF_UNIX, socket.SOCK_DGRAM, id="unix datagrams"),
        pytest.param(socket.AF_UNIX, socket.SOCK_SEQPACKET, id="unix packets"),
    ],
)
def test_a_socket_of_another_kind_is_refused(
    path: Path, passed: Callable[[int], dict[str, str]], family: socket.AddressFamily, kind: socket.SocketKind
) -> None:
    with socket.socket(family, kind) as other:
        assert "no unix stream socket" in refusal(path, passed(other.fileno())).detail
        assert os.fstat(other.fileno()), "whatever it is, it is not ours to close"


def test_a_connection_is_refused_where_a_listening_socket_is_wanted(
    path: Path, passed: Callable[[int], dict[str, str]]
) -> None:
    """What `Accept=yes` in a socket unit passes."""
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert "does not listen" in refusal(path, passed(one.fileno())).detail
        assert os.fstat(one.fileno()), "whatever it is, it is not ours to close"
