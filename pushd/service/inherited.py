"""The listening sockets a service manager passed, as sd_listen_fds(3) says, told apart by their names."""

from __future__ import annotations

import os
import re
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, DaemonError
from pushd.oci.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

MAIN: Final = ""
"""What the main socket goes by here: it is the one whose name, whatever it is, is not in the configuration."""

_FIRST = 3
"""The first descriptor passed (sd_listen_fds(3))."""
_COUNT: Final = re.compile(r"[1-9][0-9]{0,2}")
_UNNAMED: Final = "unknown"
"""The name of one that was given none (sd_listen_fds_with_names(3))."""


def inherited(environ: Mapping[str, str], others: AbstractSet[str]) -> dict[str, socket.socket]:
    """Give the sockets that were passed to this process: none when none were, else the main one and perhaps others.

    Args:
        environ: `LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`.
        others: the names of the sockets besides the main one.

    Raises:
        DaemonError: `daemon.socket`: they are not those that are wanted. What cannot be served is left open.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = _names(environ)
    with ExitStack() as unless_all_fit:
        sockets = {
            role: unless_all_fit.enter_context(_adopted(_FIRST + index))
            for index, role in enumerate(_roles(names, others))
        }
        unless_all_fit.pop_all()
    return sockets


def _names(environ: Mapping[str, str]) -> list[str]:
    """Give the name of each descriptor."""
    count = environ.get("LISTEN_FDS", "")
    if not _COUNT.fullmatch(count):
        raise _unwanted("LISTEN_FDS", f"{quoted(count)} sockets were passed, one at least is wanted")
    written = environ.get("LISTEN_FDNAMES", "")
    names = written.split(":") if written else [_UNNAMED] * int(count)
    if len(names) != int(count):
        raise _unwanted("LISTEN_FDNAMES", f"names {len(names)}, and {count} were passed")
    return names


def _roles(names: Sequence[str], others: AbstractSet[str]) -> list[str]:
    """Say which socket each name stands for: the one in the configuration, or else the main one, once each."""
    roles = [name if name in others else MAIN for name in names]
    for role in (MAIN, *sorted(others)):
        its = [quoted(name) for name, found in zip(names, roles, strict=True) if found == role]
        if len(its) > 1:
            raise _unwanted("LISTEN_FDNAMES", f"{' and '.join(its)} cannot be one socket", hint=_hint(others))
    if MAIN not in roles:
        told = " and ".join(quoted(name) for name in names)
        raise _unwanted("LISTEN_FDNAMES", f"besides {told} the main socket is wanted", hint=_hint(others))
    return roles


def _hint(others: AbstractSet[str]) -> str:
    if not others:
        return "without [sockets] in the configuration there is but the main one"
    return f"FileDescriptorName= of a socket's unit is one of {', '.join(sorted(others))}, or it is the main one's"


def _adopted(descriptor: int) -> socket.socket:
    try:
        passed = socket.socket(fileno=descriptor)
    except OSError as error:
        detail = f"descriptor {descriptor} is no socket ({error.strerror})"
        raise _unwanted("LISTEN_FDS", detail) from error
    unfit = _unfit(passed)
    if unfit:
        passed.detach()
        raise _unwanted("LISTEN_FDS", f"the socket passed as descriptor {descriptor} {unfit}")
    passed.set_inheritable(False)
    passed.settimeout(0)
    return passed


def _unfit(passed: socket.socket) -> str:
    """Say why a socket cannot be served, or nothing."""
    if passed.family != socket.AF_UNIX or passed.type != socket.SOCK_STREAM:
        return "is no unix stream socket"
    if not passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "does not listen: its unit must not set Accept="
    return ""


def _unwanted(variable: str, detail: str, *, hint: str = "") -> DaemonError:
    return DaemonError(Code.DAEMON_SOCKET, variable, detail, hint=hint)
