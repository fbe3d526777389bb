"""Tags that move together, in one process: everything is everywhere first, then all tags move, or none does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest

from pushd.errors import Code
from pushd.job import ABSENT, DeliveryState, JobSpec, JobState, Tags, Verify
from pushd.telemetry.events import (
    DELIVERY_HELD,
    DELIVERY_READY,
    DELIVERY_STARTED,
    DELIVERY_SUPERSEDED,
    JOB_READY,
    MANIFEST_PUT,
    UPLOAD_CHUNK,
)
from tests.fakes.behaviour import DISTRIBUTION_2, Behaviour
from tests.fakes.callers import ROOT
from tests.fakes.faults import Answer, Delay, SlowBody, Stall, When
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.registry import FakeRegistry
from tests.fakes.traffic import Kind
from tests.unit.push.test_push import MIB, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pushd.job import Job
    from tests.fakes.images import Layout
    from tests.unit.push.conftest import Builder, Pushed

DENIED = Answer(status=403)


@pytest.fixture
async def other() -> AsyncIterator[FakeRegistry]:
    """Give a second registry."""
    async with FakeRegistry() as fake:
        yield fake


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Give a small image."""
    return build_layout(tmp_path / "image", [ImageSpec(layers=[1000, 5000])])


def spec(layout: Layout, *destinations: str, **more: object) -> JobSpec:
    asked = JobSpec(source=f"oci:{layout.path}", destinations=destinations, tags=Tags.TOGETHER)
    return replace(asked, **more)  # type: ignore[arg-type]  # the test names real fields


def digest_of(layout: Layout) -> str:
    return str(layout.image.root.digest)


async def now(pushd: Pushed, job: Job) -> Job:
    return await pushd.house.engine.get(job.id, caller=ROOT)


@pytest.mark.parametrize("platforms", [["linux/amd64"], ["linux/amd64", "linux/arm64"]], ids=["image", "index"])
async def test_no_tag_moves_before_everything_is_everywhere_and_then_all_do(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, tmp_path: Path, platforms: list[str]
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000, 5000], platforms=platforms)])
    there = f"{other.address}/team/app:1"
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        job = await pushd.take(
            spec(layout, f"{registry.address}/team/app:1", f"{registry.address}/team/app:latest", there)
        )
        await until(lambda: len(pushd.events(DELIVERY_READY)) == 2)
        shelf = registry.repository("team/app")
        assert (shelf.tags, digest_of(layout) in shelf.manifests) == ({}, True)
        waiting = await now(pushd, job)
        before = registry.count()
        await anyio.sleep(0.1)
        assert registry.count() == before, "who waits asks nothing"

        await pushd.house.engine.resume_registry(other.address, caller=ROOT)
        job = await pushd.ended(job)

    assert [(one.state, one.ready) for one in waiting.deliveries] == [
        (DeliveryState.HELD, True), (DeliveryState.HELD, True), (DeliveryState.QUEUED, False),
    ]  # fmt: skip
    assert (job.state, job.ready_at is not None) == (JobState.SUCCEEDED, True)
    assert registry.repository("team/app").tags == {"1": digest_of(layout), "latest": digest_of(layout)}
    assert other.repository("team/app").tags == {"1": digest_of(layout)}
    (decided,) = pushd.events(JOB_READY)
    assert decided.seq is not None
    put = [event for event in pushd.told if event.kind is MANIFEST_PUT and event.fields["tag"] is not None]
    assert len(put) == 3
    assert pushd.told.index(decided) < min(map(pushd.told.index, put))


async def test_to_move_a_tag_it_is_asked_for_and_put_and_read_back(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        job = await pushd.take(spec(layout, f"{registry.address}/team/app:1", f"{other.address}/team/app:1"))
        await until(lambda: pushd.events(DELIVERY_READY))
        before = registry.count()
        await pushd.house.engine.resume_registry(other.address, caller=ROOT)
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED
    assert [(seen.method, seen.reference) for seen in registry.requests[before:]] == [
        ("HEAD", digest_of(layout)), ("HEAD", "1"), ("PUT", "1"), ("HEAD", "1"),
    ]  # fmt: skip


async def test_one_destination_is_as_always(house: Builder, registry: FakeRegistry, layout: Layout) -> None:
    async with house.run() as pushd:
        job = await pushd.ended(await pushd.take(spec(layout, f"{registry.address}/team/app:1")))
    assert job.state is JobState.SUCCEEDED
    assert registry.count(Kind.MANIFEST, method="PUT") == 1
    assert pushd.events(DELIVERY_READY) == pushd.events(JOB_READY) == []


# ---------------------------------------------------------------------------------------------------------- one of them


async def test_where_one_refuses_no_tag_moves_and_a_retry_sends_nothing_again(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout
) -> None:
    other.misbehave(DENIED, kind=Kind.OPEN)
    here, there = f"{registry.address}/team/app:1", f"{other.address}/team/app:1"
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        job = await pushd.take(spec(layout, here, there))
        await until(lambda: pushd.events(DELIVERY_READY))
        await pushd.house.engine.resume_registry(other.address, caller=ROOT)
        failed = await pushd.ended(job)
        assert registry.repository("team/app").tags == {}
        sent = registry.count(Kind.COMMIT)
        await pushd.house.engine.retry(job.id, caller=ROOT)
        job = await pushd.ended(job)

    assert failed.state is JobState.FAILED
    ready, refused = [delivery.failure for delivery in failed.deliveries]
    assert ready is not None
    assert refused is not None
    assert (ready.code, refused.code) == (Code.REQUEST_TOGETHER, Code.REGISTRY_DENIED)
    assert there in ready.message
    assert refused.message in ready.message
    assert job.state is JobState.SUCCEEDED
    assert registry.count(Kind.COMMIT) == sent, "it was all there"
    assert registry.repository("team/app").tags == other.repository("team/app").tags == {"1": digest_of(layout)}


async def test_what_still_runs_when_one_refuses_stops_at_its_next_boundary_and_is_resumed_by_a_retry(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, tmp_path: Path
) -> None:
    large = build_layout(tmp_path / "large", [ImageSpec(layers=[12 * MIB])])
    slow = registry.misbehave(SlowBody(rate=16 * MIB), kind=Kind.CHUNK, times=None)
    other.misbehave(DENIED, kind=Kind.OPEN)
    async with house.with_registry(registry.address, chunk_size=2 * MIB).run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        job = await pushd.take(spec(large, f"{registry.address}/team/app:1", f"{other.address}/team/app:1"))
        await until(lambda: len(pushd.events(UPLOAD_CHUNK)) >= 2)
        await pushd.house.engine.resume_registry(other.address, caller=ROOT)
        failed = await pushd.ended(job)
        chunks = slow.acted
        await pushd.house.engine.retry(job.id, caller=ROOT)
        job = await pushd.ended(job)

    assert [one.failure and one.failure.code for one in failed.deliveries] == [
        Code.REQUEST_TOGETHER, Code.REGISTRY_DENIED,
    ]  # fmt: skip
    assert chunks < 6, "it did not run to its end in vain"
    assert job.state is JobState.SUCCEEDED
    assert registry.received < 14 * MIB, "what was there was not sent again"


async def test_what_still_runs_when_all_of_a_registry_is_cancelled_stops_as_well(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, tmp_path: Path
) -> None:
    large = build_layout(tmp_path / "large", [ImageSpec(layers=[12 * MIB])])
    slow = registry.misbehave(SlowBody(rate=16 * MIB), kind=Kind.CHUNK, times=None)
    async with house.with_registry(registry.address, chunk_size=2 * MIB).run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        job = await pushd.take(spec(large, f"{registry.address}/team/app:1", f"{other.address}/team/app:1"))
        await until(lambda: len(pushd.events(UPLOAD_CHUNK)) >= 2)
        await pushd.house.engine.cancel_registry(other.address, caller=ROOT)
        job = await pushd.ended(job)
    assert [one.state for one in job.deliveries] == [DeliveryState.FAILED, DeliveryState.CANCELLED]
    assert slow.acted < 6, "it did not run to its end in vain"


async def test_a_destination_that_has_the_image_is_ready_and_its_tag_is_not_put(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        put = registry.count(Kind.MANIFEST, method="PUT")
        job = await pushd.take(spec(layout, f"{registry.address}/team/app:1", f"{other.address}/team/app:1"))
        job = await pushd.ended(job)
    assert job.state is JobState.SUCCEEDED
    assert registry.count(Kind.MANIFEST, method="PUT") == put
    assert len(pushd.events(DELIVERY_READY)) == 2


async def test_destinations_that_are_digests_are_put_by_those(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        here = f"{registry.address}/team/app@{digest_of(layout)}"
        job = await pushd.ended(await pushd.take(spec(layout, here, f"{other.address}/team/app:1")))
    assert job.state is JobState.SUCCEEDED
    assert registry.repository("team/app").tags == {}
    assert registry.count(Kind.MANIFEST, method="PUT") == 1


async def test_one_whose_tag_a_newer_job_put_stays_as_that_left_it_and_the_others_move(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout, tmp_path: Path
) -> None:
    newer = build_layout(tmp_path / "newer", [ImageSpec(layers=[2000])])
    here, there = f"{registry.address}/team/app:1", f"{other.address}/team/app:1"
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        older = await pushd.take(spec(layout, here, there))
        await until(lambda: pushd.events(DELIVERY_READY))
        assert (await pushd.push(f"oci:{newer.path}", here)).state is JobState.SUCCEEDED
        await pushd.house.engine.resume_registry(other.address, caller=ROOT)
        older = await pushd.ended(older)
    assert [one.state for one in older.deliveries] == [DeliveryState.SUPERSEDED, DeliveryState.SUCCEEDED]
    assert registry.repository("team/app").tags == {"1": digest_of(newer)}
    assert other.repository("team/app").tags == {"1": digest_of(layout)}
    assert len(pushd.events(DELIVERY_SUPERSEDED)) == 1


# ------------------------------------------------------------------------------------------------------ while they wait


async def test_what_waits_takes_no_place_and_what_moves_needs_none(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout, tmp_path: Path
) -> None:
    large = build_layout(tmp_path / "large", [ImageSpec(layers=[3 * MIB])])
    async with house.with_limits(deliveries=1).run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        job = await pushd.take(spec(layout, f"{registry.address}/team/app:1", f"{other.address}/team/app:1"))
        await until(lambda: pushd.events(DELIVERY_READY))
        stalled = registry.misbehave(Stall(), repository="team/large", times=None)
        blocks = await pushd.submit(f"oci:{large.path}", f"{registry.address}/team/large:1")
        await until(lambda: stalled.acted)  # it has the only place
        await pushd.house.engine.resume_registry(other.address, caller=ROOT)
        job = await pushd.ended(job)
        await pushd.house.engine.cancel(blocks.id, caller=ROOT)
    assert job.state is JobState.SUCCEEDED


async def test_a_job_that_is_paused_while_it_waits_moves_nothing_and_goes_on_from_there(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        job = await pushd.take(spec(layout, f"{registry.address}/team/app:1", f"{other.address}/team/app:1"))
        await until(lambda: pushd.events(DELIVERY_READY))
        paused = await pushd.house.engine.pause(job.id, caller=ROOT)
        await pushd.house.engine.resume_registry(other.address, caller=ROOT)
        before = registry.count()
        await pushd.house.engine.resume(job.id, caller=ROOT)
        job = await pushd.ended(job)
    assert paused.state is JobState.PAUSED
    assert job.state is JobState.SUCCEEDED
    assert registry.count(Kind.OPEN) < before
    assert len([one for one in pushd.events(DELIVERY_STARTED) if registry.address in str(one.fields["registry"])]) == 2


async def test_a_job_that_is_cancelled_while_it_waits_moves_nothing(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        job = await pushd.take(spec(layout, f"{registry.address}/team/app:1", f"{other.address}/team/app:1"))
        await until(lambda: pushd.events(DELIVERY_READY))
        cancelled = await pushd.house.engine.cancel(job.id, caller=ROOT)
    assert cancelled.state is JobState.CANCELLED
    assert registry.repository("team/app").tags == {}


async def test_a_deadline_that_passes_while_one_waits_fails_all_by_it(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        asked = spec(layout, f"{registry.address}/team/app:1", f"{other.address}/team/app:1", deadline=1.5)
        job = await pushd.ended(await pushd.take(asked))
    assert len(pushd.events(DELIVERY_READY)) == 1
    assert [one.failure and one.failure.code for one in job.deliveries] == [Code.REQUEST_DEADLINE] * 2
    assert registry.repository("team/app").tags == {}


async def test_a_house_that_ends_while_one_waits_goes_on_in_the_next(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        job = await pushd.take(spec(layout, f"{registry.address}/team/app:1", f"{other.address}/team/app:1"))
        await until(lambda: pushd.events(DELIVERY_READY))
    async with house.run() as pushd:
        before = registry.count(Kind.OPEN)
        await pushd.house.engine.resume_registry(other.address, caller=ROOT)
        job = await pushd.ended(job)
    assert job.state is JobState.SUCCEEDED
    assert registry.count(Kind.OPEN) == before


# ------------------------------------------------------------------------------------------------------- once they move


async def test_a_tag_that_cannot_be_put_at_once_is_tried_again_and_the_others_stay_moved(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        job = await pushd.take(spec(layout, f"{registry.address}/team/app:1", f"{other.address}/team/app:1"))
        await until(lambda: pushd.events(DELIVERY_READY))
        registry.misbehave(Answer(status=503, headers={"Retry-After": "1"}), kind=Kind.MANIFEST, method="PUT")
        await pushd.house.engine.resume_registry(other.address, caller=ROOT)
        await until(lambda: pushd.events(DELIVERY_HELD))
        await until(lambda: other.repository("team/app").tags)
        assert registry.repository("team/app").tags == {}
        job = await pushd.ended(job)
    assert job.state is JobState.SUCCEEDED
    assert registry.repository("team/app").tags == {"1": digest_of(layout)}


@pytest.mark.parametrize("behaviour", [Behaviour(), DISTRIBUTION_2], ids=["standard", "distribution-2"])
@pytest.mark.parametrize("lost", ["everything", "child"])
async def test_what_is_gone_again_by_then_is_brought_again(
    house: Builder, other: FakeRegistry, tmp_path: Path, lost: str, behaviour: Behaviour
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000], platforms=["linux/amd64", "linux/arm64"])])
    async with FakeRegistry(behaviour) as registry, house.run() as pushd:
        shelf = registry.repository("team/app")
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        job = await pushd.take(spec(layout, f"{registry.address}/team/app:1", f"{other.address}/team/app:1"))
        await until(lambda: pushd.events(DELIVERY_READY))
        child = layout.image.manifests[0].digest
        held = dict(shelf.blobs)
        if lost == "child":
            del shelf.manifests[str(child)]
        else:
            shelf.blobs.clear()
            shelf.manifests.clear()
        await pushd.house.engine.resume_registry(other.address, caller=ROOT)
        job = await pushd.ended(job)
    assert job.state is JobState.SUCCEEDED
    assert str(child) in shelf.manifests
    assert set(shelf.blobs) == set(held)
    assert shelf.tags == {"1": digest_of(layout)}


async def test_a_blob_that_a_registry_misses_when_the_tag_is_put_is_brought_again(
    house: Builder, other: FakeRegistry, layout: Layout
) -> None:
    async with FakeRegistry(DISTRIBUTION_2) as registry, house.run() as pushd:
        shelf = registry.repository("team/app")
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        job = await pushd.take(spec(layout, f"{registry.address}/team/app:1", f"{other.address}/team/app:1"))
        await until(lambda: pushd.events(DELIVERY_READY))
        lost = str(layout.image.layers[0].digest)
        del shelf.blobs[lost]
        await pushd.house.engine.resume_registry(other.address, caller=ROOT)
        job = await pushd.ended(job)
    assert job.state is JobState.SUCCEEDED
    assert lost in shelf.blobs
    assert shelf.tags == {"1": digest_of(layout)}


async def test_a_tag_that_may_not_move_any_more_by_then_fails_alone(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        destinations = (f"{registry.address}/team/app:1", f"{other.address}/team/app:1")
        job = await pushd.take(spec(layout, *destinations, if_tag=ABSENT))
        await until(lambda: pushd.events(DELIVERY_READY))
        theirs = registry.add_manifest("team/app", b"{}", "application/vnd.oci.image.manifest.v1+json", tag="1")
        await pushd.house.engine.resume_registry(other.address, caller=ROOT)
        job = await pushd.ended(job)
    assert job.state is JobState.PARTIAL
    assert [one.failure and one.failure.code for one in job.deliveries] == [Code.REGISTRY_TAG_EXISTS, None]
    assert registry.repository("team/app").tags == {"1": theirs}


async def test_a_tag_that_may_not_move_any_more_when_all_is_there_keeps_the_others_back(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout
) -> None:
    slow = other.misbehave(Delay(When.COMMITTED, seconds=0.5), kind=Kind.MANIFEST, method="PUT")
    destinations = (f"{registry.address}/team/app:1", f"{other.address}/team/app:1")
    async with house.run() as pushd:
        job = await pushd.take(spec(layout, *destinations, if_tag=ABSENT))
        await until(lambda: slow.acted)
        other.add_manifest("team/app", b"{}", "application/vnd.oci.image.manifest.v1+json", tag="1")
        job = await pushd.ended(job)
    assert [one.failure and one.failure.code for one in job.deliveries] == [
        Code.REQUEST_TOGETHER, Code.REGISTRY_TAG_EXISTS,
    ]  # fmt: skip
    assert registry.repository("team/app").tags == {}


async def test_blobs_are_read_back_before_any_tag_moves(
    house: Builder, registry: FakeRegistry, other: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(other.address, caller=ROOT)
        destinations = (f"{registry.address}/team/app:1", f"{other.address}/team/app:1")
        job = await pushd.take(spec(layout, *destinations, verify=Verify.BLOBS))
        await until(lambda: pushd.events(DELIVERY_READY))
        put = max(number for number, seen in enumerate(registry.requests) if seen.method == "PUT")
        asked = [seen for seen in registry.requests[put:] if seen.method == "HEAD" and seen.kind is Kind.BLOB]
        await pushd.house.engine.resume_registry(other.address, caller=ROOT)
        job = await pushd.ended(job)
    assert job.state is JobState.SUCCEEDED
    assert len(asked) == 3
