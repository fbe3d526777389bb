"""Jobs that wait for too long are told of while that lasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from pushd.push.waiting import Waiting
from pushd.telemetry.events import QUEUE_OLD
from pushd.work import Late

if TYPE_CHECKING:
    from pushd.push.ports.store import JobStore
    from pushd.telemetry.events import Event

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


class Queue:
    """A store with one old job, or none."""

    def __init__(self, since: datetime | None) -> None:
        self.since = since
        self.asked: list[datetime] = []

    async def late(self, before: datetime) -> Late | None:
        self.asked.append(before)
        return None if self.since is None or self.since > before else Late(oldest="a", since=self.since, jobs=3)


@pytest.fixture
def told() -> list[Event]:
    return []


def waiting(queue: Queue, told: list[Event]) -> Waiting:
    return Waiting(store=cast("JobStore", queue), emit=told.append, limit=600)


def minutes(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


async def test_a_job_that_waits_for_longer_than_it_may_is_told_with_how_many_do(told: list[Event]) -> None:
    queue = Queue(NOON)
    await waiting(queue, told).look(minutes(11))
    assert queue.asked == [minutes(1)]
    (event,) = told
    assert (event.kind, event.at, event.job) == (QUEUE_OLD, minutes(11), "a")
    assert event.fields == {"jobs": 3, "limit": 600, "seconds": 660}


async def test_one_that_waits_on_is_told_again_only_after_as_long_a_time(told: list[Event]) -> None:
    watch = waiting(Queue(NOON), told)
    for minute in range(9, 32):
        await watch.look(minutes(minute))
    assert [event.at for event in told] == [minutes(10), minutes(20), minutes(30)]


async def test_where_none_waits_nothing_is_said_and_the_next_one_is_told_at_once(told: list[Event]) -> None:
    queue = Queue(NOON)
    watch = waiting(queue, told)
    await watch.look(minutes(10))
    queue.since = None
    await watch.look(minutes(11))
    queue.since = NOON
    await watch.look(minutes(12))
    assert [event.at for event in told] == [minutes(10), minutes(12)]
