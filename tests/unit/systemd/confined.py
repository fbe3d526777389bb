"""Programs run under a unit's filters of system calls, with the library systemd itself makes them with (libseccomp).

    subprocess.run(confined(read_unit("pushd.service"), sys.executable, "-m", "pushd"))

These are the allowed calls, the allowed families of sockets, and memory that is never both written and run; on top of
it no capability is left to root. Namespaces of files need systemd itself, and are not here.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.unit.systemd.units import Unit

LIBRARY: Final = "libseccomp.so.2"

_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_EQUAL, _FROM, _MASKED = 4, 5, 7
"""How an argument is compared (seccomp_rule_add(3))."""
_NO_CALL: Final = -1
_WRITE_AND_RUN, _RUN, _SHARED_RUN = 0x2 | 0x4, 0x4, 0o100000
"""PROT_WRITE | PROT_EXEC, PROT_EXEC, SHM_EXEC."""
_FAMILIES: Final = 64
"""More than the kernel has."""


def confined(unit: Unit, *command: str | Path) -> list[str]:
    """Give the command that runs another one as a service is run."""
    policy = {
        "calls": sorted(_calls(unit.all("Service", "SystemCallFilter"))),
        "families": sorted(_families(unit)),
        "write_and_run": unit.all("Service", "MemoryDenyWriteExecute") != ("yes",),
    }
    # Root without capabilities is nobody special; to anybody else there are none to lose.
    within = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    return [*within, sys.executable, __file__, json.dumps(policy), *map(str, command)]


def _families(unit: Unit) -> set[int]:
    return {int(getattr(socket, name)) for name in unit.one("Service", "RestrictAddressFamilies").split()}


def _calls(filters: Iterable[str]) -> set[str]:
    """Give the calls that are allowed; those of @default always are (systemd.exec(5), "SystemCallFilter=")."""
    groups = _groups()
    allowed = _members("@default", groups)
    for line in filters:
        named = set().union(*(_members(name, groups) for name in line.removeprefix("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


def _members(name: str, groups: dict[str, list[str]]) -> set[str]:
    return set().union(*(_members(each, groups) for each in groups[name])) if name.startswith("@") else {name}


def _groups() -> dict[str, list[str]]:
    """Give what systemd knows under each `@name`."""
    from tests.unit.systemd.units import ask  # noqa: PLC0415 (who is confined has no use for it)

    groups: dict[str, list[str]] = {}
    for line in ask("systemd-analyze", "--no-pager", "syscall-filter").splitlines():
        if line.startswith("@"):
            members = groups.setdefault(line, [])
        elif line.startswith("    ") and not line.lstrip().startswith("#"):
            members.append(line.strip())
    return groups


class _Argument(ctypes.Structure):
    _fields_ = (("index", ctypes.c_uint), ("how", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


class _Filter:
    """A filter that does `rest` but for what it is given rules for."""

    def __init__(self, rest: int) -> None:
        self._library = ctypes.CDLL(LIBRARY)
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(rest))

    def rule(self, action: int, call: str, *compared: _Argument) -> None:
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number == _NO_CALL:  # unknown to this library, as to systemd with it
            return
        arguments = (_Argument * len(compared))(*compared)
        self._do(self._library.seccomp_rule_add_array(self._context, action, number, len(compared), arguments))

    def load(self) -> None:
        """Install it; from then on no program has more rights than who runs it."""
        self._do(self._library.seccomp_load(self._context))

    def _do(self, result: int) -> None:
        if result < 0:
            raise OSError(-result, os.strerror(-result))


def _restrict_families(families: Iterable[int]) -> None:
    restriction, refused = _Filter(_ALLOW), _ERRNO | errno.EAFNOSUPPORT
    for family in set(range(_FAMILIES)).difference(families):
        restriction.rule(refused, "socket", _Argument(0, _EQUAL, family, 0))
    restriction.rule(refused, "socket", _Argument(0, _FROM, _FAMILIES, 0))
    restriction.load()


def _deny_write_execute() -> None:
    """Do what MemoryDenyWriteExecute= does before systemd 253, which is stricter than what the kernel has for it."""
    restriction, refused = _Filter(_ALLOW), _ERRNO | errno.EPERM
    restriction.rule(refused, "mmap", _Argument(2, _MASKED, _WRITE_AND_RUN, _WRITE_AND_RUN))
    for call in ("mprotect", "pkey_mprotect"):
        restriction.rule(refused, call, _Argument(2, _MASKED, _RUN, _RUN))
    restriction.rule(refused, "shmat", _Argument(2, _MASKED, _SHARED_RUN, _SHARED_RUN))
    restriction.load()


def _allow_calls(calls: Iterable[str]) -> None:
    restriction = _Filter(_ERRNO | errno.EPERM)
    for call in calls:
        restriction.rule(_ALLOW, call)
    restriction.load()


def main(policy: str, *command: str) -> None:
    """Become the command."""
    said = json.loads(policy)
    _restrict_families(said["families"])
    if not said["write_and_run"]:
        _deny_write_execute()
    _allow_calls(said["calls"])  # the last: it does not allow another
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
