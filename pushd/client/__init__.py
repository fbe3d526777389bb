"""The Python client of the daemon, on the standard library alone, because a person's command must start fast.

    from pushd.client import Client

    client = Client()
    job = client.submit("oci:/srv/builds/app:1.4", ["registry.example.com/team/app:1.4"], labels={"build": "4711"})
    print(job.id, job.digest)                       # on the daemon's disk: this image will be delivered
    for event in client.events(job=job.id):         # goes on over a restart of the daemon; ends with the job
        print(event["at"], event["message"])
    job = client.get(job.id)
    for delivery in job.deliveries:
        print(delivery.destination, delivery.state, delivery.failure or delivery.digest)

Every call blocks. A call on a daemon that has gone away is tried again until `patience` runs out; that is safe, since
what changes something carries an idempotency key or is idempotent by itself. A `Client` may be used by several
threads; it keeps a few connections, until it is closed or dropped.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Self

from pushd.client.control import Control
from pushd.client.conversation import Conversation
from pushd.client.logins import Logins
from pushd.client.registries import Registries
from pushd.client.submitting_files import SubmittingFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Client", "default_socket_path"]

SYSTEM_SOCKET: Final = "/run/pushd/pushd.sock"


def default_socket_path(environ: Mapping[str, str] = os.environ) -> str:
    """Give the socket to talk to: `$PUSHD_SOCKET`, the user's own daemon's if it is there, or the system's."""
    if named := environ.get("PUSHD_SOCKET"):
        return named
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        own = f"{runtime}/pushd/pushd.sock"
        if os.path.exists(own):  # noqa: PTH110 (pathlib would be imported for this alone)
            return own
    return SYSTEM_SOCKET


class Client(SubmittingFiles, Control, Registries, Logins):
    """Talks to the daemon behind one socket.

    All methods may raise:
        DaemonError: `daemon.unreachable`, no daemon, or none that lets the caller in; `daemon.socket`, the path
            cannot be a socket's; `daemon.internal`, the answer makes no sense.
        PushdError: what the daemon answered, as the subclass of its code.

    What is said of a job that is not there is also said of one that is not the caller's.
    """

    def __init__(self, socket_path: str | None = None, *, patience: float = 60.0) -> None:
        """Talk to the daemon at `socket_path`, or at `default_socket_path()`.

        A daemon that answered before and does not now is tried for `patience` seconds more; one that never answered
        for at most 5 s, and not at all when there is no socket.
        """
        super().__init__(Conversation(socket_path or default_socket_path(), patience))

    def close(self) -> None:
        """Close the connections that are kept. Idempotent, and no end: the next call connects again."""
        self._conversation.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def socket_path(self) -> str:
        """Where the daemon is looked for."""
        return self._conversation.socket_path

    @property
    def patience(self) -> float:
        """Seconds to go on trying while a daemon that answered before does not."""
        return self._conversation.patience
