"""Messages to the service manager (sd_notify(3)); silence where there is none."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from pushd.oci.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATIENCE = 1.0
"""Seconds for a manager whose queue is full: a lost `READY=1` is a service killed when its time to start is over."""
_LINE = 256
"""Characters of an assignment: a status that names a path."""


def notify(environ: Mapping[str, str], *assignments: str) -> None:
    """Send `VARIABLE=value` assignments in one datagram to `$NOTIFY_SOCKET`. A manager that is gone is no error."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    # A line break in a path would begin another assignment, and the manager drops what is not UTF-8.
    message = "\n".join(printable(assignment, _LINE) for assignment in assignments)
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(_PATIENCE)
        channel.sendto(message.encode(), address.replace("@", "\0", 1))
