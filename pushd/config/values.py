"""What can be configured: frozen values with their defaults. Sizes are bytes, times are seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pushd.telemetry.events import Level

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pushd.oci.upload import Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """`[daemon]`: where it lives and how much it says.

    Attributes:
        socket: the unix socket it serves.
        state_dir: the directory of its database.
        log_level: events below it are not logged.
    """

    socket: Path
    state_dir: Path
    log_level: Level = Level.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`[limits]`: how much happens at once, and for how long.

    Attributes:
        deliveries: deliveries to one registry running at the same time; one that stalls holds up no other registry.
        uploads_per_registry: uploads to one registry at the same time.
        small_uploads_per_registry: the same in the lane of small blobs, beside the other.
        memory: bytes of all piece buffers together.
        deadline: seconds a job that names none has before what is unfinished fails.
        attempts: how often a registry that this daemon has never reached is tried; any other until the deadline.
    """

    deliveries: int = 16
    uploads_per_registry: int = 8
    small_uploads_per_registry: int = 16
    memory: int = 64 << 20
    deadline: float = 86_400.0
    attempts: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """`[timeouts]`: how long to wait for a registry. None of them ends work that moves.

    Attributes:
        connect: seconds to resolve the name and open a connection, TLS included.
        stall: seconds without a byte taken before a body counts as stalled.
        commit: seconds for the reply that follows the last byte of a blob; storage backends copy then.
        request: seconds for the reply to any other request.
    """

    connect: float = 15.0
    stall: float = 60.0
    commit: float = 900.0
    request: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """`[credentials]`: where they come from.

    Attributes:
        docker_config: Docker's `config.json`; None when none is named and the daemon has no home directory.
    """

    docker_config: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """`[registries."host:port"]`: what is different about one registry. None leaves it to the profile.

    Attributes:
        profile: the name of its kind (`registry.profiles`); None leaves that to its host name.
        plain_http: whether it speaks HTTP without TLS.
        upload: the form uploads take; None, in the file `"auto"`.
        chunk_size: bytes per PATCH.
        max_uploads: uploads at the same time, in place of `Limits.uploads_per_registry`.
        ca: a PEM file of certificate authorities trusted beside the system's.
    """

    profile: str | None = None
    plain_http: bool | None = None
    upload: Form | None = None
    chunk_size: int | None = None
    max_uploads: int | None = None
    ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All that is configured.

    Attributes:
        registries: by `host[:port]`, as in references.
        file: the file that was read, or None when there was none.
    """

    daemon: Daemon
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    credentials: Credentials = field(default_factory=Credentials)
    registries: Mapping[str, Registry] = field(default_factory=dict)
    file: Path | None = None
