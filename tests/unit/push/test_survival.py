"""What a push survives, in one process: throttling, drains, registries that forget, newer jobs for the same tag."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code
from pushd.job import DeliveryState, JobSpec, JobState, TransferState, Verify
from pushd.push.hashing import Known
from pushd.push.tape import Tape
from pushd.telemetry.events import DELIVERY_HEALING, DELIVERY_HELD, DELIVERY_REQUEUED, TRANSFER_FINISHED
from tests.fakes.behaviour import DISTRIBUTION_2
from tests.fakes.callers import ROOT
from tests.fakes.faults import Answer, Delay, SlowBody, StallBody
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.registry import FakeRegistry
from tests.fakes.traffic import Kind
from tests.unit.push.test_push import MIB, blobs_of, until

if TYPE_CHECKING:
    from datetime import tzinfo
    from pathlib import Path

    from tests.unit.push.conftest import Builder


# ------------------------------------------------------------------------------------------------- throttling


async def test_one_429_holds_back_the_whole_registry_and_no_other(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000] * 6)])
    registry.misbehave(Answer(status=429, headers={"Retry-After": "2"}), kind=Kind.OPEN, nth=3)
    async with FakeRegistry() as other, house.run() as pushd:
        job = await pushd.submit(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        await until(lambda: any(seen.status == 429 for seen in registry.requests))
        refused_at = next(seen.finished for seen in registry.requests if seen.status == 429)
        elsewhere = await pushd.push(f"oci:{layout.path}", f"{other.address}/team/app:1")
        elsewhere_at = time.monotonic()
        job = await pushd.house.engine.wait(job.id, 60, caller=ROOT)
    assert refused_at is not None
    assert job.state is elsewhere.state is JobState.SUCCEEDED
    assert elsewhere_at - refused_at < 2, "the other registry did not notice"
    during = [seen for seen in registry.requests if refused_at + 0.5 < seen.started < refused_at + 1.9]
    assert during == [], "it was left alone for as long as it asked"


async def test_a_registry_that_asks_for_a_minute_gets_it_and_its_jobs_wait_outside(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image")
    registry.misbehave(Answer(status=429, headers={"Retry-After": "60"}), kind=Kind.OPEN)
    async with house.run() as pushd:
        first = await pushd.submit(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        await until(lambda: pushd.events(DELIVERY_HELD))
        second = await pushd.submit(f"oci:{layout.path}", f"{registry.address}/team/app:2")
        count = registry.count()
        await asyncio.sleep(0.3)
        assert registry.count() == count, "not a request more"
        waiting = await pushd.house.engine.get(first.id, caller=ROOT)
        assert (await pushd.house.engine.get(second.id, caller=ROOT)).state is JobState.QUEUED
    delivery = waiting.deliveries[0]
    assert delivery.state is DeliveryState.HELD
    assert delivery.failure is not None
    assert delivery.failure.code == Code.REGISTRY_THROTTLED
    assert delivery.not_before is not None
    assert delivery.started_at is not None
    assert 50 < (delivery.not_before - delivery.started_at).total_seconds() < 70


async def test_a_registry_once_reached_is_tried_until_the_deadline(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image")
    async with house.with_limits(attempts=1).run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        await registry.stop()
        job = await pushd.submit(f"oci:{layout.path}", f"{registry.address}/team/app:2", deadline=30)
        await until(lambda: pushd.events(DELIVERY_HELD))
        await registry.start()
        job = await pushd.house.engine.wait(job.id, 40, caller=ROOT)
    assert job.state is JobState.SUCCEEDED
    assert [one.code for one in job.deliveries[0].history] == [Code.REGISTRY_UNREACHABLE] * len(
        job.deliveries[0].history
    )
    assert job.deliveries[0].history, "what was tried is told"


# ------------------------------------------------------------------------------------------------------ drain


@pytest.mark.parametrize("behaviour", ["distribution 3", "distribution 2"])
async def test_a_drained_upload_loses_nothing_it_had_sent(
    house: Builder, registry: FakeRegistry, tmp_path: Path, behaviour: str
) -> None:
    if behaviour == "distribution 2":
        registry.behaviour = DISTRIBUTION_2
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[12 * MIB])])
    layer = layout.images["latest"].layers[0]
    registry.misbehave(SlowBody(rate=8 * MIB), kind=Kind.CHUNK, times=3)
    configured = house.with_registry(registry.address, chunk_size=2 * MIB)
    async with configured.run() as pushd:
        job = await pushd.submit(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
        await until(lambda: registry.count(Kind.CHUNK) >= 2)
        await pushd.house.scheduler.drain(10)
        assert pushd.house.scheduler.running.total() == 0
        assert (await pushd.house.engine.get(job.id, caller=ROOT)).deliveries[0].state is DeliveryState.QUEUED
    async with configured.run() as pushd:
        job = await pushd.house.engine.wait(job.id, 60, caller=ROOT)
        assert pushd.events(TRANSFER_FINISHED)[-1].fields["resumed"]
    assert job.state is JobState.SUCCEEDED
    assert sum(seen.received for seen in registry.seen(Kind.CHUNK)) == layer.size


async def test_a_drain_ends_in_time_though_a_registry_stalls(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[16 * MIB])])
    stall = registry.misbehave(StallBody(after=MIB), kind=Kind.CHUNK)
    async with house.run() as pushd:
        job = await pushd.submit(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
        await until(lambda: stall.acted)
        began = time.monotonic()
        await pushd.house.scheduler.drain(20)
        assert time.monotonic() - began < 10, "nothing moved, so nothing was waited for"
    async with house.run() as pushd:
        assert not pushd.events(DELIVERY_REQUEUED), "it was put back before the daemon ended, as after no crash"
        job = await pushd.house.engine.wait(job.id, 60, caller=ROOT)
    assert job.state is JobState.SUCCEEDED


async def test_nothing_is_claimed_while_it_drains(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "image")
    async with house.run() as pushd:
        await pushd.house.scheduler.drain(1)
        job = await pushd.submit(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
        await asyncio.sleep(0.1)
        assert (await pushd.house.engine.get(job.id, caller=ROOT)).state is JobState.QUEUED
    assert registry.count() == 0


class _Ahead(datetime):
    """A clock ten seconds ahead of that of the files: a ctime cannot be set back."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _Ahead:
        return super().now(tz) + timedelta(seconds=10)


async def test_a_blob_that_was_hashed_once_is_not_hashed_again_for_the_next_destination(
    house: Builder, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[MIB])])
    monkeypatch.setattr("pushd.push.content.datetime", _Ahead)
    known: list[bool] = []
    check = Tape.check

    def watched(tape: Tape) -> None:
        if tape._blob.size == MIB:  # what is small is hashed sooner than looked up
            known.append(isinstance(tape._hashing, Known))
        check(tape)

    monkeypatch.setattr(Tape, "check", watched)
    async with FakeRegistry() as other, FakeRegistry() as third, house.run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        assert known == [False]
        await pushd.push(f"oci:{layout.path}", f"{other.address}/team/app:1")
        assert known == [False, True]
        blob = layout.blob_path(layout.image.layers[0].digest)
        blob.write_bytes(blob.read_bytes()[::-1])
        job = await pushd.push(f"oci:{layout.path}", f"{third.address}/team/app:1")
    assert job.deliveries[0].failure is not None
    assert job.deliveries[0].failure.code == Code.SOURCE_BLOB_DIGEST, "a file that changed is hashed again"


# ------------------------------------------------------------------------------------------------ heal and mount


async def test_a_blob_the_registry_only_said_it_had_is_sent_for_real_once(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000, 2000])])
    liar = layout.images["latest"].layers[0]
    registry.misbehave(
        Answer(status=200, headers={"Content-Length": str(liar.size)}), kind=Kind.BLOB, method="HEAD", times=3
    )
    async with house.run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert job.state is JobState.SUCCEEDED
    assert job.deliveries[0].attempt == 1
    assert len(pushd.events(DELIVERY_HEALING)) == 1
    assert set(registry.repository("team/app").blobs) == blobs_of(layout.images["latest"])
    assert {transfer.state for transfer in job.deliveries[0].transfers} == {TransferState.UPLOADED}


async def test_a_registry_that_never_knows_its_blobs_is_not_healed_for_ever(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image")
    body = b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}'
    refuse = Answer(status=400, headers={"Content-Type": "application/json"}, body=body)
    registry.misbehave(refuse, kind=Kind.MANIFEST, method="PUT", times=None)
    async with house.run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4", deadline=1)
    assert job.state is JobState.FAILED
    assert not registry.repository("team/app").manifests


async def test_a_blob_pushed_there_before_is_only_asked_for(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000, 300_000])])
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        registry.requests.clear()
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:2")
    assert {transfer.state for transfer in job.deliveries[0].transfers} == {TransferState.PRESENT}
    asked = Counter((seen.method, seen.kind) for seen in registry.requests)
    assert asked == {("HEAD", Kind.BLOB): 3, ("HEAD", Kind.MANIFEST): 2, ("PUT", Kind.MANIFEST): 1}


async def test_where_the_registry_looks_itself_when_the_manifest_comes_it_is_not_even_asked_for(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000, 300_000])])
    async with house.with_registry(registry.address, profile="distribution-3").run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        registry.requests.clear()
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:2")
    assert job.state is JobState.SUCCEEDED
    assert {transfer.state for transfer in job.deliveries[0].transfers} == {TransferState.PRESENT}
    assert {seen.kind for seen in registry.requests} == {Kind.MANIFEST}


async def test_what_is_gone_from_there_meanwhile_is_brought_again_and_nothing_else(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000, 300_000])])
    gone, kept = (str(layer.digest) for layer in layout.images["latest"].layers)
    async with house.with_registry(registry.address, profile="distribution-3").run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        del registry.repository("team/app").blobs[gone]
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:2")
    states = {transfer.digest: transfer.state for transfer in job.deliveries[0].transfers}
    assert job.state is JobState.SUCCEEDED
    assert (states[gone], states[kept]) == (TransferState.UPLOADED, TransferState.PRESENT)
    assert len(pushd.events(DELIVERY_HEALING)) == 1


async def test_a_blob_pushed_to_another_repository_before_is_mounted(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000, 300_000])])
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        sent = registry.received
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/other/app:1")
    assert {transfer.state for transfer in job.deliveries[0].transfers} == {TransferState.MOUNTED}
    assert registry.received - sent < 2000, "the manifest, and no blob"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
async def test_a_mount_that_is_refused_is_an_upload(
    house: Builder, registry: FakeRegistry, tmp_path: Path, status: int
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000])])
    registry.misbehave(Answer(status=status), kind=Kind.MOUNT, times=None)
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/other/app:1")
    assert {transfer.state for transfer in job.deliveries[0].transfers} == {TransferState.UPLOADED}


async def test_nobody_mounts_what_only_somebody_else_pushed(
    house: Builder, registry: FakeRegistry, commons: Path
) -> None:
    layout = build_layout(commons / "image", [ImageSpec(layers=[1000])])
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        spec = JobSpec(source=f"oci:{layout.path}", destinations=(f"{registry.address}/other/app:1",))
        job = await pushd.house.engine.submit(spec, caller=replace(ROOT, uid=4711))
        job = await pushd.house.engine.wait(job.id, 30, caller=ROOT)
    assert {transfer.state for transfer in job.deliveries[0].transfers} == {TransferState.UPLOADED}
    assert registry.count(Kind.MOUNT) == 0


# ------------------------------------------------------------------------------------------------- order of tags


async def test_an_older_job_that_comes_late_does_not_overwrite_a_newer_one(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    specs = [ImageSpec(tag="old", layers=[5 * MIB], seed="old"), ImageSpec(tag="new", layers=[1000], seed="new")]
    layout = build_layout(tmp_path / "image", specs)
    registry.misbehave(Delay(seconds=1.0), kind=Kind.CHUNK)
    async with house.run() as pushd:
        old = await pushd.submit(f"oci:{layout.path}:old", f"{registry.address}/team/app:1")
        new = await pushd.push(f"oci:{layout.path}:new", f"{registry.address}/team/app:1")
        old = await pushd.house.engine.wait(old.id, 30, caller=ROOT)
    assert new.state is JobState.SUCCEEDED
    assert old.deliveries[0].state is DeliveryState.SUPERSEDED
    assert registry.repository("team/app").tags == {"1": str(layout.images["new"].root.digest)}


async def test_jobs_for_one_tag_in_their_order_all_succeed(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    specs = [ImageSpec(tag=f"t{number}", layers=[1000], seed=str(number)) for number in range(3)]
    layout = build_layout(tmp_path / "image", specs)
    async with house.run() as pushd:
        jobs = [
            await pushd.push(f"oci:{layout.path}:{tag}", f"{registry.address}/team/app:1")
            for tag in ("t0", "t1", "t2", "t0")
        ]
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert registry.repository("team/app").tags == {"1": str(layout.images["t0"].root.digest)}


# -------------------------------------------------------------------------------------------------- cancellation


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("HEAD", Kind.MANIFEST),
        ("HEAD", Kind.BLOB),
        ("POST", Kind.OPEN),
        ("PATCH", Kind.CHUNK),
        ("PUT", Kind.COMMIT),
        ("PUT", Kind.MANIFEST),
    ],
)
async def test_cancelled_at_any_request_the_job_ends_and_leaves_no_session(
    house: Builder, registry: FakeRegistry, tmp_path: Path, method: str, kind: Kind
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[5 * MIB])])
    delay = registry.misbehave(Delay(seconds=0.5), kind=kind, method=method)
    async with house.run() as pushd:
        job = await pushd.submit(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        await until(lambda: delay.acted)
        await pushd.house.engine.cancel(job.id, caller=ROOT)
        job = await pushd.house.engine.wait(job.id, 20, caller=ROOT)
        assert job.state is JobState.CANCELLED
        await until(lambda: pushd.house.scheduler.running.total() == 0)
        await asyncio.sleep(0.6)
    assert not registry.repository("team/app").sessions
    assert not registry.repository("team/app").tags


# --------------------------------------------------------------------------------------------- verify every blob


async def test_with_verify_blobs_a_blob_that_vanished_is_noticed_and_put_back(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000, 2000])])
    lost = str(layout.images["latest"].layers[0].digest)
    spec = JobSpec(source=f"oci:{layout.path}", destinations=(f"{registry.address}/team/app:1",), verify=Verify.BLOBS)
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        del registry.repository("team/app").blobs[lost]
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        assert lost not in registry.repository("team/app").blobs, "by the tag alone it is not noticed"
        job = await pushd.house.engine.submit(spec, caller=ROOT)
        job = await pushd.house.engine.wait(job.id, 30, caller=ROOT)
    assert job.state is JobState.SUCCEEDED
    assert lost in registry.repository("team/app").blobs
    assert [transfer.digest for transfer in job.deliveries[0].transfers] == [lost]


async def test_with_verify_blobs_a_blob_that_is_not_read_back_is_sent_again(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000])])
    spec = JobSpec(source=f"oci:{layout.path}", destinations=(f"{registry.address}/team/app:1",), verify=Verify.BLOBS)
    registry.misbehave(Answer(status=404), kind=Kind.BLOB, method="HEAD", nth=3)
    async with house.run() as pushd:
        job = await pushd.house.engine.submit(spec, caller=ROOT)
        job = await pushd.house.engine.wait(job.id, 30, caller=ROOT)
    assert job.state is JobState.SUCCEEDED
    assert len(pushd.events(DELIVERY_HEALING)) == 1
