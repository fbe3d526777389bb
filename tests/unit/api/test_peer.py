from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from pushd.api.peer import hold, peer
from pushd.errors import Code, RequestError
from tests.fakes.processes import Caller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

PEERGROUPS, PEERPIDFD = 59, 77


class Kernel(socket.socket):
    """A connection about which the kernel answers one question with an error."""

    question: int
    error: int

    def getsockopt(self, level: int, option: int, *size: int) -> int | bytes:  # type: ignore[override] # its overloads
        if option == self.question:
            raise OSError(self.error, os.strerror(self.error))
        return super().getsockopt(level, option, *size)


@pytest.fixture
def asked() -> Iterator[Callable[[int, int], Kernel]]:
    """Give what makes a connection of our own with which the kernel has no answer to a question."""
    one, other = socket.socketpair(socket.AF_UNIX)
    with other, Kernel(fileno=one.detach()) as connection:

        def answering(question: int, error: int) -> Kernel:
            connection.question, connection.error = question, error
            return connection

        yield answering


def refusal(connection: socket.socket) -> RequestError:
    with pytest.raises(RequestError) as refused:
        peer(connection)
    assert refused.value.code is Code.REQUEST_FORBIDDEN
    return refused.value


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        found = peer(one)

    assert (found.pid, found.uid) == (os.getpid(), os.geteuid())
    assert found.gids == {os.getegid(), *os.getgroups()}


@needs_root
def test_primary_and_supplementary_groups_are_all_theirs() -> None:
    with Caller(uid=4001, gid=5003, groups=(5001, 5002)).connected() as (connection, process):
        found = peer(connection)

    assert (found.pid, found.uid, found.gids) == (process.pid, 4001, frozenset({5001, 5002, 5003}))


@needs_root
def test_who_is_in_no_group_but_their_own_has_that() -> None:
    with Caller(uid=4001).connected() as (connection, _):
        assert peer(connection).gids == {4001}


@needs_root
def test_as_many_groups_as_the_kernel_tells_are_known() -> None:
    with Caller(uid=4001, gid=5000, groups=tuple(range(5000, 5256))).connected() as (connection, _):
        assert peer(connection).gids == set(range(5000, 5256))


@needs_root
def test_who_is_in_more_groups_than_that_is_not_known_by_half() -> None:
    with Caller(uid=4001, gid=5000, groups=tuple(range(5000, 5257))).connected() as (connection, _):
        error = refusal(connection)

    assert (error.subject, error.detail) == (
        "uid 4001",
        "is in more than 256 groups, and the daemon is told of no more",
    )
    assert error.hint == "call as a user who is in fewer"


def test_a_connection_that_is_closed_or_no_unix_socket_is_nobodys() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other, socket.socket(socket.AF_INET) as tcp:
        one.close()

        assert refusal(one).detail == refusal(tcp).detail == "the kernel does not say who it is"


def test_a_kernel_that_tells_no_groups_makes_the_caller_nobody(asked: Callable[[int, int], Kernel]) -> None:
    error = refusal(asked(PEERGROUPS, errno.ENOPROTOOPT))

    assert error.detail == "the kernel does not name its groups (Protocol not available)"


# ---------------------------------------------------------------------------------------------------------- a hold


def test_a_process_that_is_held_is_known_to_live_until_it_ends() -> None:
    with Caller().connected() as (connection, process):
        with hold(connection) as held:
            if held.descriptor is None:
                pytest.skip("this kernel holds no peers: it is older than 6.5")
            assert not held.ended()
            process.communicate(timeout=10)
            assert held.ended()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(held.descriptor)


def test_a_process_that_is_gone_cannot_be_held(asked: Callable[[int, int], Kernel]) -> None:
    with pytest.raises(ProcessLookupError):
        hold(asked(PEERPIDFD, errno.ESRCH))


def test_a_kernel_that_holds_nobody_leaves_the_number_to_go_by(asked: Callable[[int, int], Kernel]) -> None:
    with hold(asked(PEERPIDFD, errno.ENOPROTOOPT)) as held:
        assert not held.ended()
