"""Where news arrive: told to the log, and to everyone who waits for them.

Nothing is queued here. A reader is woken and reads what it has not seen from the store, so that a hundred slow readers
cost no memory and miss nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import anyio

from pushd.telemetry.events import JOB_FINISHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.push.ports import Emit
    from pushd.telemetry.events import Event


class Hub:
    """The durable events of the store, as they are committed.

    Args:
        emit: the log.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._news = anyio.Event()
        # Weak: an event lives as long as somebody waits for it.
        self._finished: WeakValueDictionary[str, anyio.Event] = WeakValueDictionary()

    def publish(self, events: Sequence[Event]) -> None:
        """Tell what was just committed. Called by the store, on the event loop."""
        for event in events:
            self._emit(event)
            if event.kind is JOB_FINISHED and event.job is not None:
                finished = self._finished.get(event.job)
                if finished is not None:
                    finished.set()
        news, self._news = self._news, anyio.Event()
        news.set()

    def news(self) -> anyio.Event:
        """Give what is set with the next events. Take it before reading the store, or some may pass in between."""
        return self._news

    def finish_of(self, job_id: str) -> anyio.Event:
        """Give what is set when the job finishes. Take it before reading the store."""
        finished = self._finished.get(job_id)
        if finished is None:
            finished = self._finished[job_id] = anyio.Event()
        return finished
