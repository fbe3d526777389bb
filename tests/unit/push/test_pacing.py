"""A whole push with limits to its bandwidth, in one process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushd.job import JobState, TransferState
from pushd.oci.upload import Form
from pushd.registry.profiles import PROFILES
from pushd.service.reload import reconfigure
from pushd.telemetry.events import TRANSFER_FINISHED, UPLOAD_COMMITTED, UPLOAD_INTERRUPTED
from tests.fakes.callers import ROOT
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.registry import FakeRegistry
from tests.unit.push.test_push import until

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.job import Job
    from tests.unit.push.conftest import Builder, Pushed

KIB = 1 << 10
MIB = 1 << 20


def image_of(tmp_path: Path, *layers: int) -> str:
    return f"oci:{build_layout(tmp_path / 'image', [ImageSpec(layers=layers)]).path}"


def reload(pushd: Pushed, builder: Builder) -> None:
    reconfigure(pushd.house, builder.config, {}, profiles=PROFILES, emit=pushd.told.append)


async def waiting_for_bandwidth(pushd: Pushed, source: str, destination: str) -> Job:
    """Submit a job, and wait until it waits for bandwidth."""
    job = await pushd.submit(source, destination)
    await until(lambda: pushd.house.bandwidth.waiting)
    return job


@pytest.mark.parametrize("form", [Form.CHUNKED, Form.STREAMED, Form.MONOLITHIC])
async def test_what_is_sent_takes_as_long_as_the_limit_says(
    house: Builder, registry: FakeRegistry, tmp_path: Path, form: Form
) -> None:
    source = image_of(tmp_path, MIB)
    limited = house.with_limits(bandwidth=512 * KIB).with_registry(registry.address, upload=form)
    async with limited.run() as pushd:
        started = time.monotonic()
        job = await pushd.push(source, f"{registry.address}/team/app:1")
        seconds = time.monotonic() - started
    assert job.state is JobState.SUCCEEDED
    assert seconds >= 1.2
    stored = [event.fields["seconds"] for event in pushd.events(UPLOAD_COMMITTED)]
    assert max(float(str(it)) for it in stored) < seconds / 2, "that we hold back is not the registry's commit"


async def test_a_registry_has_a_limit_of_its_own_and_no_other_is_held_up_by_it(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    source = image_of(tmp_path, MIB)
    async with FakeRegistry() as other, house.with_registry(registry.address, bandwidth=512 * KIB).run() as pushd:
        started = time.monotonic()
        job = await pushd.push(source, f"{registry.address}/team/app:1", f"{other.address}/team/app:1")
        seconds = time.monotonic() - started
    assert job.state is JobState.SUCCEEDED
    assert seconds >= 1.2
    held_back, free = job.deliveries
    assert held_back.finished_at is not None
    assert free.finished_at is not None
    assert free.finished_at < held_back.finished_at


async def test_that_we_hold_back_is_no_stall_of_the_registry(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    source = image_of(tmp_path, 4000)
    impatient = house.with_limits(bandwidth=2 * KIB).with_timeouts(stall=0.2)  # half a second for each part
    async with impatient.run() as pushd:
        job = await pushd.push(source, f"{registry.address}/team/app:1")
    assert job.state is JobState.SUCCEEDED
    assert pushd.events(UPLOAD_INTERRUPTED) == []


async def test_a_reload_lifts_a_limit_for_what_is_under_way(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    source = image_of(tmp_path, MIB)
    limited = house.with_limits(bandwidth=4 * KIB).with_registry(registry.address, bandwidth=KIB)
    async with limited.run() as pushd:
        job = await waiting_for_bandwidth(pushd, source, f"{registry.address}/team/app:1")
        reload(pushd, house)
        job = await pushd.ended(job)  # a quarter of an hour, if it went on as it began
    assert job.state is JobState.SUCCEEDED
    assert [delivery.attempt for delivery in job.deliveries] == [1]


async def test_a_reload_sets_a_limit_for_what_comes(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    async with house.run() as pushd:
        reload(pushd, house.with_registry(registry.address, bandwidth=KIB))
        await waiting_for_bandwidth(pushd, image_of(tmp_path, MIB), f"{registry.address}/team/app:1")


async def test_who_is_cancelled_waits_for_no_bandwidth(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    async with house.with_limits(bandwidth=KIB).run() as pushd:
        job = await waiting_for_bandwidth(pushd, image_of(tmp_path, MIB), f"{registry.address}/team/app:1")
        await pushd.house.engine.cancel(job.id, caller=ROOT)
        async with asyncio.timeout(30):
            job = await pushd.ended(job)
        await until(lambda: not pushd.house.bandwidth.waiting)
    assert job.state is JobState.CANCELLED


async def test_a_drain_ends_although_there_is_hardly_any_bandwidth_and_the_next_life_goes_on(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    async with house.with_limits(bandwidth=KIB).run() as pushd:
        job = await waiting_for_bandwidth(pushd, image_of(tmp_path, MIB), f"{registry.address}/team/app:1")
        async with asyncio.timeout(30):
            await pushd.house.scheduler.drain(0.5)
    async with house.run() as pushd:
        job = await pushd.ended(job)
    assert job.state is JobState.SUCCEEDED


async def test_a_drain_waits_for_a_chunk_that_moves_as_slowly_as_it_may(
    house: Builder, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushd.push.scheduler._STILL", 0.5)  # a chunk takes one and a half seconds
    chunked = house.with_registry(registry.address, upload=Form.CHUNKED, chunk_size=96 * KIB)
    async with replace(chunked).with_limits(bandwidth=64 * KIB).run() as pushd:
        job = await waiting_for_bandwidth(pushd, image_of(tmp_path, MIB), f"{registry.address}/team/app:1")
        await pushd.house.scheduler.drain(20)
    async with chunked.run() as pushd:
        job = await pushd.ended(job)
    assert job.state is JobState.SUCCEEDED
    (layer,) = [it for it in pushd.events(TRANSFER_FINISHED) if it.fields["state"] == str(TransferState.UPLOADED)]
    assert layer.fields["resumed"] == 96 * KIB
