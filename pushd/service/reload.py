"""The configuration read again while the daemon serves: what changes at once, and what only a new start changes.

Nothing that moves is touched: uploads under way go on as they began, and what begins after them begins anew. How fast
they may go is all that changes for them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import anyio

from pushd.errors import DaemonError
from pushd.push.retry import Policy
from pushd.service.access import admit
from pushd.service.facts import bandwidths, compression, engine_sockets, facts, retention, spool_limits
from pushd.service.notify import notify
from pushd.service.outward import configure_registries, configure_wire
from pushd.telemetry.events import DAEMON_RELOAD_REFUSED, DAEMON_RELOADED, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pushd.api.access import Doors
    from pushd.config import Config
    from pushd.push.ports.emit import Emit
    from pushd.registry.profiles import Profile
    from pushd.service.compose import House
    from pushd.telemetry.events import Kind, Level, Value

FIXED: Final = frozenset(
    {
        "daemon.socket",
        "daemon.state_dir",
        "limits.streams_per_user",
        "limits.request_size",
        "metrics",
        "sockets",
        "spool.directory",
    }
)
"""What only a new start changes: keys, and whole tables."""


@dataclass(slots=True, kw_only=True)
class Reloader:
    """Reads the configuration again, when the daemon is told to.

    Attributes:
        config: what it goes by.
        reread: gives the configuration as it is written now; blocks, and raises DaemonError.
        relevel: sets how much is logged.
        addresses: of the sockets besides the main one, by name.
    """

    config: Config
    house: House
    doors: Doors
    addresses: Mapping[str, str | bytes]
    environ: Mapping[str, str]
    profiles: Sequence[Profile]
    emit: Emit
    reread: Callable[[], Config]
    relevel: Callable[[Level], None]

    async def reload(self) -> None:
        """Go by the configuration as it is written now; by the old one, where that cannot be used."""
        # sd_notify(3): with the time, so that the manager knows which reload it is told of.
        notify(self.environ, "RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            fresh = await anyio.to_thread.run_sync(self.reread)
            reconfigure(self.house, fresh, self.environ, profiles=self.profiles, emit=self.emit)
        except DaemonError as error:
            self._tell(DAEMON_RELOAD_REFUSED, error=str(error))
            notify(self.environ, "READY=1", f"STATUS=going by the configuration of before: {error.detail}")
            return
        admit(self.doors, fresh, self.addresses)
        self.relevel(fresh.daemon.log_level)
        keys = changed(self.config, fresh)
        self.config = fresh
        waiting = ", ".join(key for key in keys if needs_restart(key))
        self._tell(DAEMON_RELOADED, changed=", ".join(keys) or "nothing", restart=waiting or None)
        more = f"; {waiting} at the next start" if waiting else ""
        notify(self.environ, "READY=1", f"STATUS=serving {self.config.daemon.socket}{more}")

    def _tell(self, kind: Kind, **facts_: Value) -> None:
        self.emit(Event(kind, datetime.now(UTC), fields=facts_))


def changed(before: Config, after: Config) -> tuple[str, ...]:
    """Name the keys whose values differ, `table.key`, a registry's as `registries.NAME`; in the order of the file's."""
    return tuple(key for key in _changed("", before, after) if key != "file")


def needs_restart(key: str) -> bool:
    """Whether a key that has changed takes effect at the next start only."""
    return key in FIXED or key.partition(".")[0] in FIXED


def reconfigure(
    house: House, config: Config, environ: Mapping[str, str], *, profiles: Sequence[Profile], emit: Emit
) -> None:
    """Have a house go by another configuration from now on, but for what is `FIXED`.

    Raises:
        DaemonError: `daemon.config`, a proxy in the environment cannot be used; nothing has changed.
    """
    configure_wire(house.wire, config, environ)  # the one that may refuse goes first
    configure_registries(house.registries, config, environ, profiles=profiles, emit=emit)
    limits = config.limits
    house.places.configure(
        large=limits.uploads_per_registry,
        small=limits.small_uploads_per_registry,
        memory=limits.memory,
        per_registry={name: it.max_uploads for name, it in config.registries.items() if it.max_uploads},
    )
    house.bandwidth.configure(total=limits.bandwidth, per_registry=bandwidths(config))
    house.budget.configure(budget=config.disk.budget, reserve=config.disk.reserve)
    house.meter.configure(config.registries)
    house.spool.configure(spool_limits(config))
    house.destinations.allow, house.destinations.deny = config.destinations.allow, config.destinations.deny
    house.engine.intake.deadline, house.engine.intake.jobs_per_user = limits.deadline, limits.jobs_per_user
    house.engine.intake.compression = compression(config)
    house.engine.intake.docking.role = config.engine.role
    house.docker.sockets = engine_sockets(config)
    house.engine.overview.facts = facts(config)
    house.housekeeping.retention = retention(config)
    house.housekeeping.waiting.limit = config.daemon.queue_warning
    house.logins.ttl = config.credentials.login_ttl
    house.scheduler.configure(per_registry=limits.deliveries, policy=Policy(attempts=limits.attempts))


def _changed(before_it: str, before: object, after: object) -> Iterator[str]:
    """Compare table by table; below a table values are compared whole."""
    if not is_dataclass(before) or not is_dataclass(after):
        return
    for field in fields(before):
        one, other = getattr(before, field.name), getattr(after, field.name)
        if one == other:
            continue
        name = f"{before_it}{field.name}"
        if not before_it and is_dataclass(one):
            yield from _changed(f"{name}.", one, other)
        elif field.name == "registries":
            yield from (f"{name}.{key}" for key in {**one, **other} if one.get(key) != other.get(key))
        else:
            yield name
