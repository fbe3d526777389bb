"""What `pushctl doctor` finds out before it judges: the socket, the caller, what the daemon answers."""

from __future__ import annotations

import grp
import os
import stat
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pushd import __version__
from pushd.client import Client, default_socket_path
from pushd.client.own import own_credential
from pushd.errors import PushdError
from pushd.job import AUTO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pushd.work import Handed

_ROOT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """What the filesystem says about the path of the socket.

    Attributes:
        path: where it is looked for.
        chosen: why there.
        error: why nothing can be said of it, in the system's words; None when it is there.
        missing: whether it is not there at all, rather than out of the caller's sight.
        is_socket: whether it is one.
        writable: whether the caller may write to it, which is to talk to the daemon.
        group: the name of the group it is for; empty when it has none that anybody could be put into.
    """

    path: str
    chosen: str
    error: str | None = None
    missing: bool = False
    is_socket: bool = False
    writable: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What the caller has of their own for a registry; without what is secret of it.

    Attributes:
        username: empty when it is a token.
        where: the file it was found in, and the helper that gave it.
        exposed: whether it lies in a file that is open to everybody on the machine.
    """

    username: str
    where: str
    exposed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All there is to judge.

    Attributes:
        uid: the caller.
        version: this command's.
        socket: the way to the daemon.
        status: what the daemon answered; None when it did not.
        took: seconds until it had.
        now: when it had, on this side.
        refusal: what it, or the way to it, said instead.
        target: the registry, and perhaps repository, that was asked about; None when none was.
        credential: which was asked for, as `JobSpec.credential`.
        own: the caller's own for the target; None when they have none.
        own_refusal: why that could not be found out.
        diagnosis: what the daemon found out about it.
        diagnosis_refusal: why it did not.
    """

    uid: int
    version: str
    socket: Socket
    now: datetime
    status: Mapping[str, Any] | None = None
    took: float = 0.0
    refusal: PushdError | None = None
    target: str | None = None
    credential: str = AUTO
    own: Own | None = None
    own_refusal: PushdError | None = None
    diagnosis: Mapping[str, Any] | None = None
    diagnosis_refusal: PushdError | None = None


def gather(
    socket: str | None, target: str | None, environ: Mapping[str, str] = os.environ, *, credential: str = AUTO
) -> Facts:
    """Find out.

    Args:
        socket: the path that was typed, if one was.
        target: `HOST[:PORT]` or `HOST[:PORT]/REPOSITORY`, or None.
        credential: as `JobSpec.credential`: which the target is tried with.
        environ: the environment.
    """
    path = socket or default_socket_path(environ)
    client = Client(path, patience=1.0)
    status: Mapping[str, Any] | None = None
    diagnosis: Mapping[str, Any] | None = None
    refusal, own_refusal, diagnosis_refusal = None, None, None
    handed: Sequence[Handed] = ()
    began = time.monotonic()
    try:
        status = client.status()
    except PushdError as error:
        refusal = error
    took, now = time.monotonic() - began, datetime.now(UTC)
    if target is not None and status is not None:
        try:
            if credential == AUTO and (found := own_credential(target, environ)):
                handed = [found]
        except PushdError as error:
            own_refusal = error  # what else there is to know is worth knowing
        try:
            diagnosis = client.diagnose(target, credential=credential, handed=handed)
        except PushdError as error:
            diagnosis_refusal = error
    return Facts(
        uid=os.getuid(),
        version=__version__,
        socket=_socket(path, _chosen(socket, environ)),
        now=now,
        status=status,
        took=took,
        refusal=refusal,
        target=target,
        credential=credential,
        own=_own(handed[0]) if handed else None,
        own_refusal=own_refusal,
        diagnosis=diagnosis,
        diagnosis_refusal=diagnosis_refusal,
    )


def _own(handed: Handed) -> Own:
    it = handed.credential
    try:
        mode = os.stat(it.where).st_mode  # noqa: PTH116 (paths are text in this command)
    except OSError:
        mode = 0  # of a helper too there is no such file
    return Own(username=it.username, where=it.where, exposed=bool(mode & (stat.S_IROTH | stat.S_IWOTH)))


def _chosen(socket: str | None, environ: Mapping[str, str]) -> str:
    if socket:
        return "named by --socket"
    if environ.get("PUSHD_SOCKET"):
        return "named by PUSHD_SOCKET"
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime and default_socket_path(environ).startswith(f"{runtime}/"):
        return "of your own daemon, under XDG_RUNTIME_DIR"
    return "of the system's daemon, since there is none of your own"


def _socket(path: str, chosen: str) -> Socket:
    try:
        found = os.stat(path)  # noqa: PTH116 (paths are text in this command)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        return Socket(path=path, chosen=chosen, error=error.strerror or str(error), missing=missing)
    except ValueError as error:  # a NUL
        return Socket(path=path, chosen=chosen, error=str(error))
    return Socket(
        path=path,
        chosen=chosen,
        is_socket=stat.S_ISSOCK(found.st_mode),
        writable=os.access(path, os.W_OK),
        group=_group(found) if found.st_mode & stat.S_IWGRP and found.st_gid != _ROOT else "",
    )


def _group(found: os.stat_result) -> str:
    try:
        return grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        return str(found.st_gid)
