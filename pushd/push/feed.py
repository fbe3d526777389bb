"""The events as one reader is given them: durable ones in order and each once, and between them what moves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import anyio

from pushd.errors import Code, RequestError
from pushd.telemetry.events import JOB_FINISHED, STREAM_BOOKMARK, Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from pushd.push.hub import Hub
    from pushd.push.progress import Board

_PAGE = 64
"""Events read from the store at once: a reader that stalls holds on to so many, and there may be hundreds of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a reader is given something, in seconds.

    Attributes:
        tick: between two looks at what moves.
        bookmark: of silence, after which a reader is told that it misses nothing.
        gap: between two batches, for each reader there is: all of them together are woken so often and no oftener,
            and what happens meanwhile comes in one batch.
        gap_max: the most of it.
    """

    tick: float = 0.25
    bookmark: float = 15.0
    gap: float = 0.0025
    gap_max: float = 1.0

    def between(self, readers: int) -> float:
        """Give the seconds between two batches of one of `readers`."""
        return min(readers * self.gap, self.gap_max)


class Journal(Protocol):
    """What is asked of the store."""

    @property
    def stream(self) -> str:
        """As `ports.JobStore` has it; so for all."""

    async def told(self) -> tuple[int, int]:
        """The oldest number left, the newest there was."""

    async def events(
        self, after: int, *, job_id: str | None = None, uid: int | None = None, limit: int = 500
    ) -> Sequence[Event]:
        """A page of them."""


class Feed:
    """Gives readers their events.

    Args:
        moving: whether anything is on its way, so that looking at the board is worth while.
    """

    def __init__(
        self, *, store: Journal, hub: Hub, board: Board, moving: Callable[[], bool], pace: Pace | None = None
    ) -> None:
        self._store = store
        self._hub = hub
        self._board = board
        self._moving = moving
        self._pace = pace or Pace()
        self._readers = 0

    @property
    def readers(self) -> int:
        """Readers there are now."""
        return self._readers

    async def check_position(self, after: int, *, stream: str | None) -> None:
        """Check that a reader who goes on after number `after` misses nothing; 0 asks for whatever is left.

        Raises:
            RequestError: `request.events_gone`, `request.malformed`.
        """
        hint = "read the jobs as they are, and begin with after=0"
        if stream not in (None, self._store.stream):
            detail = f"is another stream than this daemon's, which is {self._store.stream}: a backup was restored"
            raise RequestError(Code.REQUEST_EVENTS_GONE, "stream", detail, hint=hint)
        if after == 0:
            return
        oldest, newest = await self._store.told()
        if after > newest:
            detail = f"is {after}, and the newest event has the number {newest}"
            raise RequestError(Code.REQUEST_MALFORMED, "after", detail, hint=hint)
        if after + 1 < oldest:
            detail = f"is {after}, and the oldest event that is left has the number {oldest}"
            raise RequestError(Code.REQUEST_EVENTS_GONE, "after", detail, hint=hint)

    async def read(
        self,
        *,
        after: int,
        job_id: str | None,
        uid: int | None,
        follow: bool,
        ended: Callable[[], Awaitable[bool]],
    ) -> AsyncIterator[Sequence[Event]]:
        """Give what `api.ports.Jobs.events` promises, as the user `uid` may see it, or with None everything.

        Args:
            after: the number to begin after.
            job_id: of this job alone.
            uid: of this user's jobs alone.
            follow: whether to go on at the present.
            ended: whether the job has ended; asked where no event told that it has.
        """
        self._readers += 1
        try:
            cursor = _Cursor(after, job_id, uid)
            async for batch in self._batches(cursor, follow=follow, ended=ended):
                yield batch
                await anyio.sleep(self._pace.between(self._readers))
        finally:
            self._readers -= 1

    async def _batches(
        self, cursor: _Cursor, *, follow: bool, ended: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[Sequence[Event]]:
        seen, silent_since, present = 0, anyio.current_time(), False
        while True:
            news = self._hub.news()
            batch, more = await self._durable(cursor)
            if batch:
                yield batch
                silent_since = anyio.current_time()
            if more or (batch and cursor.job_id is not None and batch[-1].kind is JOB_FINISHED):
                continue  # the next look, at once, finds that it has ended, or that it was retried meanwhile
            if not follow or (cursor.job_id is not None and not batch and await ended()):
                if cursor.job_id is None:
                    yield [self._bookmark(cursor)]
                return
            moved = [entry.event() for entry in self._board.since(seen, job_id=cursor.job_id, uid=cursor.uid)]
            seen = self._board.version
            if moved:
                yield moved
                silent_since = anyio.current_time()
            if not present or anyio.current_time() - silent_since >= self._pace.bookmark:
                present, silent_since = True, anyio.current_time()
                yield [self._bookmark(cursor)]
            with anyio.move_on_after(self._pace.tick if self._moving() else self._pace.bookmark):
                await news.wait()

    async def _durable(self, cursor: _Cursor) -> tuple[Sequence[Event], bool]:
        """Give the next events for a reader, and whether there are more at once."""
        latest = self._hub.latest(cursor.after)
        if latest is not None:
            return cursor.take(latest, until=cursor.after), False
        _, newest = await self._store.told()
        page = await self._store.events(cursor.after, job_id=cursor.job_id, uid=cursor.uid, limit=_PAGE)
        more = len(page) == _PAGE
        # A page that is not full holds all that had been told when it was asked for.
        return cursor.take(page, until=cursor.after if more else newest), more

    def _bookmark(self, cursor: _Cursor) -> Event:
        return Event(STREAM_BOOKMARK, datetime.now(UTC), fields={"stream": self._store.stream}, seq=cursor.after)


@dataclass(slots=True)
class _Cursor:
    """How far a reader is.

    Attributes:
        after: everything for this reader up to this number was told.
    """

    after: int
    job_id: str | None
    uid: int | None

    def take(self, events: Sequence[Event], *, until: int) -> Sequence[Event]:
        """Give those of `events` that are for this reader; with them all up to `until` was told."""
        fitting = []
        for event in events:
            self.after = max(self.after, event.seq or 0)
            if self.job_id in (None, event.job) and self.uid in (None, event.uid):
                fitting.append(event)
        self.after = max(self.after, until)
        return fitting
