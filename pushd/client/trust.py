"""Whether whoever listens on a socket is to be told a secret.

A directory that everybody may write to is nobody's: who comes first puts a socket there, and is the daemon.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from pushd.errors import Code, DaemonError

_ROOT: Final = 0


def check_trusted(path: str, listener: int) -> None:
    """Refuse to tell a secret to whoever listens at `path`, where anybody else could have put that socket.

    Root and the caller themselves are told, wherever they listen. Anybody else is, a service's own user say, where
    the socket lies in directories that only their owners write to.

    Args:
        path: of the socket.
        listener: their uid, as the kernel has it.

    Raises:
        DaemonError: `daemon.socket`.
    """
    if listener in (_ROOT, os.geteuid()) or not _replaceable(path):
        return
    raise DaemonError(
        Code.DAEMON_SOCKET, path,
        f"uid {listener} listens there, where anybody could: no credential is handed over",
        hint="have the daemon's socket in a directory of its own, or say --credential daemon or anonymous",
    )  # fmt: skip


def _replaceable(path: str) -> bool:
    """Whether somebody other than root and the caller could put something else where `path` leads."""
    directory, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 (paths are text in the client)
    at = os.path.join(os.path.realpath(directory), name)  # noqa: PTH118 (the same)
    while (above := os.path.dirname(at)) != at:  # noqa: PTH120 (the same)
        mode = os.stat(above).st_mode  # noqa: PTH116 (the same)
        # In a sticky one only its owner replaces what is there, but whoever comes first puts it there.
        owned = mode & stat.S_ISVTX and os.lstat(at).st_uid in (_ROOT, os.geteuid())
        if mode & stat.S_IWOTH and not owned:
            return True
        at = above
    return False
