"""The listening sockets: inherited from systemd, or made here without taking over those of a living daemon."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pushd.errors import Code, DaemonError
from pushd.service.inherited import MAIN, inherited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_ADDRESS_MAX = 107
"""Bytes of a path that fit into a unix socket's address, its end apart (unix(7))."""
_PROBE = 1.0
BACKLOG = 1024
"""Callers the kernel lets wait while the daemon is busy; one more is turned away."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """The sockets the daemon listens on.

    Attributes:
        main: the one everybody who is served may come by.
        others: those of `[sockets.NAME]`, by name.
    """

    main: socket.socket
    others: Mapping[str, socket.socket]


@contextmanager
def listening(main: Path, others: Mapping[str, Path], environ: Mapping[str, str]) -> Iterator[Listeners]:
    """Give the listening sockets: those systemd passed, and new ones for those it did not.

    When it passed any, the main one is among them. New ones are readable and writable by owner and group, and gone
    when the context ends, or when not all can be had; who is served is decided by the peer's identity, not by the file.

    Args:
        main: where the main one is to be.
        others: where the others are to be, by name.
        environ: what says which were passed.

    Raises:
        DaemonError: `daemon.socket`, with what is in the way.
    """
    with ExitStack() as open_ones:
        passed = inherited(environ, frozenset(others))
        for each in passed.values():
            open_ones.enter_context(each)
        # The main one first: where another daemon lives, that is what is in the way.
        first = passed.pop(MAIN, None) or open_ones.enter_context(_made(main))
        rest = {name: passed.get(name) or open_ones.enter_context(_made(path)) for name, path in others.items()}
        yield Listeners(first, MappingProxyType(rest))


@contextmanager
def _made(path: Path) -> Iterator[socket.socket]:
    """Give a new socket, which is gone when the context ends."""
    with _locked(path):
        _clear(path)
        listener = _bind(path)
        made = _identity(path)
        try:
            yield listener
        finally:
            listener.close()
            with suppress(OSError):  # one that stays is found dead by the next daemon
                if _identity(path) == made:
                    path.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock beside the socket: binding is three steps, and two daemons must not interleave them.

    The lock file stays: to remove it would let two daemons hold locks on two files of that name.
    """
    if not path.name:
        raise DaemonError(Code.DAEMON_SOCKET, str(path), "is a directory", hint="name the socket itself")
    if len(os.fsencode(path)) > _ADDRESS_MAX:
        detail = f"is longer than the {_ADDRESS_MAX} bytes a unix socket's address holds"
        raise DaemonError(Code.DAEMON_SOCKET, str(path), detail, hint="choose a shorter path")
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _taken(path) from error
        except OSError as error:
            raise _unusable(path, error) from error
        yield
    finally:
        os.close(descriptor)


def _clear(path: Path) -> None:
    """Remove a socket nobody listens on; leave anything else alone."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise DaemonError(
                Code.DAEMON_SOCKET, str(path), "exists and is no socket", hint="remove it, or choose another path"
            )
        if _alive(path):
            raise _taken(path)
        path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(path, error) from error


def _alive(path: Path) -> bool:
    """Whether somebody listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except (BlockingIOError, TimeoutError):  # its backlog is full: busy, not dead
            return True
    return True


def _identity(path: Path) -> tuple[int, int, int]:
    """Tell a file from any other: an inode's number is given away again as soon as the server has closed the socket."""
    status = path.lstat()
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _bind(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _unusable(path, error) from error
    finally:
        os.umask(before)
    listener.settimeout(0)
    return listener


def _taken(path: Path) -> DaemonError:
    return DaemonError(
        Code.DAEMON_SOCKET, str(path), "another daemon serves this socket", hint="stop it, or choose another path"
    )


def _unusable(path: Path, error: OSError) -> DaemonError:
    reason = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return DaemonError(
        Code.DAEMON_SOCKET, str(path), f"cannot be listened on ({reason})", hint="check the path and its rights"
    )
