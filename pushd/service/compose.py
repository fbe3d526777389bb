"""Composition: every room of the daemon, built from its part of the configuration. The only place that constructs.

Reading it top to bottom tells who depends on whom.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import anyio

from pushd.docker import AT_ONCE, Docker
from pushd.push.bandwidth import Bandwidth
from pushd.push.budget import Budget
from pushd.push.compressing import Compressing
from pushd.push.delivery import Deliverer
from pushd.push.docking import Docking
from pushd.push.engine import Engine
from pushd.push.feed import Feed
from pushd.push.gate import Gates
from pushd.push.gauges import Gauges
from pushd.push.housekeeping import Housekeeping
from pushd.push.hub import Hub
from pushd.push.inspecting import Inspector
from pushd.push.intake import Intake
from pushd.push.logins import Logins
from pushd.push.origin import Origins
from pushd.push.places import Places
from pushd.push.policy import Policy as Destinations
from pushd.push.progress import Board
from pushd.push.retry import Policy
from pushd.push.run import Means
from pushd.push.scheduler import Scheduler
from pushd.push.sources import Sources
from pushd.push.status import Overview
from pushd.push.turns import Turns
from pushd.push.waiting import Waiting
from pushd.registry.profiles import PROFILES
from pushd.service.disk import Gauge
from pushd.service.facts import bandwidths, compression, engine_sockets, facts, retention, spool_limits
from pushd.service.memory import give_back
from pushd.service.outward import make_registries, make_wire
from pushd.source import open_source
from pushd.source.spooled import SpooledSource
from pushd.spool import open_spool
from pushd.store import open_store
from pushd.store.moment import utc_now
from pushd.telemetry.exposition import Metrics
from pushd.telemetry.faults import tell_if_slow
from pushd.telemetry.metrics import Meter
from pushd.vault import Keyring, Seal, load_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from pushd.config import Config
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.push.ports.emit import Emit
    from pushd.registry import Registries, Wire
    from pushd.registry.profiles import Profile
    from pushd.spool import Spool
    from pushd.store import Store


_SOURCES = 16
"""Sources on slow disks that are opened at once; quick ones take turns."""
_LOOKING = 8
"""Layers that are looked into at once, on however many processors: each may take 128 MiB, a large window of zstd."""
_NOTHING: Mapping[str, str] = MappingProxyType({})
"""An environment in which nothing is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A daemon without its front door: what is served, what is run, and what is underneath."""

    engine: Engine
    docker: Docker
    spool: Spool
    logins: Logins
    scheduler: Scheduler
    housekeeping: Housekeeping
    board: Board
    store: Store
    wire: Wire
    registries: Registries
    places: Places
    bandwidth: Bandwidth
    budget: Budget
    destinations: Destinations
    meter: Meter
    metrics: Metrics


@asynccontextmanager
async def compose(
    config: Config,
    *,
    emit: Emit,
    meter: Meter | None = None,
    environ: Mapping[str, str] = _NOTHING,
    profiles: Sequence[Profile] = PROFILES,
) -> AsyncIterator[House]:
    """Build everything, and take it down in the opposite order.

    Args:
        config: what is configured.
        emit: hears every event.
        meter: has counted them; None where nobody reads the metrics.
        environ: tells the usual places of credentials, and proxies.
        profiles: the kinds of registries there are; tests give them with smaller sizes and shorter pauses.

    Raises:
        DaemonError: `daemon.config`, a proxy in the environment cannot be used.
        StoreError: the state cannot be used.
    """
    async with AsyncExitStack() as stack:
        limits = config.limits
        meter = Meter(config.registries) if meter is None else meter
        board = Board()
        hub = Hub(emit)
        store = await open_store(
            config.daemon.state_dir, publish=hub.publish, committed=partial(_committed, meter, emit)
        )
        stack.push_async_callback(store.close)
        keyring = Keyring(store, _seal(config, environ), utc_now)
        threads = stack.enter_context(ThreadPoolExecutor((os.cpu_count() or 1) + 2, "blobs"))
        wire = make_wire(config, environ, emit)
        stack.push_async_callback(wire.close)
        registries = make_registries(config, environ, wire, keyring, profiles=profiles, emit=emit)
        places = Places(
            large=limits.uploads_per_registry,
            small=limits.small_uploads_per_registry,
            memory=limits.memory,
            per_registry={name: it.max_uploads for name, it in config.registries.items() if it.max_uploads},
        )
        bandwidth = Bandwidth(total=limits.bandwidth, per_registry=bandwidths(config))
        gates = Gates(random.random, emit)
        directory = config.spool.directory or config.daemon.state_dir / "spool"
        # The spool asks the budget what fits, and the budget the spool how much there is.
        budget = Budget(
            measure=Gauge([config.daemon.state_dir, directory], database=lambda: store.size, spool=lambda: spool.size),
            budget=config.disk.budget,
            reserve=config.disk.reserve,
            emit=emit,
        )
        spool = await open_spool(
            directory,
            limits=spool_limits(config),
            admit=budget.admit_spool,
            bound=store.spooled,
            validated=store.vouch,
            emit=emit,
            threads=threads,
        )
        stack.callback(spool.close)
        looking = stack.enter_context(ThreadPoolExecutor(min(os.cpu_count() or 1, _LOOKING), "layers"))
        inspector = Inspector(store=store, threads=looking)
        stack.callback(inspector.close)  # or its threads would be waited for, however much there is to be looked into
        destinations = Destinations(allow=config.destinations.allow, deny=config.destinations.deny)
        sources = Sources(
            open_source=open_source,
            open_spooled=partial(_open_spooled, directory),
            origins=Origins(registries=registries, gates=gates, rng=random.random),
            spool=spool,
            policy=destinations,
            turns=Turns(stack.enter_context(ThreadPoolExecutor(_SOURCES, "sources"))),
        )
        deliverer = Deliverer(
            gates=gates,
            inspector=inspector,
            means=Means(
                store=store,
                places=places,
                bandwidth=bandwidth,
                board=board,
                threads=threads,
                emit=emit,
                rng=random.random,
                rehashing=anyio.CapacityLimiter(os.cpu_count() or 1),
            ),
            compressing=Compressing(store=store, spool=spool),
            registries=registries,
            sources=sources,
        )
        scheduler = Scheduler(
            store=store,
            deliverer=deliverer,
            board=board,
            gates=gates,
            emit=emit,
            per_registry=limits.deliveries,
            policy=Policy(attempts=limits.attempts),
            rng=random.random,
        )
        feed = Feed(store=store, hub=hub, board=board, moving=lambda: places.running > 0)
        docker = Docker(
            spool=spool,
            sockets=engine_sockets(config),
            threads=stack.enter_context(ThreadPoolExecutor(AT_ONCE, "engine")),
        )
        docking = Docking(fetch=docker.fetch, spool=spool, role=config.engine.role)
        engine = Engine(
            store=store,
            intake=Intake(
                store=store,
                sources=sources,
                spool=spool,
                registries=registries,
                keyring=keyring,
                gates=gates,
                policy=destinations,
                budget=budget,
                inspector=inspector,
                docking=docking,
                deadline=limits.deadline,
                jobs_per_user=limits.jobs_per_user,
                compression=compression(config),
            ),
            scheduler=scheduler,
            registries=registries,
            keyring=keyring,
            gates=gates,
            policy=destinations,
            board=board,
            hub=hub,
            feed=feed,
            overview=Overview(
                store=store,
                spool=spool,
                places=places,
                gates=gates,
                board=board,
                budget=budget,
                facts=facts(config),
                started=anyio.current_time(),
            ),
        )
        housekeeping = Housekeeping(
            store=store,
            spool=spool,
            registries=registries,
            hub=hub,
            budget=budget,
            emit=emit,
            retention=retention(config),
            waiting=Waiting(store=store, emit=emit, limit=config.daemon.queue_warning),
            give_back=give_back,
        )
        logins = Logins(
            keyring=keyring,
            registries=registries,
            gates=gates,
            policy=destinations,
            scheduler=scheduler,
            ttl=config.credentials.login_ttl,
        )
        gauges = Gauges(store=store, spool=spool, places=places, gates=gates, board=board, budget=budget, feed=feed)
        yield House(
            engine=engine,
            docker=docker,
            spool=spool,
            logins=logins,
            scheduler=scheduler,
            housekeeping=housekeeping,
            board=board,
            store=store,
            wire=wire,
            registries=registries,
            places=places,
            bandwidth=bandwidth,
            budget=budget,
            destinations=destinations,
            meter=meter,
            metrics=Metrics(meter, gauges.read),
        )


def _committed(meter: Meter, emit: Emit, seconds: float) -> None:
    meter.committed(seconds)
    tell_if_slow(emit, seconds)


def _open_spooled(
    directory: Path, entry: str, *, root: Descriptor | None = None, referrers: Digest | None = None
) -> SpooledSource:
    return SpooledSource(directory / entry, root, referrers)


def _seal(config: Config, environ: Mapping[str, str]) -> Seal:
    handed = environ.get("CREDENTIALS_DIRECTORY", "")
    return Seal(partial(load_key, config.daemon.state_dir, Path(handed) if handed else None))
