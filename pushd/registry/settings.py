"""What the daemon's configuration says of the wire."""

from __future__ import annotations

from dataclasses import dataclass, field

from pushd.oci.upload import Limits
from pushd.registry.addresses import Network  # noqa: TC001
from pushd.registry.tls import Tls


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for a registry, in seconds. Nothing limits work that moves.

    Attributes:
        connect: to resolve the name and to open a connection, TLS included.
        stall: for the registry to take the next 256 KiB of a body.
        commit: from the last byte of a body, or the request that closes an upload, to the answer: registries
            hash and move the blob then, which takes minutes for ten gigabytes (moby#53700, buildkit#4130).
        request: for the answer to any other request.
    """

    connect: float = 15.0
    stall: float = 60.0
    commit: float = 900.0
    request: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one registry is spoken to.

    Attributes:
        plain_http: True or False where the configuration says so; None follows the rule in `endpoint`.
        tls: what is configured for its own host.
        addresses: networks in which what it leads to may lie, though that is nearer than it is itself.
        credential_hosts: other `host[:port]` that our authorisation goes to when it leads there.
        limits: how uploads to it are done.
    """

    plain_http: bool | None = None
    tls: Tls = field(default_factory=Tls)
    addresses: tuple[Network, ...] = ()
    credential_hosts: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
