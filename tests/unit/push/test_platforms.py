"""Of an index only the chosen platforms are pushed: from every source, over restarts, and nothing of the others."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pushd.errors import Code, SourceError
from pushd.job import JobSpec, JobState, Retain, Spooled, Verify
from tests.fakes.callers import ROOT
from tests.fakes.faults import Answer
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.job import Job
    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.unit.push.conftest import Builder, Pushed

AMD64, ARM64, ARM = "linux/amd64", "linux/arm64", "linux/arm/v7"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Give an index of three platforms, each with an attestation."""
    return build_layout(tmp_path / "image", [ImageSpec(layers=[300_000], platforms=[AMD64, ARM64, ARM], attested=True)])


def asked(layout: Layout, destination: str, *platforms: str) -> JobSpec:
    return JobSpec(source=f"oci:{layout.path}", destinations=(destination,), platforms=platforms)


def check_there(registry: FakeRegistry, layout: Layout, job: Job, *platforms: str) -> None:
    """Check that the registry has these platforms, and nothing of the others."""
    parts = [layout.image.parts[platform] for platform in platforms]
    shelf = registry.repository("team/app")
    assert job.digest is not None
    assert shelf.tags == {"1": job.digest}
    assert shelf.blobs.keys() == {str(blob.digest) for part in parts for blob in part.blobs}
    images, attestations = zip(*(part.manifests for part in parts), strict=True)
    children = [str(one.digest) for one in (*images, *attestations)]
    assert shelf.manifests.keys() == {job.digest, *children}
    listed = json.loads(shelf.manifests[job.digest].content)["manifests"]
    assert [child["digest"] for child in listed] == children
    assert job.deliveries[0].digest == job.digest
    named = " ".join(str(seen) for seen in registry.requests)
    others = [part for platform, part in layout.image.parts.items() if platform not in platforms]
    assert not [digest for part in others for digest in part.digests if digest in named]


async def push(pushd: Pushed, spec: JobSpec) -> Job:
    job = await pushd.ended(await pushd.take(spec))
    assert job.state is JobState.SUCCEEDED, job
    return job


@pytest.mark.parametrize("verify", Verify)
@pytest.mark.parametrize("platforms", [(ARM64,), (AMD64, ARM)])
async def test_the_chosen_arrive_with_their_attestations_and_nothing_of_the_others_is_even_asked_for(
    house: Builder, registry: FakeRegistry, layout: Layout, platforms: tuple[str, ...], verify: Verify
) -> None:
    async with house.run() as pushd:
        job = await push(pushd, replace(asked(layout, f"{registry.address}/team/app:1", *platforms), verify=verify))
    check_there(registry, layout, job, *platforms)
    assert job.platforms == platforms
    assert job.size < sum(blob.size for blob in layout.image.blobs)


async def test_what_was_chosen_once_is_there_when_it_is_asked_for_again(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    spec = asked(layout, f"{registry.address}/team/app:1", AMD64)
    async with house.run() as pushd:
        first = await push(pushd, spec)
        before = registry.count(Kind.COMMIT)
        again = await push(pushd, spec)
        wider = await push(pushd, asked(layout, f"{registry.address}/team/app:1", AMD64, ARM64))
    assert again.digest == first.digest != wider.digest
    assert registry.count(Kind.COMMIT) - before == len(layout.image.parts[ARM64].blobs)


async def test_a_job_goes_on_with_what_was_chosen_though_the_daemon_was_restarted_and_the_job_retried(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        job = await pushd.take(asked(layout, f"{registry.address}/team/app:1", ARM64))
    registry.misbehave(Answer(status=403), kind=Kind.MANIFEST, method="PUT")
    async with house.run() as pushd:
        await pushd.house.engine.resume_registry(registry.address, caller=ROOT)
        failed = await pushd.ended(job)
        await pushd.house.engine.retry(job.id, caller=ROOT)
        job = await pushd.ended(job)
    assert failed.state is JobState.FAILED
    assert job.platforms == (ARM64,)
    check_there(registry, layout, job, ARM64)


async def test_a_copy_in_the_spool_holds_what_was_chosen_and_no_more(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        spec = replace(asked(layout, f"{registry.address}/team/app:1", ARM64), retain=Retain.SPOOL)
        job = await pushd.take(spec)
        assert pushd.house.spool.size == job.size
        (layout.path / "index.json").unlink()
        await pushd.house.engine.resume_registry(registry.address, caller=ROOT)
        job = await pushd.ended(job)
    check_there(registry, layout, job, ARM64)


async def test_of_a_whole_index_in_the_spool_the_daemon_chooses(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    built = layout.image

    async def content(digest: str) -> Any:
        yield (layout.path / "blobs" / digest.replace(":", "/")).read_bytes()

    async with house.run() as pushd:
        spool = pushd.house.spool
        entry = await spool.create(uid=ROOT.uid, size=1 << 22, ttl=None)
        for one in (*built.manifests, *built.blobs):
            name = str(one.digest)
            await spool.receive(entry.id, name, uid=ROOT.uid, offset=0, pieces=content(name), complete=True)
        spooled = Spooled(
            entry=entry.id, media_type=built.root.media_type, digest=str(built.root.digest), size=built.root.size
        )
        spec = replace(asked(layout, f"{registry.address}/team/app:1", AMD64), source="app", spooled=spooled)
        job = await push(pushd, spec)
    check_there(registry, layout, job, AMD64)


async def test_a_plan_speaks_of_what_was_chosen(house: Builder, registry: FakeRegistry, layout: Layout) -> None:
    spec = asked(layout, f"{registry.address}/team/app:1", ARM64)
    async with house.run() as pushd:
        plan: Any = await pushd.house.engine.plan(spec, caller=ROOT)
        job = await push(pushd, spec)
    assert (plan["digest"], plan["size"]) == (job.digest, job.size)
    planned = {blob["digest"] for blob in plan["destinations"][0]["blobs"]}
    assert planned == {str(blob.digest) for blob in layout.image.parts[ARM64].blobs}


async def test_a_destination_by_digest_is_compared_with_what_was_chosen(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        plan = await pushd.house.engine.plan(asked(layout, f"{registry.address}/team/app:1", ARM64), caller=ROOT)
        job = await push(pushd, asked(layout, f"{registry.address}/team/app:1@{plan['digest']}", ARM64))
    check_there(registry, layout, job, ARM64)


async def test_a_platform_that_is_not_there_is_refused_before_anything_is_taken(
    house: Builder, registry: FakeRegistry, layout: Layout, tmp_path: Path
) -> None:
    single = build_layout(tmp_path / "single", [ImageSpec(platforms=[ARM])])
    async with house.run() as pushd:
        for source, there in ((layout, "linux/amd64, linux/arm/v7, linux/arm64"), (single, ARM)):
            with pytest.raises(SourceError) as caught:
                await pushd.take(asked(source, f"{registry.address}/team/app:1", "linux/s390x"))
            assert caught.value.code is Code.SOURCE_PLATFORM_UNKNOWN
            assert "has nothing for linux/s390x" in str(caught.value)
            assert there in str(caught.value)
    assert registry.requests == []


async def test_a_single_image_for_the_platform_is_pushed_as_it_is(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    single = build_layout(tmp_path / "single", [ImageSpec(platforms=[ARM])])
    async with house.run() as pushd:
        job = await push(pushd, asked(single, f"{registry.address}/team/app:1", ARM))
    assert job.digest == str(single.image.root.digest)
