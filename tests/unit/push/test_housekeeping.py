"""The chores of the house: often while anything happens, hardly ever while nothing does."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import anyio
import pytest

from pushd.errors import Code, StoreError
from pushd.push import housekeeping
from pushd.push.housekeeping import Housekeeping
from pushd.push.hub import Hub
from pushd.telemetry.events import JOB_SUBMITTED, JOBS_PRUNED, STORE_FAILED, Event
from pushd.work import Pruned, Retention

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from pushd.push.budget import Budget
    from pushd.push.ports.registry import Registries
    from pushd.push.ports.spool import Spool
    from pushd.push.waiting import Waiting

KEPT = Retention(job_age=1, job_count=1, event_age=1, event_count=1)


@dataclass
class House:
    """Every room that is asked for something, and how often it was.

    Attributes:
        asked: by the name of the call.
        overdue: what each further look for deadlines finds.
        due: the next deadline.
    """

    asked: dict[str, int] = field(default_factory=dict)
    told: list[Event] = field(default_factory=list)
    overdue: list[int] = field(default_factory=list)
    pruned: list[Pruned] = field(default_factory=list)
    due: datetime | None = None
    waits: bool = False
    entries: tuple[str, ...] = ()
    broken: bool = False

    def note(self, call: str) -> None:
        self.asked[call] = self.asked.get(call, 0) + 1
        if self.broken:
            raise StoreError(Code.STORE_UNAVAILABLE, "pushd.db", "is away")

    async def expire(self, now: datetime) -> int:
        assert now.tzinfo is UTC
        self.note("expire")
        return self.overdue.pop() if self.overdue else 0

    async def deadline(self) -> datetime | None:
        return self.due

    async def prune(self, now: datetime, retention: Retention) -> Pruned:
        assert (now.tzinfo, retention) == (UTC, KEPT)
        self.note("prune")
        return self.pruned.pop() if self.pruned else Pruned(jobs=0, events=0, more=False)

    async def oldest(self) -> datetime | None:
        return datetime.now(UTC) if self.waits else None

    async def spooled(self) -> Collection[str]:
        return ()

    async def unneeded(self, entries: Collection[str]) -> Collection[str]:
        self.note("unneeded")
        return entries

    # What other rooms are asked for.

    async def look(self, now: datetime) -> None:
        assert now.tzinfo is UTC
        self.note("look")

    async def sweep(self, now: datetime, bound: Collection[str]) -> None:
        assert (now.tzinfo, bound) == (UTC, ())
        self.note("sweep")

    async def discard(self, entry: str, reason: str) -> None:
        self.note(f"discard {entry}, {reason}")

    def watch(self) -> None:
        self.note("watch")

    def give_back(self) -> None:
        self.note("give_back")


class Clients:
    """The clients of registries, of which those nobody needs are let go."""

    def sweep(self) -> None:
        return


@asynccontextmanager
async def kept(house: House) -> AsyncIterator[Hub]:
    """Keep a house, and give where its news are told."""
    hub = Hub(house.told.append)
    keeping = Housekeeping(
        store=house,
        spool=cast("Spool", house),
        registries=cast("Registries", Clients()),
        hub=hub,
        budget=cast("Budget", house),
        emit=house.told.append,
        retention=KEPT,
        waiting=cast("Waiting", house),
        give_back=house.give_back,
    )
    async with anyio.create_task_group() as running:
        running.start_soon(keeping.run)
        yield hub
        running.cancel_scope.cancel()


async def until(house: House, call: str, times: int) -> None:
    with anyio.fail_after(5):
        while house.asked.get(call, 0) < times:  # noqa: ASYNC110 (what is waited for is no event)
            await anyio.sleep(0.001)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """While anything happens there is no pause to speak of; while nothing does, one longer than any test."""
    monkeypatch.setattr(housekeeping, "_DEADLINES", 0.001)
    monkeypatch.setattr(housekeeping, "_ROUND", 0.001)
    monkeypatch.setattr(housekeeping, "_BREATH", 0.0)


CHORES = ("expire", "prune", "sweep", "look")


async def test_where_nothing_happens_no_question_is_asked_again(quick: None) -> None:
    house = House()
    async with kept(house):
        await until(house, "give_back", 20)
    assert {chore: house.asked[chore] for chore in CHORES} == dict.fromkeys(CHORES, 1)
    assert house.asked["watch"] > 20, "the disk is filled by others as well"


async def test_after_any_news_every_chore_is_done_once_more(quick: None) -> None:
    house = House()
    async with kept(house) as hub:
        for chore in CHORES:
            await until(house, chore, 1)
        hub.publish([Event(JOB_SUBMITTED, datetime.now(UTC), "a")])
        for chore in CHORES:
            await until(house, chore, 2)
        await until(house, "give_back", house.asked["give_back"] + 20)
    assert {chore: house.asked[chore] for chore in CHORES} == dict.fromkeys(CHORES, 2)


async def test_a_deadline_that_nobody_tells_is_kept(quick: None) -> None:
    house = House(due=datetime.now(UTC) + timedelta(seconds=0.05))
    async with kept(house):
        await until(house, "expire", 2)
        assert datetime.now(UTC) >= house.due if house.due else False
    assert house.asked["prune"] == 1


async def test_while_jobs_wait_it_is_looked_how_long(quick: None) -> None:
    house = House(waits=True)
    async with kept(house):
        await until(house, "look", 5)
    assert house.asked["prune"] == 1


async def test_while_the_spool_holds_anything_it_is_looked_through(quick: None) -> None:
    house = House(entries=("entry",))
    async with kept(house):
        await until(house, "sweep", 5)
    assert house.asked["prune"] == 1


async def test_what_is_done_in_bites_is_done_to_the_end_at_once(quick: None) -> None:
    more = Pruned(jobs=2, events=5, more=True)
    house = House(overdue=[500, 500], pruned=[Pruned(jobs=1, events=0, more=False), more, more])
    async with kept(house):
        await until(house, "expire", 3)
        await until(house, "prune", 3)
        await until(house, "give_back", house.asked["give_back"] + 5)
    (pruned,) = [event for event in house.told if event.kind is JOBS_PRUNED]
    assert pruned.fields == {"jobs": 5, "events": 10}
    assert (house.asked["expire"], house.asked["prune"]) == (3, 3)


async def test_a_store_that_fails_is_told_and_asked_again(quick: None) -> None:
    house = House(broken=True)
    house.give_back = lambda: None  # type: ignore[method-assign]  # it is no question to the store
    house.watch = lambda: None  # type: ignore[method-assign]  # likewise
    async with kept(house):
        for chore in CHORES:
            await until(house, chore, 3)
    assert {event.kind for event in house.told} == {STORE_FAILED}


async def test_the_entry_of_a_job_that_ended_goes_at_once(quick: None) -> None:
    house = House(entries=("entry",))
    async with kept(house):
        await until(house, "discard entry, its job has ended", 1)
