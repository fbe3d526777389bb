"""What is done now and then so that nothing grows or waits for ever: deadlines, retention, spool, disk, memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from pushd.errors import StoreError
from pushd.telemetry.events import JOBS_PRUNED, Event
from pushd.telemetry.faults import store_failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pushd.push.budget import Budget
    from pushd.push.hub import Hub
    from pushd.push.ports.emit import Emit
    from pushd.push.ports.registry import Registries
    from pushd.push.ports.spool import Spool
    from pushd.push.ports.store import JobStore
    from pushd.push.waiting import Waiting
    from pushd.work import Retention

_DEADLINES = 5.0
"""Seconds between two looks for deliveries that waited past their job's deadline, and at the disk."""
_ROUND = 60.0
"""Seconds between two rounds through what is kept."""
_BREATH = 0.05
"""Seconds between two bites of a large round: others write as well."""


@dataclass(slots=True, kw_only=True)
class Housekeeping:
    """Keeps the house. Each chore goes on for as long as the daemon runs; a store that fails is tried again.

    Attributes:
        give_back: returns memory that is free to the system; takes no longer than the loop can wait.
    """

    store: JobStore
    spool: Spool
    registries: Registries
    hub: Hub
    budget: Budget
    emit: Emit
    retention: Retention
    waiting: Waiting
    give_back: Callable[[], None]

    async def run(self) -> None:
        """Do all chores until cancelled."""
        async with anyio.create_task_group() as chores:
            chores.start_soon(self._repeat, "failing what is past its deadline", _DEADLINES, self._expire)
            chores.start_soon(self._repeat, "taking away what is past its time", _ROUND, self._prune)
            chores.start_soon(self._repeat, "clearing the spool", _ROUND, self._sweep)
            chores.start_soon(self._repeat, "looking for jobs that wait for long", _ROUND, self._look)
            chores.start_soon(self._clear)

    async def _repeat(self, where: str, interval: float, chore: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._try(where, chore)
            await anyio.sleep(interval)

    async def _clear(self) -> None:
        """Remove the spool entry of a job as soon as it has ended."""
        while True:
            await self._try("clearing the spool", self._discard_ended)
            await self.hub.ending()

    async def _try(self, where: str, chore: Callable[[], Awaitable[None]]) -> None:
        try:
            await chore()
        except StoreError as error:
            self.emit(store_failed(error, where=where))

    async def _expire(self) -> None:
        more = True
        while more:
            more = await self.store.expire(datetime.now(UTC)) > 0
            await anyio.sleep(_BREATH)
        self.budget.watch()

    async def _prune(self) -> None:
        jobs = events = 0
        more = True
        while more:
            pruned = await self.store.prune(datetime.now(UTC), self.retention)
            jobs, events, more = jobs + pruned.jobs, events + pruned.events, pruned.more
            await anyio.sleep(_BREATH)
        self.registries.sweep()
        self.give_back()
        if jobs:
            self.emit(Event(JOBS_PRUNED, datetime.now(UTC), fields={"jobs": jobs, "events": events}))

    async def _look(self) -> None:
        await self.waiting.look(datetime.now(UTC))

    async def _sweep(self) -> None:
        await self.spool.sweep(datetime.now(UTC), await self.store.spooled())

    async def _discard_ended(self) -> None:
        entries = self.spool.entries
        if entries:
            for entry in await self.store.unneeded(entries):
                await self.spool.discard(entry, "its job has ended")
