"""What a house tells of its work: every event about a delivery names its registry, and what is slow is warned of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pushd.config import Retention
from pushd.push import transfer
from pushd.telemetry.events import (
    DELIVERY_SUCCEEDED,
    JOB_FINISHED,
    JOBS_PRUNED,
    QUEUE_OLD,
    REGISTRY_SLOW,
    REGISTRY_THROTTLED,
    TRANSFER_FINISHED,
    UPLOAD_INTERRUPTED,
)
from tests.fakes.faults import Answer, Stall
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.traffic import Kind
from tests.unit.push.conftest import Builder, source_of
from tests.unit.push.test_push import until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.fakes.registry import FakeRegistry


async def test_every_event_about_a_delivery_names_its_registry(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image")
    registry.misbehave(Answer(status=500), kind=Kind.COMMIT)
    async with house.run() as pushd:
        await pushd.push(source_of(layout), f"{registry.address}/team/app:1.4")
        about = [event for event in pushd.told if event.delivery is not None]
    assert len({event.kind for event in about}) >= 6
    assert {event.fields.get("registry") for event in about} == {registry.address}


async def test_one_line_at_the_end_of_each_says_everything(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000, 300_000])])
    async with house.run() as pushd:
        job = await pushd.push(source_of(layout), f"{registry.address}/team/app:1.4")
        (finished,) = pushd.events(JOB_FINISHED)
        (delivered,) = pushd.events(DELIVERY_SUCCEEDED)
        transfers = pushd.events(TRANSFER_FINISHED)
    for event in (finished, delivered, *transfers):
        assert event.fields.keys() == event.kind.fields
        assert event.fields["uid"] == job.uid
    assert finished.fields["sent"] == delivered.fields["sent"] == sum(int(it.fields["sent"] or 0) for it in transfers)
    assert finished.fields["uploaded"] == delivered.fields["uploaded"] == len(transfers) == 3


async def test_an_interruption_names_its_blob_and_its_destination_once(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image")
    registry.misbehave(Answer(status=429, headers={"Retry-After": "0"}), kind=Kind.OPEN)
    async with house.run() as pushd:
        await pushd.push(source_of(layout), f"{registry.address}/team/app:1.4")
        (told,) = pushd.events(UPLOAD_INTERRUPTED)
    assert told.message.count(str(told.fields["digest"])) == 1
    assert told.message.count(str(told.fields["destination"])) == 1
    assert "429" in told.message


async def test_a_registry_that_takes_long_to_store_a_blob_is_warned_of(
    house: Builder, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_SLOW", -1.0)
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000])])
    async with house.run() as pushd:
        await pushd.push(source_of(layout), f"{registry.address}/team/app:1.4")
        told = pushd.events(REGISTRY_SLOW)
    assert {event.fields["digest"] for event in told} == {
        str(blob.digest) for blob in (layout.images["latest"].layers[0], layout.images["latest"].config)
    }
    assert all(event.fields["registry"] == registry.address for event in told)


async def test_a_registry_that_takes_no_time_is_not(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "image")
    registry.misbehave(Answer(status=429, headers={"Retry-After": "1"}), kind=Kind.OPEN)
    async with house.run() as pushd:
        await pushd.push(source_of(layout), f"{registry.address}/team/app:1.4")
        assert pushd.events(REGISTRY_SLOW) == []
        (throttled,) = pushd.events(REGISTRY_THROTTLED)
    assert throttled.fields == {"registry": registry.address, "seconds": 1.0, "asked": True}


async def test_what_is_past_its_time_is_told_as_it_goes(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "image")
    async with house.run() as pushd:
        await pushd.push(source_of(layout), f"{registry.address}/team/app:1.4")
    none_kept = Builder(replace(house.config, retention=Retention(job_count=0)))
    async with none_kept.run() as pushd:
        await until(lambda: bool(pushd.events(JOBS_PRUNED)))
        (pruned,) = pushd.events(JOBS_PRUNED)
    assert pruned.fields["jobs"] == 1


async def test_a_job_that_waits_for_longer_than_configured_is_warned_of(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image")
    stalled = registry.misbehave(Stall(), kind=Kind.OPEN)
    async with house.run() as pushd:
        job = await pushd.submit(source_of(layout), f"{registry.address}/team/app:1.4")
        await until(lambda: stalled.acted == 1)
    impatient = Builder(replace(house.config, daemon=replace(house.config.daemon, queue_warning=0.0)))
    async with impatient.run() as pushd:
        await until(lambda: bool(pushd.events(QUEUE_OLD)))
        old = pushd.events(QUEUE_OLD)[0]
    assert (old.job, old.fields["jobs"]) == (job.id, 1)
