"""How everything stands is read from the rooms that know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from pushd.config import Disk
from pushd.push.gauges import Gauges
from pushd.push.progress import Progress
from pushd.telemetry.standing import AtRegistry, Standing
from tests.fakes.callers import ROOT
from tests.fakes.images import ImageSpec, build_layout

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.service.compose import House
    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.unit.push.conftest import Builder

NONE = {"queued": 0, "running": 0, "held": 0, "paused": 0}


def gauges(house: House) -> Gauges:
    engine = house.engine
    return Gauges(
        store=house.store,
        spool=house.spool,
        places=house.places,
        gates=engine.gates,
        board=house.board,
        budget=house.budget,
        feed=engine.feed,
    )


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "image", [ImageSpec(tag="1", layers=[1000])])


async def test_a_daemon_at_rest_has_nothing_to_say_of_any_registry(house: Builder) -> None:
    async with house.run() as pushd:
        standing = await gauges(pushd.house).read()

    assert standing == Standing(
        registries={},
        spool=0,
        database=standing.database,
        free=standing.free,
        refusing=(),
        streams=0,
    )
    assert standing.database > 0
    assert standing.free > 0


async def test_what_waits_is_told_with_its_age(house: Builder, layout: Layout) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry("localhost:1", caller=ROOT)
        await pushd.submit(f"oci:{layout.path}:1", "localhost:1/app:1", "localhost:1/app:2")
        standing = await gauges(pushd.house).read()

    it = standing.registries["localhost:1"]
    assert it == AtRegistry(states={**NONE, "queued": 2}, age=it.age, paused=True)
    assert 0 <= it.age < 60


async def test_what_was_sent_is_told_when_nothing_is_left_of_the_job(
    house: Builder, layout: Layout, registry: FakeRegistry
) -> None:
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}:1", f"{registry.address}/app:1")
        standing = await gauges(pushd.house).read()

    it = standing.registries[registry.address]
    assert (it.states, it.age, it.uploads) == ({}, 0, 0)
    assert it.sent > 1000


async def test_uploads_throughput_throttling_and_readers_are_told(house: Builder) -> None:
    async with house.run() as pushd:
        it = pushd.house
        entry = Progress("job", 1, "a.test/app:1", "sha256:0", 10, registry="a.test")
        it.board.count(entry, 5000, anyio.current_time() - 2)
        it.engine.gates.of("b.test").refused(30.0)
        async with it.places.place("c.test", 10), it.places.place("c.test", 10 << 20):
            stream = it.engine.events(after=0, job_id=None, follow=True, caller=ROOT)
            await anext(aiter(stream))
            standing = await gauges(it).read()
            await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
        after = await gauges(it).read()

    assert standing.registries["a.test"] == AtRegistry(sent=5000, rate=1000)
    assert 25 < standing.registries["b.test"].throttled <= 30
    assert standing.registries["c.test"] == AtRegistry(uploads=2)
    assert (standing.streams, after.streams) == (1, 0)
    assert "c.test" not in after.registries


async def test_what_is_refused_for_want_of_disk_is_told(house: Builder) -> None:
    async with house.run() as pushd:
        pushd.house.budget.configure(budget=1, reserve=Disk().reserve)
        standing = await gauges(pushd.house).read()

    assert set(standing.refusing) == {"spool", "jobs"}
