"""Who is at the other end of a connection. The kernel wrote it down when they connected; nothing they send counts."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from pushd.errors import Code, RequestError

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket

    Connection = socket.socket | TransportSocket

# Python has no names for these two; the numbers are those of all architectures but PA-RISC and SPARC
# (include/uapi/asm-generic/socket.h).
_SO_PEERGROUPS: Final = 59
_SO_PEERPIDFD: Final = 77

_UCRED: Final = struct.Struct("=iII")
"""`struct ucred`: pid, uid, gid (unix(7), SO_PEERCRED)."""
_GROUPS_MAX: Final = 256
"""Groups that are told: Python takes at most 1024 bytes of a socket option, and the kernel gives all or none."""
_GID_SIZE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who opened a connection.

    Attributes:
        pid: of the process that did, in the daemon's own pid namespace; 0 when it is not visible from there. It
            may have ended, and its number belong to another by now.
        uid: its effective user.
        gids: its effective group and all its supplementary ones.
    """

    pid: int
    uid: int
    gids: frozenset[int]


def peer(connection: Connection) -> Peer:
    """Say who opened the connection.

    Raises:
        RequestError: `request.forbidden`: it is no unix socket, or is closed, or the kernel does not name all groups.
            Some of the groups would not do: whoever is known by half is not known.
    """
    if connection.family != socket.AF_UNIX:
        raise nameless()
    try:
        pid, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    except OSError as error:
        raise nameless() from error
    try:
        groups = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_MAX * _GID_SIZE)
    except OSError as error:
        raise _uncounted(uid, error) from error
    return Peer(pid=pid, uid=uid, gids=frozenset((gid, *memoryview(groups).cast("I"))))


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold on the process that opened a connection, so that another with its number is not taken for it.

    Attributes:
        descriptor: a pidfd; None where the kernel gives none for a peer (before Linux 6.5): the number has to do.
    """

    descriptor: int | None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)

    def ended(self) -> bool:
        """Whether the process is known to have ended."""
        if self.descriptor is None:
            return False
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)  # readable from its end on (pidfd_open(2))
        return bool(poll.poll(0))


def hold(connection: Connection) -> Hold:
    """Hold the process that opened a connection.

    Raises:
        ProcessLookupError: it is gone.
    """
    try:
        return Hold(connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD))
    except OSError as error:
        if error.errno == errno.ENOPROTOOPT:
            return Hold(None)
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from error


def nameless() -> RequestError:
    """Give the error for a caller nobody vouches for."""
    return RequestError(Code.REQUEST_FORBIDDEN, "caller", "the kernel does not say who it is")


def _uncounted(uid: int, error: OSError) -> RequestError:
    subject = f"uid {uid}"
    if error.errno == errno.ERANGE:
        detail = f"is in more than {_GROUPS_MAX} groups, and the daemon is told of no more"
        return RequestError(Code.REQUEST_FORBIDDEN, subject, detail, hint="call as a user who is in fewer")
    return RequestError(Code.REQUEST_FORBIDDEN, subject, f"the kernel does not name its groups ({error.strerror})")
