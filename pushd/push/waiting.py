"""Whether jobs wait for longer than they should: told while it lasts, not whenever somebody looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from pushd.telemetry.events import QUEUE_OLD, Event

if TYPE_CHECKING:
    from datetime import datetime

    from pushd.push.ports.emit import Emit
    from pushd.push.ports.store import JobStore


@dataclass(slots=True, kw_only=True)
class Waiting:
    """Looks for jobs that wait for too long.

    Attributes:
        limit: seconds a job may take from when it may begin; also the seconds between two warnings.
    """

    store: JobStore
    emit: Emit
    limit: float
    _told_at: datetime | None = field(default=None, init=False)

    async def look(self, now: datetime) -> None:
        """Tell of jobs that wait for more than `limit`, unless that was told within as much time.

        Raises:
            StoreError: they cannot be looked for.
        """
        limit = timedelta(seconds=self.limit)
        late = await self.store.late(now - limit)
        if late is None:
            self._told_at = None
            return
        if self._told_at is not None and now - self._told_at < limit:
            return
        self._told_at = now
        facts = {"jobs": late.jobs, "limit": round(self.limit), "seconds": round((now - late.since).total_seconds())}
        self.emit(Event(QUEUE_OLD, now, late.oldest, fields=facts))
