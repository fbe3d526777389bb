"""Composition: every room of the daemon, built from its part of the configuration. The only place that constructs.

Reading it top to bottom tells who depends on whom.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import anyio

from pushd import __version__
from pushd.config import Registry
from pushd.push.budget import Budget
from pushd.push.delivery import Deliverer
from pushd.push.engine import Engine
from pushd.push.feed import Feed
from pushd.push.gate import Gates
from pushd.push.housekeeping import Housekeeping
from pushd.push.hub import Hub
from pushd.push.intake import Intake
from pushd.push.places import Places
from pushd.push.policy import Policy as Destinations
from pushd.push.progress import Board
from pushd.push.retry import Policy
from pushd.push.run import Means
from pushd.push.scheduler import Scheduler
from pushd.push.status import Overview
from pushd.push.turns import Turns
from pushd.registry import Registries, Settings, Timeouts, Wire
from pushd.registry.profiles import PROFILES, profile_for, profile_named
from pushd.service.access import grants
from pushd.service.disk import Gauge
from pushd.service.memory import give_back
from pushd.source import open_source
from pushd.source.spooled import SpooledSource
from pushd.spool import open_spool
from pushd.store import open_store
from pushd.work import Retention

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from pushd.config import Config
    from pushd.oci.descriptor import Descriptor
    from pushd.push.ports import Emit
    from pushd.registry.profiles import Profile
    from pushd.spool import Spool
    from pushd.store import Store


_SOURCES = 16
"""Sources on slow disks that are opened at once; quick ones take turns."""


@dataclass(frozen=True, slots=True)
class House:
    """A daemon without its front door: what is served, what is run, and what is underneath."""

    engine: Engine
    spool: Spool
    scheduler: Scheduler
    housekeeping: Housekeeping
    board: Board
    store: Store


@asynccontextmanager
async def compose(config: Config, *, emit: Emit, profiles: Sequence[Profile] = PROFILES) -> AsyncIterator[House]:
    """Build everything, and take it down in the opposite order.

    Args:
        config: what is configured.
        emit: hears every event.
        profiles: the kinds of registries there are; tests give them with smaller sizes and shorter pauses.

    Raises:
        StoreError: the state cannot be used.
    """
    async with AsyncExitStack() as stack:
        limits = config.limits
        board = Board()
        hub = Hub(emit)
        store = await open_store(config.daemon.state_dir, publish=hub.publish)
        stack.push_async_callback(store.close)
        threads = stack.enter_context(ThreadPoolExecutor((os.cpu_count() or 1) + 2, "blobs"))
        wire = Wire(_timeouts(config))
        stack.push_async_callback(wire.close)
        registries = Registries(
            wire,
            settings=partial(_settings, config, profiles),
            docker_config=config.credentials.docker_config,
            grants=grants(config),
        )
        places = Places(
            large=limits.uploads_per_registry,
            small=limits.small_uploads_per_registry,
            memory=limits.memory,
            per_registry={name: it.max_uploads for name, it in config.registries.items() if it.max_uploads},
        )
        gates = Gates(random.random)
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
            per_user=config.spool.per_user,
            ttl=config.spool.ttl,
            admit=budget.admit_spool,
            bound=store.spooled,
            validated=store.vouch,
            emit=emit,
            threads=threads,
        )
        stack.callback(spool.close)
        open_spooled = partial(_open_spooled, directory)
        deliverer = Deliverer(
            gates=gates,
            means=Means(
                store=store,
                places=places,
                board=board,
                threads=threads,
                emit=emit,
                rng=random.random,
                rehashing=anyio.CapacityLimiter(os.cpu_count() or 1),
            ),
            registries=registries,
            open_source=open_source,
            open_spooled=open_spooled,
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
        destinations = Destinations(allow=config.destinations.allow, deny=config.destinations.deny)
        engine = Engine(
            store=store,
            intake=Intake(
                store=store,
                open_source=open_source,
                open_spooled=open_spooled,
                spool=spool,
                registries=registries,
                gates=gates,
                policy=destinations,
                budget=budget,
                turns=Turns(stack.enter_context(ThreadPoolExecutor(_SOURCES, "sources"))),
                deadline=limits.deadline,
                jobs_per_user=limits.jobs_per_user,
            ),
            scheduler=scheduler,
            registries=registries,
            gates=gates,
            policy=destinations,
            board=board,
            hub=hub,
            feed=Feed(store=store, hub=hub, board=board, moving=lambda: places.running > 0),
            overview=Overview(
                store=store,
                spool=spool,
                places=places,
                gates=gates,
                board=board,
                budget=budget,
                facts=_facts(config),
                started=anyio.current_time(),
            ),
        )
        housekeeping = Housekeeping(
            store=store,
            spool=spool,
            hub=hub,
            budget=budget,
            emit=emit,
            retention=_retention(config),
            give_back=give_back,
        )
        yield House(engine, spool, scheduler, housekeeping, board, store)


def _open_spooled(directory: Path, entry: str, *, root: Descriptor | None = None) -> SpooledSource:
    return SpooledSource(directory / entry, root)


def _retention(config: Config) -> Retention:
    it = config.retention
    return Retention(job_age=it.jobs, job_count=it.job_count, event_age=it.events, event_count=it.event_count)


def _timeouts(config: Config) -> Timeouts:
    it = config.timeouts
    return Timeouts(connect=it.connect, stall=it.stall, commit=it.commit, request=it.request)


def _settings(config: Config, profiles: Sequence[Profile], name: str) -> Settings:
    """Give how a registry is spoken to: what is configured for it, over what is known of its kind."""
    registry = config.registries.get(name, Registry())
    kind = profile_for(name, profiles) if registry.profile is None else profile_named(registry.profile, profiles)
    limits = kind.limits
    if registry.upload is not None:
        limits = replace(limits, forms=(registry.upload,))
    if registry.chunk_size is not None:
        limits = replace(limits, chunk_size=registry.chunk_size, chunk_max=None)
    ca = None if registry.ca is None else str(registry.ca)
    return Settings(plain_http=registry.plain_http, ca=ca, limits=limits)


def _facts(config: Config) -> dict[str, object]:
    limits = config.limits
    return {
        "version": __version__,
        "pid": os.getpid(),
        "socket": str(config.daemon.socket),
        "state_dir": str(config.daemon.state_dir),
        "limits": {
            "deliveries": limits.deliveries,
            "uploads_per_registry": limits.uploads_per_registry,
            "small_uploads_per_registry": limits.small_uploads_per_registry,
            "memory": limits.memory,
        },
    }
