"""What is done now and then so that nothing grows or waits for ever: deadlines, retention, spool, disk, memory.

A daemon with nothing to do costs next to nothing: a chore is done again when something was told since, when the store
said that there would be something to do, or else once in a long while. Each time that a process wakes costs a machine
at rest milliseconds, whatever is done then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import anyio

from pushd.errors import StoreError
from pushd.telemetry.events import JOBS_PRUNED, Event
from pushd.telemetry.faults import store_failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from pushd.push.budget import Budget
    from pushd.push.hub import Hub
    from pushd.push.ports.emit import Emit
    from pushd.push.ports.registry import Registries
    from pushd.push.ports.spool import Spool
    from pushd.push.waiting import Waiting
    from pushd.work import Pruned, Retention

_DEADLINES = 5.0
"""Seconds between two looks for deliveries that waited past their job's deadline, while anything happens."""
_ROUND = 60.0
"""Seconds between two rounds through what is kept, while anything happens; and between two looks at disk and memory."""
_QUIET = 600.0
"""Seconds between two rounds while nothing happens: what is past its age goes so much later at most."""
_BREATH = 0.05
"""Seconds between two bites of a large round: others write as well."""


class Stored(Protocol):
    """What is asked of the store."""

    async def expire(self, now: datetime) -> int:
        """As `ports.JobStore` has it; so for all but one."""

    async def prune(self, now: datetime, retention: Retention) -> Pruned:
        """A bounded part."""

    async def spooled(self) -> Collection[str]:
        """Entries that jobs need."""

    async def unneeded(self, entries: Collection[str]) -> Collection[str]:
        """Entries of jobs that ended."""

    async def oldest(self) -> datetime | None:
        """When the oldest job came that has not ended."""

    async def deadline(self) -> datetime | None:
        """Give when there is something for `expire` to do next, if nothing changes meanwhile; None for never."""


@dataclass(slots=True, kw_only=True)
class Housekeeping:
    """Keeps the house. Each chore goes on for as long as the daemon runs; a store that fails is tried again.

    A chore gives the seconds after which it is to be done again though nothing was told meanwhile.

    Attributes:
        give_back: returns memory that is free to the system; takes no longer than the loop can wait.
    """

    store: Stored
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
            chores.start_soon(self._glance)
            chores.start_soon(self._clear)

    async def _repeat(self, where: str, interval: float, chore: Callable[[], Awaitable[float]]) -> None:
        """Do a chore again and again: `interval` seconds lie between two times at least."""
        while True:
            news = self.hub.news()
            rest = interval
            try:
                rest = await chore()
            except StoreError as error:
                self.emit(store_failed(error, where=where))
            await anyio.sleep(interval)
            with anyio.move_on_after(rest - interval):
                await news.wait()

    async def _glance(self) -> None:
        """Look at what others change as well, and what changes with no event: it costs no question to the store."""
        while True:
            self.budget.watch()
            self.registries.sweep()
            self.give_back()
            await anyio.sleep(_ROUND)

    async def _clear(self) -> None:
        """Remove the spool entry of a job as soon as it has ended."""
        while True:
            try:
                await self._discard_ended()
            except StoreError as error:
                self.emit(store_failed(error, where="clearing the spool"))
            await self.hub.ending()

    async def _expire(self) -> float:
        more = True
        while more:
            more = await self.store.expire(datetime.now(UTC)) > 0
            if more:
                await anyio.sleep(_BREATH)
        self.budget.watch()
        due = await self.store.deadline()
        return _QUIET if due is None else min(_QUIET, (due - datetime.now(UTC)).total_seconds())

    async def _prune(self) -> float:
        jobs = events = 0
        more = True
        while more:
            pruned = await self.store.prune(datetime.now(UTC), self.retention)
            jobs, events, more = jobs + pruned.jobs, events + pruned.events, pruned.more
            if more:
                await anyio.sleep(_BREATH)
        if jobs:
            self.emit(Event(JOBS_PRUNED, datetime.now(UTC), fields={"jobs": jobs, "events": events}))
        return _QUIET

    async def _look(self) -> float:
        await self.waiting.look(datetime.now(UTC))
        return _QUIET if await self.store.oldest() is None else _ROUND

    async def _sweep(self) -> float:
        await self.spool.sweep(datetime.now(UTC), await self.store.spooled())
        return _ROUND if self.spool.entries else _QUIET

    async def _discard_ended(self) -> None:
        entries = self.spool.entries
        if entries:
            for entry in await self.store.unneeded(entries):
                await self.spool.discard(entry, "its job has ended")
