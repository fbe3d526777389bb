"""How everything stands at one moment, read for the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from pushd.telemetry.standing import AtRegistry, Backlog, Standing

if TYPE_CHECKING:
    from pushd.push.budget import Budget
    from pushd.push.feed import Feed
    from pushd.push.gate import Gates
    from pushd.push.places import Places
    from pushd.push.ports.spool import Spool
    from pushd.push.ports.store import JobStore
    from pushd.push.progress import Board

_NOTHING = Backlog()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Looks at the rooms that know, the store once; what has ended costs nothing, however much it is."""

    store: JobStore
    spool: Spool
    places: Places
    gates: Gates
    board: Board
    budget: Budget
    feed: Feed

    async def read(self) -> Standing:
        """Read them.

        Raises:
            StoreError: the store cannot be read.
        """
        backlog = await self.store.backlog()
        now, clock = datetime.now(UTC), anyio.current_time()
        shut, uploads = self.gates.shut(), self.places.at_registries
        disk, refusing = self.budget.look()
        registries = {}
        for name in {*backlog, *self.board.sent, *shut, *uploads}:
            waiting = backlog.get(name, _NOTHING)
            age = 0.0 if waiting.since is None else (now - waiting.since).total_seconds()
            registries[name] = AtRegistry(
                states=waiting.states,
                needing=waiting.needing,
                age=max(0.0, age),  # the clock may have been set back
                uploads=uploads[name],
                sent=self.board.sent.get(name, 0),
                rate=self.board.rate(name, clock),
                throttled=shut.get(name, 0.0),
                paused=waiting.paused,
            )
        return Standing(
            registries=registries,
            spool=self.spool.size,
            database=self.store.size,
            free=disk.free,
            refusing=refusing,
            streams=self.feed.readers,
        )
