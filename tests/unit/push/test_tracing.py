"""A caller's trace goes with their job: into its events, through the lives of the daemon, and on to registries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.telemetry.events import JOB_SUBMITTED
from pushd.telemetry.trace import REQUEST_ID, TRACEPARENT
from tests.fakes.faults import Stall
from tests.fakes.images import build_layout
from tests.fakes.traffic import Kind
from tests.unit.push.conftest import source_of
from tests.unit.push.test_push import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.registry import FakeRegistry
    from tests.unit.push.conftest import Builder

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def traced() -> Iterator[None]:
    """What the API sets while it answers."""
    known, traced = REQUEST_ID.set("build-4711"), TRACEPARENT.set(f"00-{TRACE}-{SPAN}-01")
    yield
    TRACEPARENT.reset(traced)
    REQUEST_ID.reset(known)


def spans(registry: FakeRegistry) -> list[list[str]]:
    """Give the parts of the `traceparent` of every request that had one."""
    return [seen.headers["traceparent"].split("-") for seen in registry.requests if "traceparent" in seen.headers]


async def test_a_job_in_a_trace_tells_it_in_its_events_and_to_its_registry(
    house: Builder, registry: FakeRegistry, tmp_path: Path, traced: None
) -> None:
    layout = build_layout(tmp_path / "image")
    async with house.run() as pushd:
        job = await pushd.push(source_of(layout), f"{registry.address}/team/app:1.4")
        stored = await pushd.house.store.events(0, job_id=job.id)
        about = [event for event in pushd.told if event.job == job.id]
        (submitted,) = pushd.events(JOB_SUBMITTED)
    assert {event.trace for event in about} == {event.trace for event in stored} == {TRACE}
    assert submitted.fields["request_id"] == "build-4711"
    told = spans(registry)
    assert len(told) == len(registry.requests)
    assert {(version, trace, flags) for version, trace, _, flags in told} == {("00", TRACE, "01")}
    assert len({span for _, _, span, _ in told} | {SPAN}) == len(told) + 1, "each request is a span of its own"


async def test_a_job_in_no_trace_tells_none(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "image")
    async with house.run() as pushd:
        await pushd.push(source_of(layout), f"{registry.address}/team/app:1.4")
        assert {event.trace for event in pushd.told} == {None}
    assert spans(registry) == []


async def test_a_trace_goes_on_in_the_daemons_next_life(
    house: Builder, registry: FakeRegistry, tmp_path: Path, traced: None
) -> None:
    layout = build_layout(tmp_path / "image")
    stalled = registry.misbehave(Stall(), kind=Kind.OPEN)
    async with house.run() as pushd:
        job = await pushd.submit(source_of(layout), f"{registry.address}/team/app:1.4")
        await until(lambda: stalled.acted == 1)
    TRACEPARENT.set(None)
    before = len(registry.requests)
    async with house.run() as pushd:
        await pushd.ended(job)
        assert {event.trace for event in pushd.told if event.job == job.id} == {TRACE}
    assert {parts[1] for parts in spans(registry)} == {TRACE}
    assert len(registry.requests) > before
