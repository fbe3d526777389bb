"""Parts of the configuration in the words of the rooms that go by them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pushd import __version__
from pushd.job import Compress
from pushd.spool import Limits
from pushd.work import Retention

if TYPE_CHECKING:
    from pushd.config import Config


def facts(config: Config) -> dict[str, object]:
    """Give what `GET /v1/status` tells that does not move, in JSON's types."""
    limits = config.limits
    chosen = {"small_uploads_per_registry": limits.small_uploads_per_registry, "bandwidth": limits.bandwidth}
    return {
        "version": __version__,
        "pid": os.getpid(),
        "socket": str(config.daemon.socket),
        "state_dir": str(config.daemon.state_dir),
        "limits": {
            "deliveries": limits.deliveries,
            "uploads_per_registry": limits.uploads_per_registry,
            "memory": limits.memory,
            **{name: limit for name, limit in chosen.items() if limit is not None},
        },
    }


def bandwidths(config: Config) -> dict[str, int]:
    """Give the bytes a second of the registries that have a limit of their own."""
    return {name: it.bandwidth for name, it in config.registries.items() if it.bandwidth}


def engine_sockets(config: Config) -> tuple[str, ...]:
    """Give the sockets a container engine may be behind, in the order in which they are tried."""
    chosen = config.engine.socket
    return ("/var/run/docker.sock", "/run/podman/podman.sock") if chosen is None else (str(chosen),)


def retention(config: Config) -> Retention:
    """Give how long what has ended is kept."""
    it = config.retention
    return Retention(job_age=it.jobs, job_count=it.job_count, event_age=it.events, event_count=it.event_count)


def spool_limits(config: Config) -> Limits:
    """Give how much the spool may hold, and for how long."""
    it = config.spool
    return Limits(per_user=it.per_user, ttl=it.ttl, keep=it.keep_compressed)


def compression(config: Config) -> Compress:
    """Give what becomes of plain layers where a job leaves it to the daemon."""
    chosen = config.images.compression
    return Compress.NONE if chosen is None else Compress(chosen)
