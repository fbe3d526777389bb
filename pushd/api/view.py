"""Whether a peer finds the daemon's files under the same names: not from within a container, nor a chroot.

Told from the mount at `/` of either process, as `/proc/PID/mountinfo` has it (proc_pid_mountinfo(5)): everyone may
read that, where the namespace itself (`/proc/PID/ns/mnt`) is shown to tracers alone. A mount belongs to one mount
namespace, and its number to no other mount as long as it lives.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pushd.api.peer import hold

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushd.api.peer import Connection, Peer

_FIELDS: Final = 5
"""Fields of a line up to its mount point: the mount's number, its parent's, the device, the root, the mount point."""
_READ: Final = 1024
"""Bytes read at once: `/` is among the first mounts, and a host of containers has hundreds, each of which costs."""
_INIT: Final = 1


@dataclass(frozen=True, slots=True)
class Root:
    """The mount a process has at `/`.

    Attributes:
        number: unlike that of any other mount alive, in whatever namespace.
        device: the filesystem's `major:minor`.
        directory: the directory of that filesystem which is mounted.
    """

    number: int
    device: bytes
    directory: bytes


def root(mounts: Iterable[bytes]) -> Root | None:
    """Give the mount at `/` from the lines of a mountinfo; None for a process that was confined to a mere directory.

    Mounts stacked upon it since are at `/` as well, after it: nobody gets there who had their root before.
    """
    for line in mounts:
        fields = line.split(b" ", _FIELDS)
        if len(fields) > _FIELDS and fields[4] == b"/" and fields[0].isdigit():
            return Root(int(fields[0]), fields[2], fields[3])
    return None


def same_view(theirs: Root | None, own: Root | None, init: Root | None) -> bool:
    """Whether a name means the same file to both, decided from their roots.

    A service manager gives the daemon a namespace of its own, a copy of the system's with parts hidden or made
    read-only. So a peer in the system's namespace, that of process 1, is as good as one in the daemon's: what the
    daemon does not have of its files is missing, not different. But only when the daemon's root is the system's: to
    a daemon in a container that sees the system's processes, the files of process 1 are others.
    """
    if theirs is None or own is None:
        return False
    if theirs == own:
        return True
    return init is not None and theirs == init and (init.device, init.directory) == (own.device, own.directory)


def own_root() -> Root | None:
    """Give the daemon's own; None when it cannot be told, which makes every peer a stranger to its files."""
    try:
        own = Path("/proc/self").readlink()
    except OSError:
        return None
    # Numbers of peers are of the daemon's pid namespace. A /proc of another one would show other processes by them.
    return _read(os.getpid()) if str(own) == str(os.getpid()) else None


def shares_view(connection: Connection, peer: Peer, own: Root | None) -> bool:
    """Whether the peer finds the daemon's files under the same names. What cannot be found out counts as no.

    It reads one or two files of /proc. The answer holds for the connection: it stays that of who opened it.
    """
    if peer.pid == 0 or own is None:
        return False
    try:
        with hold(connection) as process:
            theirs = _read(peer.pid)
            if process.ended():  # perhaps before the reading, and then the number may have been another's
                return False
    except OSError:
        return False
    return same_view(theirs, own, _read(_INIT) if theirs != own else own)


def _read(pid: int) -> Root | None:
    try:
        with Path(f"/proc/{pid}/mountinfo").open("rb", buffering=_READ) as mounts:
            return root(mounts)
    except OSError:  # ended, or hidden (hidepid=, ProtectProc=)
        return None
