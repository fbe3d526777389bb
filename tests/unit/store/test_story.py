"""The store against a model of it: whatever is done in whatever order, daemon deaths included."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pushd.errors import Code, RequestError, StoreError
from pushd.job import DeliveryState, Tags, job_state
from pushd.store import open_store
from pushd.store.crashes import LIMIT
from pushd.telemetry.events import DELIVERY_REQUEUED, JOB_FINISHED
from pushd.work import JobQuery, Reach
from tests.unit.store.samples import (
    CANCELLED,
    FAILED,
    PLENTY,
    SUPERSEDED,
    THROTTLED,
    Clock,
    after,
    next_claim,
    submission,
    succeeded,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pushd.telemetry.events import Event
    from pushd.work import Claim

LIFETIME = 60.0
WAITING = (DeliveryState.QUEUED, DeliveryState.HELD, DeliveryState.PAUSED)
REGISTRIES = ("a.test", "b.test")
OUTCOMES = {
    DeliveryState.SUCCEEDED: succeeded(),
    DeliveryState.SUPERSEDED: SUPERSEDED,
    DeliveryState.FAILED: FAILED,
    DeliveryState.CANCELLED: CANCELLED,
}
Result = TypeVar("Result")


@dataclass
class Expected:
    """What the model knows of a delivery."""

    job: str
    destination: str
    priority: int
    uid: int
    begins: float
    deadline: float
    state: DeliveryState = DeliveryState.QUEUED
    together: bool = False
    ready: bool = False
    until: float = 0.0
    holds: int = 0
    crashes: int = 0

    @property
    def registry(self) -> str:
        return self.destination.partition("/")[0]


class Story(RuleBasedStateMachine):
    """Does whatever can be done with jobs and registries, dies in between; and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.moved = False  # whether a delivery succeeded in this life
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.now = 0.0
        self.published: list[Event] = []
        self.expected: dict[int, Expected] = {}
        self.jobs: list[str] = []
        self.claims: dict[int, Claim] = {}
        self.stale: list[Claim] = []
        self.tags: dict[str, int] = {}
        self.turns: dict[int, int] = {}
        self.paused: dict[str, float] = {}
        self.closed: set[str] = set()
        self.ends = 0  # how often a job ended
        self.over: set[str] = set()  # the jobs that were counted as ended, and are still
        self.decided: set[str] = set()  # the jobs whose tags move
        self.open()

    def run(self, coroutine: Coroutine[object, object, Result]) -> Result:
        return self.loop.run_until_complete(coroutine)

    def open(self) -> None:
        self.store = self.run(open_store(Path(self.folder.name), publish=self.published.extend, clock=self.clock))

    def teardown(self) -> None:
        self.run(self.store.close())
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()

    @rule(
        registries=st.lists(st.sampled_from(REGISTRIES), min_size=1, max_size=3),
        priority=st.integers(-1, 1),
        uid=st.integers(1, 3),
        wait=st.sampled_from([0, 0, 15]),
        tags=st.sampled_from(Tags),
    )
    def submit(self, registries: list[str], priority: int, uid: int, wait: int, tags: Tags) -> None:
        name = f"job{len(self.jobs)}"
        destinations = [f"{registry}/app:{number}" for number, registry in enumerate(registries)]
        asked = submission(
            name, *destinations, priority=priority, uid=uid, at=self.clock.now, deadline=LIFETIME, tags=tags,
            not_before=after(self.now + wait) if wait else None,
        )  # fmt: skip
        job = self.run(self.store.submit(asked, limit=PLENTY))
        self.jobs.append(name)
        for delivery, destination in zip(job.deliveries, destinations, strict=True):
            begins = self.now + wait
            one = Expected(name, destination, priority, uid, begins, begins + LIFETIME)
            one.together = tags is Tags.TOGETHER and len(destinations) > 1
            self.expected[delivery.id] = one
            self.place(one)

    @rule(free=st.dictionaries(st.sampled_from(REGISTRIES), st.integers(0, 1)), default=st.integers(0, 1))
    def claim(self, free: dict[str, int], default: int) -> None:
        claim = self.run(next_claim(self.store, after(self.now), free=free, default=default))
        assert (None if claim is None else claim.delivery_id) == self.next(free, default)
        if claim is not None:
            one = self.expected[claim.delivery_id]
            one.state = DeliveryState.RUNNING
            self.turns[one.uid] = max(self.turns.values(), default=0) + 1
            assert claim.uid == one.uid
            assert claim.tries == one.holds + 1
            whole = Reach.TAG if one.job in self.decided else Reach.READY
            assert claim.reach is (whole if one.together else Reach.WHOLE)
            self.claims[claim.delivery_id] = claim

    def next(self, free: dict[str, int], default: int) -> int | None:
        """Say which delivery is claimed next: tags that move, places or no places, and then whatever may run."""
        queued = {
            number: one
            for number, one in self.expected.items()
            if one.state is DeliveryState.QUEUED and one.registry not in self.closed
        }
        moving = [number for number, one in queued.items() if one.ready]
        if moving:
            return min(moving)
        for number, one in self.expected.items():
            if one.state is DeliveryState.HELD and one.until <= self.now:
                one.state = DeliveryState.QUEUED
                if one.registry not in self.closed:
                    queued[number] = one
        may_run = [
            (-one.priority, self.turns.get(one.uid, 0), number)
            for number, one in queued.items()
            if free.get(one.registry, default) > 0
        ]
        return min(may_run, default=(0, 0, None))[2]

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), seconds=st.integers(-5, 30))
    def hold(self, data: st.DataObject, seconds: int) -> None:
        claim = self.claims.pop(data.draw(st.sampled_from(sorted(self.claims))))
        self.run(self.store.hold(claim, after(self.now + seconds), THROTTLED))
        one = self.expected[claim.delivery_id]
        one.state, one.until = DeliveryState.HELD, self.now + seconds
        if one.job in self.paused:
            one.state = DeliveryState.PAUSED
        one.holds, one.crashes = one.holds + 1, 0
        self.settle(one.job)
        self.stale.append(claim)

    @precondition(lambda self: self.unready())
    @rule(data=st.data())
    def become_ready(self, data: st.DataObject) -> None:
        claim = self.claims.pop(data.draw(st.sampled_from(self.unready())))
        self.run(self.store.ready(claim, after(self.now)))
        one = self.expected[claim.delivery_id]
        if self.tags.get(claim.destination, 0) > claim.delivery_id:
            one.state = DeliveryState.SUPERSEDED
        else:
            one.ready, one.crashes, self.moved = True, 0, True
            self.place(one)
        self.settle(one.job)
        self.stale.append(claim)

    def unready(self) -> list[int]:
        """Give what runs up to its tag."""
        return [
            number
            for number in sorted(self.claims)
            if self.expected[number].together and self.expected[number].job not in self.decided
        ]

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        claim = self.claims.pop(data.draw(st.sampled_from(sorted(self.claims))))
        self.run(self.store.release(claim))
        self.place(self.expected[claim.delivery_id])
        self.settle(self.expected[claim.delivery_id].job)
        self.stale.append(claim)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def tag(self, data: st.DataObject) -> None:
        claim = self.claims[data.draw(st.sampled_from(sorted(self.claims)))]
        newest = max(claim.delivery_id, self.tags.get(claim.destination, 0))
        assert self.run(self.store.tagging(claim)) == (newest == claim.delivery_id)
        self.tags[claim.destination] = newest

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), state=st.sampled_from(sorted(OUTCOMES)))
    def finish(self, data: st.DataObject, state: DeliveryState) -> None:
        claim = self.claims.pop(data.draw(st.sampled_from(sorted(self.claims))))
        one = self.expected[claim.delivery_id]
        if one.together and one.job not in self.decided and state is DeliveryState.SUCCEEDED:
            state = DeliveryState.FAILED  # it has not moved its tag yet
        in_vain = self.run(self.store.finish(claim, OUTCOMES[state], after(self.now)))
        one.state = state
        self.settle(one.job)
        lost = one.together and one.job not in self.decided and self.lost(one.job)
        running = [number for number in self.of(one.job) if number in self.claims]
        assert sorted(in_vain) == (sorted(running) if lost else [])
        self.moved = self.moved or state is DeliveryState.SUCCEEDED
        self.stale.append(claim)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.jobs))
        running = self.run(self.store.cancel(name, after(self.now)))
        mine = self.of(name)
        assert set(running) == {number for number, one in mine.items() if one.state is DeliveryState.RUNNING}
        waiting = [one for one in mine.values() if one.state in WAITING]
        for one in waiting:
            one.state = DeliveryState.CANCELLED
        self.settle(name)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.jobs))
        mine = self.of(name)
        if name in self.ended:
            with pytest.raises(RequestError):
                self.run(self.store.pause(name, after(self.now), by=0))
            return
        running = self.run(self.store.pause(name, after(self.now), by=0))
        assert set(running) == {number for number, one in mine.items() if one.state is DeliveryState.RUNNING}
        self.paused.setdefault(name, self.now)
        for one in mine.values():
            if one.state in WAITING:
                self.place(one)

    @precondition(lambda self: self.paused)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.paused)))
        self.run(self.store.resume(name, after(self.now), by=0))
        since = self.paused.pop(name)
        for one in self.of(name).values():
            one.deadline += self.now - since
            if one.state is DeliveryState.PAUSED:
                self.place(one)
        self.settle(name)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.jobs))
        lost = [one for one in self.of(name).values() if one.state in (DeliveryState.FAILED, DeliveryState.CANCELLED)]
        assert self.run(self.store.retry(name, after(self.now), by=0)) == len(lost)
        if not lost:
            return
        for one in self.of(name).values():
            one.deadline = max(self.paused.get(name, self.now), one.begins) + LIFETIME
        self.over.discard(name)
        for one in lost:
            one.holds = one.crashes = 0
            one.ready = one.ready and name in self.decided
            self.place(one)
        self.settle(name)

    @rule()
    def expire(self) -> None:
        overdue = [
            one
            for one in self.expected.values()
            if one.state in (DeliveryState.QUEUED, DeliveryState.HELD) and one.deadline <= self.now
        ]
        assert self.run(self.store.expire(after(self.now))) == len(overdue)
        for one in overdue:
            one.state = DeliveryState.FAILED
        for name in {one.job for one in overdue}:
            self.settle(name)

    @rule(registry=st.sampled_from(REGISTRIES), closes=st.booleans())
    def close_or_open_a_registry(self, registry: str, closes: bool) -> None:
        if closes:
            running = self.run(self.store.pause_registry(registry, after(self.now), by=0))
            assert list(running) == [
                number for number in sorted(self.claims) if self.expected[number].registry == registry
            ]
            self.closed.add(registry)
        else:
            self.run(self.store.resume_registry(registry, after(self.now), by=0))
            self.closed.discard(registry)
            for name in self.jobs:
                self.settle(name)
        assert set(self.run(self.store.paused_registries())) == self.closed

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def write_with_a_lost_claim(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.stale))
        with pytest.raises(StoreError) as refused:
            self.run(self.store.finish(claim, FAILED, after(self.now)))
        assert refused.value.code is Code.STORE_CLAIM_LOST

    @rule(seconds=st.integers(1, 20))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        self.clock.pass_time(seconds)

    @rule()
    def die_and_live_again(self) -> None:
        self.run(self.store.close())
        told = len(self.published)
        self.open()
        queued = []
        for number in sorted(self.claims):
            one = self.expected[number]
            one.crashes = 0 if self.moved else one.crashes + 1
            if one.crashes < LIMIT:
                self.place(one)
                queued += [number] if one.state is DeliveryState.QUEUED else []
            else:
                one.state = DeliveryState.FAILED
            self.settle(one.job)
        self.moved = False
        requeued = [event.delivery for event in self.published[told:] if event.kind is DELIVERY_REQUEUED]
        assert requeued == queued
        assert self.store.requeued == len(requeued)
        self.stale.extend(self.claims.values())
        self.claims.clear()

    def of(self, name: str) -> dict[int, Expected]:
        return {number: one for number, one in self.expected.items() if one.job == name}

    def place(self, one: Expected) -> None:
        """Let it wait where its job lets it."""
        one.state, one.until = DeliveryState.QUEUED, one.begins
        if one.begins > self.now:
            one.state = DeliveryState.HELD
        if one.ready and one.job not in self.decided:
            one.state, one.until = DeliveryState.HELD, one.deadline
        if one.job in self.paused:
            one.state = DeliveryState.PAUSED

    def settle(self, name: str) -> None:
        """Do to the others of a job what is done where tags move together, and count its end, if it is one."""
        mine = self.of(name).values()
        waiting = [one for one in mine if one.state in WAITING]
        if all(one.together for one in mine) and name not in self.decided:
            alive = [one for one in mine if not one.state.terminal]
            shut = name in self.paused or any(one.registry in self.closed for one in alive)
            if self.lost(name):
                for one in waiting:
                    one.state = DeliveryState.FAILED
            elif alive and all(one.ready for one in alive) and not shut:
                self.decided.add(name)
                for one in waiting:
                    self.place(one)
        if name in self.ended and name not in self.over:
            self.ends += 1
            self.over.add(name)
            self.paused.pop(name, None)

    def lost(self, name: str) -> bool:
        return any(one.state in (DeliveryState.FAILED, DeliveryState.CANCELLED) for one in self.of(name).values())

    @property
    def ended(self) -> set[str]:
        return {name for name in self.jobs if all(one.state.terminal for one in self.of(name).values())}

    @invariant()
    def the_database_says_what_happened(self) -> None:
        jobs = self.run(self.store.list(JobQuery(limit=1000)))
        assert [job.id for job in jobs] == self.jobs[::-1]
        for job in jobs:
            states = [delivery.state for delivery in job.deliveries]
            assert states == [self.expected[delivery.id].state for delivery in job.deliveries]
            assert job.state is job_state(states)
            assert (job.finished_at is not None) == job.state.terminal
            assert (job.paused_at is not None) == (job.id in self.paused)
            assert (job.ready_at is not None) == (job.id in self.decided)
            assert [one.ready for one in job.deliveries] == [one.ready for one in self.of(job.id).values()]
            assert {after(one.deadline) for one in self.of(job.id).values()} == {job.deadline_at}

    @invariant()
    def what_is_counted_is_what_there_is(self) -> None:
        for uid in (None, 1, 2, 3):
            waiting = [one for one in self.expected.values() if not one.state.terminal and uid in (None, one.uid)]
            assert self.run(self.store.queue(uid)) == {
                registry: {
                    state: sum(one.registry == registry and one.state == state for one in waiting)
                    for state in ("queued", "running", "held", "paused")
                }
                for registry in {one.registry for one in waiting}
            }
        for uid, count in self.run(self.unfinished()).items():
            assert count == len({one.job for one in self.expected.values() if one.uid == uid} - self.ended)

    async def unfinished(self) -> dict[int, int]:
        return await self.store._reads.send(
            lambda connection: dict(connection.execute("SELECT uid, unfinished FROM submitters").fetchall())
        )

    @invariant()
    def what_was_published_is_what_was_written(self) -> None:
        assert self.run(self.store.events(0, limit=10_000)) == tuple(self.published)
        numbers = [event.seq or 0 for event in self.published]
        assert numbers == list(range(1, len(numbers) + 1))
        ended = [str(event.job) for event in self.published if event.kind is JOB_FINISHED]
        assert len(ended) == self.ends
        assert self.ended <= set(ended)
        uids = {one.job: one.uid for one in self.expected.values()}
        assert all(event.uid == (None if event.job is None else uids[event.job]) for event in self.published)


Story.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # each step waits for the disk, as it must
)
test_a_story_of_any_order_agrees_with_its_model = Story.TestCase
