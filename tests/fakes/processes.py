"""Processes that call, each as somebody else: another user, other groups, other files. Wants root."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# They become who they are only after all is imported: as that they may have no way to Python's files.
_CALLER = """
import http.client, json, os, socket, sys
who = json.loads(sys.argv[1])
connection = socket.socket(socket.AF_UNIX)
http = http.client.HTTPConnection("pushd")
http.sock = connection
"pushd".encode("idna")
if who["chroot"]:
    os.chroot(who["chroot"])
os.chdir("/")
if os.geteuid() == 0:
    os.setgroups(who["groups"])
    os.setgid(who["gid"])
    os.setuid(who["uid"])
connection.connect(who["socket"])
for target in who["targets"]:
    http.request("GET", target)
    reply = http.getresponse()
    print(json.dumps([reply.status, json.loads(reply.read())]), flush=True)
if not who["targets"]:
    sys.stdin.read()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who calls; without any attribute, the user who runs the tests.

    Attributes:
        uid: theirs.
        gid: their primary group; None for the one with the number of their uid.
        groups: the supplementary ones.
        chroot: the directory they are confined to.
        within: the command that runs theirs, such as one that makes another namespace.
    """

    uid: int = os.geteuid()
    gid: int | None = None
    groups: tuple[int, ...] = ()
    chroot: Path | None = None
    within: tuple[str, ...] = ()

    def command(self, address: str, *targets: str) -> list[str]:
        """Give what connects as this caller and gets the targets; without any, it waits for the end of its input."""
        who = {
            "uid": self.uid,
            "gid": self.uid if self.gid is None else self.gid,
            "groups": self.groups,
            "chroot": None if self.chroot is None else str(self.chroot),
            "socket": address,
            "targets": targets,
        }
        return [*self.within, sys.executable, "-c", _CALLER, json.dumps(who)]

    async def ask(self, address: str | Path, *targets: str) -> list[tuple[int, Any]]:
        """GET the targets over one connection: the status and the document of each."""
        answers = [json.loads(line) for line in await said(self.command(str(address), *targets))]
        return [(status, document) for status, document in answers]

    @contextmanager
    def connected(self) -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
        """Give a connection this caller opened, and the process that did; it ends with its input."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("")  # an abstract name of the kernel's choice, which is reached from any namespace of files
            listener.listen()
            listener.settimeout(10)
            command = self.command(os.fsdecode(listener.getsockname()))
            with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
                connection, _ = listener.accept()
                with connection:
                    yield connection, process
                process.communicate(timeout=10)


async def said(command: Sequence[str], descriptors: Sequence[int] = ()) -> list[bytes]:
    """Give the lines that a command wrote, which has these descriptors of ours; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, pass_fds=descriptors
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.splitlines()
