"""Messages to the service manager (sd_notify(3)); silence where there is none."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def notify(environ: Mapping[str, str], *assignments: str) -> None:
    """Send `VARIABLE=value` assignments in one datagram to `$NOTIFY_SOCKET`. A manager that is gone is no error."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, suppress(OSError):
        channel.settimeout(0)
        channel.sendto("\n".join(assignments).encode(), address.replace("@", "\0", 1))
