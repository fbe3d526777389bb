"""Sockets, inherited from a service manager as sd_listen_fds(3) says: taken when they are for us, and never removed."""

from __future__ import annotations

import fcntl
import os
import socket
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, DaemonError
from pushd.service import inherited
from pushd.service.listener import listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Passed = Callable[..., dict[str, str]]


def made(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


@pytest.fixture
def listener(place: Path) -> Iterator[socket.socket]:
    """A listening socket of the service manager's."""
    with made(place / "theirs.sock") as theirs:
        yield theirs


@pytest.fixture
def another(place: Path) -> Iterator[socket.socket]:
    """A second one."""
    with made(place / "another.sock") as theirs:
        yield theirs


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Passed]:
    """Give what passes sockets as the first descriptors (3 itself is pytest's), and the environment that says so."""
    copies: list[int] = []

    def as_first(*sockets: socket.socket | int, names: str | None = None) -> dict[str, str]:
        for index, each in enumerate(sockets):
            least = copies[-1] + 1 if copies else 300
            copies.append(fcntl.fcntl(each, fcntl.F_DUPFD, least))
            assert copies[index] == copies[0] + index, "one after the other"
        monkeypatch.setattr("pushd.service.inherited._FIRST", copies[0])
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets))}
        return environ if names is None else {**environ, "LISTEN_FDNAMES": names}

    yield as_first
    for copy in copies:
        if is_open(copy):
            os.close(copy)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def first() -> int:
    """The descriptor that was passed first."""
    return inherited._FIRST


def refusal(path: Path, environ: dict[str, str], others: Mapping[str, Path] | None = None) -> DaemonError:
    with pytest.raises(DaemonError) as refused, listening(path, others or {}, environ):
        pass
    assert refused.value.code is Code.DAEMON_SOCKET
    assert not path.exists()
    return refused.value


# ------------------------------------------------------------------------------------------------------------- one


@pytest.mark.parametrize("name", [None, "unknown", "pushd.socket", "", "anything"])
def test_the_socket_passed_is_served_and_no_other_is_made(
    place: Path, path: Path, listener: socket.socket, passed: Passed, name: str | None
) -> None:
    with (
        socket.socket(socket.AF_UNIX) as caller,
        listening(path, {}, passed(listener, names=name)) as served,
    ):
        assert served.main.getsockname() == listener.getsockname()
        assert dict(served.others) == {}
        with pytest.raises(BlockingIOError):
            served.main.accept()
        caller.connect(listener.getsockname())
        served.main.accept()[0].close()
        assert [file.name for file in place.iterdir()] == ["theirs.sock"], "no lock file either"
        assert not served.main.get_inheritable(), "programs we start have no part in it"


def test_the_socket_passed_stays_at_the_end_and_still_takes_callers(
    place: Path, path: Path, listener: socket.socket, passed: Passed
) -> None:
    with listening(path, {}, passed(listener)):
        pass
    assert not is_open(first())
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(place / "theirs.sock"))
        listener.accept()[0].close()


@pytest.mark.parametrize(
    "pid",
    [None, "", "1", "not a number", f"{os.getpid()} ", f"0{os.getpid()}"],
    ids=["none", "empty", "another", "no number", "ours and a space", "ours and a zero"],
)
def test_what_was_passed_to_another_process_is_ignored(
    path: Path, listener: socket.socket, passed: Passed, pid: str | None
) -> None:
    environ = passed(listener)
    del environ["LISTEN_PID"]
    with listening(path, {}, environ if pid is None else {**environ, "LISTEN_PID": pid}) as served:
        assert served.main.getsockname() == str(path)
    assert is_open(first()), "and left open"


@pytest.mark.parametrize("count", [None, "", "0", "-1", "one", "1.0", "01", " 1", "1000000000"])
def test_any_number_but_one_or_more_is_refused(
    path: Path, listener: socket.socket, passed: Passed, count: str | None
) -> None:
    environ = passed(listener)
    del environ["LISTEN_FDS"]
    error = refusal(path, environ if count is None else {**environ, "LISTEN_FDS": count})
    assert error.subject == "LISTEN_FDS"
    assert error.detail == f"{count or ''!r} sockets were passed, one at least is wanted"


# --------------------------------------------------------------------------------------------------------- several


def test_each_socket_passed_is_the_one_that_has_its_name_and_the_rest_is_the_main_one(
    place: Path, path: Path, listener: socket.socket, another: socket.socket, passed: Passed
) -> None:
    others = {"containers": place / "c.sock"}
    with listening(path, others, passed(another, listener, names="containers:pushd.socket")) as served:
        assert served.main.getsockname() == listener.getsockname()
        assert served.others["containers"].getsockname() == another.getsockname()
    assert sorted(file.name for file in place.iterdir()) == ["another.sock", "theirs.sock"]


def test_what_was_not_passed_is_made(place: Path, path: Path, listener: socket.socket, passed: Passed) -> None:
    with listening(path, {"containers": place / "c.sock"}, passed(listener)) as served:
        assert served.main.getsockname() == listener.getsockname()
        assert served.others["containers"].getsockname() == str(place / "c.sock")
    assert not (place / "c.sock").exists()


def test_where_what_was_not_passed_cannot_be_made_what_was_passed_is_let_go(
    place: Path, path: Path, listener: socket.socket, passed: Passed
) -> None:
    (place / "c.sock").write_text("somebody's")

    error = refusal(path, passed(listener), {"containers": place / "c.sock"})

    assert error.subject == str(place / "c.sock")
    assert not is_open(first())
    assert (place / "theirs.sock").is_socket()


@pytest.mark.parametrize(
    ("names", "detail"),
    [
        (None, "'unknown' and 'unknown' cannot be one socket"),
        ("a:b", "'a' and 'b' cannot be one socket"),
        ("pushd.socket:container", "'pushd.socket' and 'container' cannot be one socket"),
        ("containers:containers", "'containers' and 'containers' cannot be one socket"),
        ("containers:ci", "besides 'containers' and 'ci' the main socket is wanted"),
        ("containers", "names 1, and 2 were passed"),
        ("a:b:containers", "names 3, and 2 were passed"),
        ("a\x1b[2J:b", r"'a\x1b[2J' and 'b' cannot be one socket"),
    ],
)
def test_names_that_do_not_tell_which_is_which_are_refused(
    place: Path,
    path: Path,
    listener: socket.socket,
    another: socket.socket,
    passed: Passed,
    *,
    names: str | None,
    detail: str,
) -> None:
    others = {"containers": place / "c.sock", "ci": place / "ci.sock"}

    error = refusal(path, passed(listener, another, names=names), others)

    assert (error.subject, error.detail) == ("LISTEN_FDNAMES", detail)
    assert is_open(first()), "left as it was"
    assert sorted(file.name for file in place.iterdir()) == ["another.sock", "theirs.sock"], "nothing was made"


def test_a_single_socket_that_is_not_the_main_one_leaves_that_wanting(
    place: Path, path: Path, listener: socket.socket, passed: Passed
) -> None:
    error = refusal(path, passed(listener, names="containers"), {"containers": place / "c.sock"})

    assert error.detail == "besides 'containers' the main socket is wanted"
    assert error.hint == "FileDescriptorName= of a socket's unit is one of containers, or it is the main one's"


def test_two_sockets_where_none_but_the_main_one_is_configured_are_one_too_many(
    path: Path, listener: socket.socket, another: socket.socket, passed: Passed
) -> None:
    error = refusal(path, passed(listener, another, names="pushd.socket:containers"))

    assert error.hint == "without [sockets] in the configuration there is but the main one"


# ------------------------------------------------------------------------------------------------------- unfit ones


def test_a_descriptor_that_is_closed_is_refused(path: Path, listener: socket.socket, passed: Passed) -> None:
    environ = passed(listener)
    os.close(first())
    assert f"descriptor {first()} is no socket (Bad file descriptor)" in refusal(path, environ).detail


def test_a_descriptor_that_is_no_socket_is_refused(path: Path, passed: Passed) -> None:
    with open("/dev/null") as file:  # noqa: PTH123 (the descriptor is what is wanted)
        environ = passed(file.fileno())
        assert f"descriptor {first()} is no socket" in refusal(path, environ).detail
        assert is_open(first()), "whatever it is, it is not ours to close"


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        pytest.param(socket.AF_INET, socket.SOCK_STREAM, id="TCP"),
        pytest.param(socket.AF_UNIX, socket.SOCK_DGRAM, id="unix datagrams"),
        pytest.param(socket.AF_UNIX, socket.SOCK_SEQPACKET, id="unix packets"),
    ],
)
def test_a_socket_of_another_kind_is_refused(
    path: Path, passed: Passed, family: socket.AddressFamily, kind: socket.SocketKind
) -> None:
    with socket.socket(family, kind) as other:
        assert "no unix stream socket" in refusal(path, passed(other)).detail
        assert is_open(first()), "whatever it is, it is not ours to close"


def test_a_connection_is_refused_where_a_listening_socket_is_wanted(path: Path, passed: Passed) -> None:
    """What `Accept=yes` in a socket unit passes."""
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert "does not listen" in refusal(path, passed(one)).detail
        assert is_open(first()), "whatever it is, it is not ours to close"


def test_one_unfit_socket_among_several_is_refused_and_left_open(
    place: Path, path: Path, listener: socket.socket, passed: Passed
) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        error = refusal(path, passed(listener, deaf, names="pushd.socket:ci"), {"ci": place / "ci.sock"})

        assert (
            error.detail
            == f"the socket passed as descriptor {first() + 1} does not listen: its unit must not set Accept="
        )
        assert is_open(first() + 1)
        assert not is_open(first()), "one that would do is let go"
