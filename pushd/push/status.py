"""What the daemon is doing, as far as it concerns who asks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from pushd.job import DeliveryState, TransferState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pushd.principal import Principal
    from pushd.push.budget import Budget
    from pushd.push.gate import Gates
    from pushd.push.places import Places
    from pushd.push.ports.spool import Spool
    from pushd.push.ports.store import JobStore
    from pushd.push.progress import Board, Progress

_TRANSFERS = 50
"""Transfers that are listed: the slowest, which are the ones somebody looks for."""
_WAITING = tuple(str(state) for state in DeliveryState if not state.terminal)


@dataclass(slots=True, kw_only=True)
class Overview:
    """Answers `GET /v1/status`.

    Attributes:
        facts: what never changes: version, process, places, limits. For administrators, but for the version.
        started: on the event loop's clock.
    """

    store: JobStore
    spool: Spool
    places: Places
    gates: Gates
    board: Board
    budget: Budget
    facts: Mapping[str, object]
    started: float

    async def document(self, caller: Principal) -> dict[str, object]:
        """Give it, in JSON's types: of everybody's work to an administrator, of their own to anyone else."""
        now = anyio.current_time()
        queue = await self.store.queue(caller.sees)
        moving = self.board.since(0, uid=caller.sees)
        oldest = await self.store.oldest(caller.sees)
        document: dict[str, object] = {
            "version": self.facts["version"],
            "now": datetime.now(UTC),
            "uid": caller.uid,
            "role": caller.role,
            "paths": caller.paths,
            "uptime": round(now - self.started, 3),
            "epoch": self.store.epoch,
            "stream": self.store.stream,
            "queue": {state: sum(counts.get(state, 0) for counts in queue.values()) for state in _WAITING},
            "oldest": oldest,
            "uploads": self._uploads(moving, caller),
            "registries": await self._registries(queue, moving, caller, now),
            "transfers": _slowest(moving, now),
        }
        if caller.administrator:
            document |= self.facts
            disk = self.budget.document()
            document["disk"] = {"database": self.store.size, "spool": self.spool.size, **disk}
        return document

    def _uploads(self, moving: Iterable[Progress], caller: Principal) -> dict[str, int]:
        if caller.administrator:
            return {"running": self.places.running, "waiting": self.places.waiting}
        states = [(entry.state, entry.started is not None) for entry in moving if not entry.state.landed]
        running = sum(begun for state, begun in states if state is not TransferState.FAILED)
        return {"running": running, "waiting": sum(not begun for _, begun in states)}

    async def _registries(
        self, queue: Mapping[str, Mapping[str, int]], moving: Iterable[Progress], caller: Principal, now: float
    ) -> dict[str, dict[str, object]]:
        paused = await self.store.paused_registries()
        shut = self.gates.shut()
        names = {*queue}
        sent: dict[str, int] = defaultdict(int)
        rates: dict[str, int] = defaultdict(int)
        if caller.administrator:
            names |= {*paused, *self.board.sent, *shut}
            sent.update(self.board.sent)
            rates.update({name: self.board.rate(name, now) for name in names})
        else:
            for entry in moving:
                sent[entry.registry] += entry.sent
                rates[entry.registry] += entry.meter.rate(now)
        return {
            name: {
                **{state: queue.get(name, {}).get(state, 0) for state in _WAITING},
                "sent": sent[name],
                "rate": rates[name],
                "throttled_for": round(shut[name], 3) if name in shut else None,
                "paused_since": paused.get(name),
            }
            for name in sorted(names)
        }


def _slowest(moving: Iterable[Progress], now: float) -> list[dict[str, object]]:
    """List the transfers whose bytes move, the slowest first."""
    found = [
        (entry.meter.rate(now), entry, now - entry.started)
        for entry in moving
        if entry.started is not None and entry.state is TransferState.RUNNING
    ]
    found.sort(key=lambda one: one[0])
    return [
        {
            "job": entry.job_id,
            "destination": entry.destination,
            "digest": entry.digest,
            "size": entry.size,
            "done": entry.done,
            "sent": entry.sent,
            "rate": rate,
            "seconds": round(seconds, 3),
        }
        for rate, entry, seconds in found[:_TRANSFERS]
    ]
