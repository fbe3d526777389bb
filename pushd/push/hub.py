"""Where news arrive: told to the log, and to everyone who waits for them.

Nothing is queued for anybody. The last events are kept once for all readers, and what came before them is in the store:
a hundred slow readers cost no memory and miss nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import anyio

from pushd.telemetry.events import JOB_FINISHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.push.ports.emit import Emit
    from pushd.telemetry.events import Event

_KEPT = 2048
"""Events kept: as many as come in half a second of a thousand submissions, for readers who look twice in one."""


class Hub:
    """The durable events of the store, as they are committed.

    Args:
        emit: the log.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._news = anyio.Event()
        self._endings = anyio.Event()
        self._latest: deque[Event] = deque(maxlen=_KEPT)
        # Weak: an event lives as long as somebody waits for it.
        self._finished: WeakValueDictionary[str, anyio.Event] = WeakValueDictionary()

    def publish(self, events: Sequence[Event]) -> None:
        """Tell what was just committed. Called by the store, on the event loop."""
        for event in events:
            self._emit(event)
            self._latest.append(event)
            if event.kind is JOB_FINISHED and event.job is not None:
                self._endings.set()
                finished = self._finished.get(event.job)
                if finished is not None:
                    finished.set()
        news, self._news = self._news, anyio.Event()
        news.set()

    def latest(self, after: int) -> Sequence[Event] | None:
        """Give the events numbered above `after`, in order; None when not all of them are kept any more."""
        if not self._latest or _number(self._latest[0]) > after + 1:
            return None
        start = bisect_right(self._latest, after, key=_number)
        return list(islice(self._latest, start, None))

    def news(self) -> anyio.Event:
        """Give what is set with the next events. Take it before reading the store, or some may pass in between."""
        return self._news

    async def ending(self) -> None:
        """Wait until a job has finished since this was last waited for."""
        await self._endings.wait()
        self._endings = anyio.Event()

    def finish_of(self, job_id: str) -> anyio.Event:
        """Give what is set when the job finishes. Take it before reading the store."""
        finished = self._finished.get(job_id)
        if finished is None:
            finished = self._finished[job_id] = anyio.Event()
        return finished


def _number(event: Event) -> int:
    return event.seq or 0
