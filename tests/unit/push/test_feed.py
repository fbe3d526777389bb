"""What readers of events are given: from memory at the present, from the store before it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
import pytest

from pushd.errors import Code, RequestError
from pushd.push.feed import Feed, Pace
from pushd.push.hub import Hub
from pushd.push.progress import Board, Progress
from pushd.telemetry.events import JOB_FINISHED, JOB_RETRIED, JOB_SUBMITTED, STREAM_BOOKMARK, TRANSFER_PROGRESS, Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@dataclass
class Journal:
    """What the feed asks of the store; `asked` counts how often."""

    story: list[Event] = field(default_factory=list)
    oldest: int = 1
    asked: int = 0
    stream: str = "s1"

    async def events(
        self, after: int, *, job_id: str | None = None, uid: int | None = None, limit: int = 500
    ) -> Sequence[Event]:
        self.asked += 1
        fitting = (
            event
            for event in self.story
            if (event.seq or 0) > after and job_id in (None, event.job) and uid in (None, event.uid)
        )
        return tuple(fitting)[:limit]

    async def told(self) -> tuple[int, int]:
        newest = self.story[-1].seq or 0 if self.story else 0
        return self.oldest, newest


@dataclass
class Stage:
    journal: Journal = field(default_factory=Journal)
    board: Board = field(default_factory=Board)
    hub: Hub = field(default_factory=lambda: Hub(lambda _: None))
    pace: Pace = field(default_factory=lambda: Pace(tick=0.01, bookmark=60.0, gap=0.0, gap_max=0.0))

    def feed(self) -> Feed:
        return Feed(
            store=self.journal, hub=self.hub, board=self.board, moving=lambda: bool(self.board.version), pace=self.pace
        )

    def tell(self, *events: Event) -> None:
        """Commit events, and let them be heard."""
        self.journal.story += events
        self.hub.publish(events)


def submitted(seq: int, job: str = "a", uid: int = 1) -> Event:
    return Event(JOB_SUBMITTED, NOON, job, seq=seq, uid=uid)


def finished(seq: int, job: str = "a", uid: int = 1) -> Event:
    return Event(JOB_FINISHED, NOON, job, seq=seq, uid=uid)


async def _not_ended() -> bool:
    return False


@asynccontextmanager
async def reading(
    feed: Feed,
    *,
    after: int = 0,
    job_id: str | None = None,
    uid: int | None = None,
    follow: bool = True,
    ended: Callable[[], Awaitable[bool]] = _not_ended,
) -> AsyncIterator[Reader]:
    stream = feed.read(after=after, job_id=job_id, uid=uid, follow=follow, ended=ended)
    try:
        yield Reader(stream)
    finally:
        await stream.aclose()  # type: ignore[attr-defined]  # an async generator has it


@dataclass
class Reader:
    stream: AsyncIterator[Sequence[Event]]

    async def numbers(self, count: int) -> list[int | None]:
        """The numbers of the next `count` events that are no bookmarks."""
        with anyio.fail_after(5):
            found: list[int | None] = []
            while len(found) < count:
                batch = await anext(self.stream)
                found += [event.seq for event in batch if event.kind is not STREAM_BOOKMARK]
            return found

    async def bookmark(self) -> int | None:
        with anyio.fail_after(5):
            while True:
                for event in await anext(self.stream):
                    if event.kind is STREAM_BOOKMARK:
                        return event.seq


async def test_what_happened_is_read_from_the_store_and_what_happens_from_memory() -> None:
    stage = Stage()
    stage.journal.story += [submitted(1), submitted(2)]
    async with reading(stage.feed()) as reader:
        assert await reader.numbers(2) == [1, 2]
        await reader.bookmark()
        asked = stage.journal.asked

        for number in range(3, 50):
            stage.tell(submitted(number))
            assert await reader.numbers(1) == [number]

    assert stage.journal.asked == asked, "two hundred readers at the present must not ask the store two hundred times"


async def test_a_reader_further_behind_than_memory_goes_reads_the_store_and_misses_nothing() -> None:
    stage = Stage()
    async with reading(stage.feed()) as reader:
        await reader.bookmark()
        stage.tell(*(submitted(number) for number in range(1, 6001)))
        assert await reader.numbers(6000) == list(range(1, 6001))


async def test_only_the_events_of_ones_own_jobs_are_told() -> None:
    stage = Stage()
    stage.journal.story += [submitted(1, "a", uid=1), submitted(2, "b", uid=2)]
    stage.board.enter(Progress("b", 2, "r/b:1", "d", size=1, registry="r", uid=2))
    async with reading(stage.feed(), uid=1) as reader:
        assert await reader.numbers(1) == [1]
        stage.tell(submitted(3, "b", uid=2), Event(JOB_SUBMITTED, NOON, None, seq=4), submitted(5, "a", uid=1))
        assert await reader.numbers(1) == [5]


async def test_a_bookmark_says_up_to_where_all_was_told_though_nothing_was_for_this_reader() -> None:
    stage = Stage(pace=Pace(tick=0.01, bookmark=0.02, gap=0.0, gap_max=0.0))
    stage.journal.story += [submitted(1, uid=1), submitted(2, uid=2)]
    async with reading(stage.feed(), uid=1) as reader:
        assert await reader.bookmark() == 2
        stage.tell(submitted(3, uid=2))
        assert await reader.bookmark() in (2, 3)
        assert await reader.bookmark() == 3


async def test_what_moves_is_told_between_and_the_stream_ends_with_the_job() -> None:
    stage = Stage()
    moving = stage.board.enter(Progress("a", 1, "r/a:1", "d", size=9, registry="r", uid=1))

    async def ended() -> bool:
        return bool(stage.journal.story)

    async with reading(stage.feed(), job_id="a", ended=ended) as reader:
        assert await reader.numbers(1) == [None]
        await reader.bookmark()
        stage.board.count(moving, 5, 0.0)
        with anyio.fail_after(5):
            (event,) = await anext(reader.stream)
            assert (event.kind, event.fields["sent"]) == (TRANSFER_PROGRESS, 5)
            stage.tell(submitted(1, "b"), finished(2, "a"), submitted(3, "b"))
            rest = [event async for batch in reader.stream for event in batch]
    assert [(event.kind, event.seq) for event in rest] == [(JOB_FINISHED, 2)]


async def test_the_story_of_a_job_that_was_retried_goes_on_behind_its_first_end() -> None:
    stage = Stage()
    stage.journal.story += [submitted(1), finished(2), Event(JOB_RETRIED, NOON, "a", seq=3, uid=1)]
    async with reading(stage.feed(), job_id="a") as reader:
        assert await reader.numbers(3) == [1, 2, 3]
        stage.tell(submitted(4))
        assert await reader.numbers(1) == [4]


async def test_without_follow_it_ends_at_the_present() -> None:
    stage = Stage()
    stage.journal.story += [submitted(number) for number in range(1, 1201)]
    async with reading(stage.feed(), follow=False) as reader:
        told = [event.seq async for batch in reader.stream for event in batch if event.kind is JOB_SUBMITTED]
    assert told == list(range(1, 1201))


async def test_many_readers_are_woken_less_often_each() -> None:
    pace = Pace(tick=0.25, bookmark=15.0, gap=0.0025, gap_max=1.0)
    assert pace.between(1) == pytest.approx(0.0025)
    assert pace.between(200) == pytest.approx(0.5)
    assert pace.between(10_000) == 1.0


@pytest.mark.parametrize("after", [0, 5, 10])
async def test_a_reader_may_go_on_where_everything_is_left(after: int) -> None:
    stage = Stage(Journal([submitted(number) for number in range(6, 11)], oldest=6))
    await stage.feed().check_position(after, stream=None)


@pytest.mark.parametrize(
    ("after", "stream", "code"),
    [
        (4, None, Code.REQUEST_EVENTS_GONE),
        (11, None, Code.REQUEST_MALFORMED),
        (7, "another", Code.REQUEST_EVENTS_GONE),
        (0, "another", Code.REQUEST_EVENTS_GONE),
    ],
)
async def test_a_reader_that_would_miss_something_or_is_ahead_is_refused(
    after: int, stream: str | None, code: Code
) -> None:
    stage = Stage(Journal([submitted(number) for number in range(6, 11)], oldest=6))
    with pytest.raises(RequestError) as caught:
        await stage.feed().check_position(after, stream=stream)
    assert caught.value.code is code
