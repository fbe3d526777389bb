"""The journal's own protocol: each event as one datagram of fields, which `journalctl` finds again.

Written as systemd.io/JOURNAL_NATIVE_PROTOCOL says. What a person reads is MESSAGE; each fact is a field of its own,
`PUSHD_JOB=...`, so that `journalctl PUSHD_REGISTRY=registry.example.com -p warning` needs no parser.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
import uuid
from contextlib import closing, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from pushd.oci.text import printable
from pushd.telemetry.events import CATALOGUE, Level

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from structlog.typing import WrappedLogger

    from pushd.telemetry.events import Kind

SOCKET: Final = "/run/systemd/journal/socket"
NAMESPACE: Final = uuid.UUID("d57bb511-1e73-424f-bd7b-527076b1d465")
"""Of the message ids: they are derived from the names of the events, and never change."""

_NOTICE: Final = 5
_PRIORITIES: Final = {Level.DEBUG: 7, Level.INFO: 6, Level.WARNING: 4, Level.ERROR: 3}
"""Of syslog(3)."""
_SHOWN: Final = 4000
"""Characters of a sentence."""
_BUFFER: Final = 8 << 20
"""Bytes of datagrams that may be under way, if the system allows it: as sd_journal_send(3) asks for."""
_PATIENCE: Final = 1
"""Seconds until it is tried again to reach a journal that is away, or takes nothing."""


def is_journal(environ: Mapping[str, str], descriptor: int) -> bool:
    """Whether a descriptor leads to the journal, and the journal's socket is there to be spoken to directly.

    `JOURNAL_STREAM` says which stream it means, as programs inherit it whose output goes elsewhere (systemd.exec(5)).
    """
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}" and os.path.exists(SOCKET)  # noqa: PTH110 (a constant)


def message_id(name: str) -> str:
    """Give the MESSAGE_ID of an event, by its name: 32 hexadecimal digits, as `journalctl` takes them."""
    return uuid.uuid5(NAMESPACE, name).hex


def priority(kind: Kind) -> int:
    """Give the PRIORITY of a kind of event, by syslog(3): what is notable stands out from what merely happens."""
    return min(_PRIORITIES[kind.level], _NOTICE) if kind.notable else _PRIORITIES[kind.level]


def as_datagram(_logger: WrappedLogger, level: str, line: MutableMapping[str, Any]) -> bytes:
    """Give an event as a datagram. What has no value is left out; so is the time, the journal has its own."""
    name, message = line.pop("event"), line.pop("message")
    del line["ts"]
    if not message.isprintable():  # the journal would call it a blob, and show nothing of it
        message = printable(message, _SHOWN)
    told = [f"{_head(name, level)}MESSAGE={message}\n"]
    long = []
    for field, value in line.items():
        if isinstance(value, str) and "\n" in value:
            long.append((_name(field), value.encode()))
        elif value is not None:
            told.append(f"{_name(field)}={value if value.__class__ is not bool else str(value).lower()}\n")
    datagram = "".join(told).encode()
    for field, text in long:
        # What has line breaks is told with its length, 64 bits, the smallest first.
        datagram += b"%b\n%b%b\n" % (field.encode(), struct.pack("<Q", len(text)), text)
    return datagram


@cache
def _head(name: str, level: str) -> str:
    """Give what is the same in all events of a name."""
    kind = CATALOGUE.get(name)
    number = _PRIORITIES[Level(level)] if kind is None else priority(kind)
    return f"PRIORITY={number}\nSYSLOG_IDENTIFIER=pushd\nMESSAGE_ID={message_id(name)}\nPUSHD_EVENT={name}\n"


@cache
def _name(field: str) -> str:
    return f"PUSHD_{field.upper()}"


class Journal:
    """The journal's socket: what an outlet drains to.

    Args:
        address: of the socket.
    """

    def __init__(self, address: str = SOCKET) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", _PATIENCE, 0))

    def offer(self, datagram: bytes, /) -> bool:
        """Send a datagram if the journal takes it at once; one that is away, or behind, is the thread's affair."""
        try:
            # Not connected: the socket of a journal that was started again is another one.
            self._socket.sendto(datagram, socket.MSG_DONTWAIT, self._address)
        except OSError:
            return False
        return True

    def write(self, datagrams: list[bytes], /) -> int:
        """Send datagrams, waiting for a journal that is away or behind; give how many can be sent to none."""
        return sum(not self._send(datagram) for datagram in datagrams)

    def close(self) -> None:
        """Let the socket go."""
        self._socket.close()

    def _send(self, datagram: bytes) -> bool:
        while True:
            try:
                self._socket.sendto(datagram, self._address)
            except BlockingIOError:
                continue  # it waited for a second already
            except (FileNotFoundError, ConnectionError):
                time.sleep(_PATIENCE)
            except OSError:  # it is too long for a datagram: EMSGSIZE, or ENOBUFS
                return self._send_file(datagram)
            else:
                return True

    def _send_file(self, datagram: bytes) -> bool:
        """Send a sealed file that holds the datagram in its place."""
        try:
            file = os.memfd_create("pushd-event", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            with closing(os.fdopen(file, "wb", buffering=0)) as content:
                content.write(datagram)
                seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
                fcntl.fcntl(content, fcntl.F_ADD_SEALS, seals)
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("@i", content.fileno()))]
                self._socket.sendmsg([], rights, 0, self._address)
        except OSError:
            return False
        return True
