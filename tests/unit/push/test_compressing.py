"""Plain layers are compressed once for a job, before anything is pushed, and what they became is kept to its end."""

from __future__ import annotations

import gzip
import json
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from pushd.config import Images, Spool
from pushd.errors import Code, RequestError
from pushd.job import Compress, DeliveryState, JobSpec, JobState, Retain
from pushd.oci.compression import Encoding
from pushd.oci.digest import Digest
from pushd.oci.media_types import OCI_LAYER_GZIP, OCI_LAYER_ZSTD
from pushd.registry.profiles import PROFILES
from pushd.service.reload import reconfigure
from pushd.source.extent import Extent
from pushd.spool import compressing
from pushd.telemetry.events import IMAGE_COMPRESSED, JOB_FINISHED, JOB_SUBMITTED, SPOOL_REMOVED
from tests.fakes.callers import ROOT
from tests.fakes.faults import Answer
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.traffic import Kind
from tests.unit.push.conftest import Builder
from tests.unit.push.test_push import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pushd.config import Config
    from pushd.job import Job
    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.unit.push.conftest import Pushed

PLAIN = ImageSpec(layers=[70_000, 0, 300_000], compressed=False)
LONG_AGO = 1_000_000_000
TYPES = {Compress.GZIP: OCI_LAYER_GZIP, Compress.ZSTD: OCI_LAYER_ZSTD}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "image", [PLAIN])


@dataclass
class Gate:
    """Where reading plain layers stops until it is opened."""

    after: int
    reads: int = 0
    open: threading.Event = field(default_factory=threading.Event)


@contextmanager
def gate(monkeypatch: pytest.MonkeyPatch, *, after: int) -> Iterator[Gate]:
    """Have plain layers read in small pieces, and stop after some of them."""
    it, read = Gate(after), Extent.read

    def reading(extent: Extent, offset: int, length: int) -> bytes:
        if length <= 10_000:
            it.reads += 1
            if it.reads > it.after:
                it.open.wait(60)
        return read(extent, offset, length)

    with monkeypatch.context() as patched:
        patched.setattr(compressing, "PIECE", 10_000)
        patched.setattr(Extent, "read", reading)
        yield it
        it.open.set()


def asked(layout: Layout, *destinations: str, compress: Compress = Compress.GZIP) -> JobSpec:
    return JobSpec(source=f"oci:{layout.path}", destinations=destinations, compress=compress)


def unpacked(content: bytes, media_type: str) -> bytes:
    if media_type == OCI_LAYER_ZSTD:
        return zstandard.ZstdDecompressor().decompress(content)
    return gzip.decompress(content)


def check_there(registry: FakeRegistry, layout: Layout, job: Job, repository: str, media_type: str) -> None:
    """Check that the registry has the image with its layers compressed, and nothing else."""
    shelf = registry.repository(repository)
    assert shelf.tags == {"1": job.digest}
    manifest = json.loads(shelf.manifests[str(job.digest)].content)
    assert Digest.parse(manifest["config"]["digest"]) == layout.image.config.digest
    layers = manifest["layers"]
    assert [layer["mediaType"] for layer in layers] == [media_type] * len(layout.image.layers)
    contents = [shelf.blobs[layer["digest"]].content for layer in layers]
    assert [len(content) for content in contents if content is not None] == [layer["size"] for layer in layers]
    plain = [unpacked(content, media_type) for content in contents if content is not None]
    assert [Digest.of(content) for content in plain] == [layer.digest for layer in layout.image.layers]
    assert len(shelf.blobs) == len(layers) + 1
    assert str(layout.image.layers[0].digest) not in " ".join(map(str, registry.requests))


async def settled(pushd: Pushed) -> None:
    """Wait until the spool has nothing but what is kept for the next image."""
    await until(lambda: not pushd.house.spool.entries)
    assert pushd.house.spool.size == pushd.house.spool._kept.size


def kept(config: Config) -> list[Path]:
    """Give the compressed layers that are kept for the next image."""
    return [path for path in (config.daemon.state_dir / "spool/packed").rglob("*") if path.is_file()]


@pytest.mark.parametrize("compress", [Compress.GZIP, Compress.ZSTD])
async def test_layers_are_compressed_once_for_all_destinations(
    house: Builder, registry: FakeRegistry, layout: Layout, compress: Compress
) -> None:
    there = [f"{registry.address}/team/{name}:1" for name in ("a", "b", "c")]
    async with house.run() as pushd:
        taken = await pushd.take(asked(layout, *there, compress=compress))
        assert (taken.digest, taken.compress) == (None, compress)
        job = await pushd.ended(taken)
        await settled(pushd)
    assert job.state is JobState.SUCCEEDED
    for name in ("a", "b", "c"):
        check_there(registry, layout, job, f"team/{name}", TYPES[compress])
    assert {delivery.digest for delivery in job.deliveries} == {job.digest}
    (told,) = pushd.events(IMAGE_COMPRESSED)
    facts = dict(told.fields)
    after, seconds = facts.pop("bytes_after"), facts.pop("seconds")
    assert isinstance(after, int)
    assert isinstance(seconds, float)
    assert facts == {"layers": 3, "reused": 0, "bytes_before": 370_000, "encoding": compress, "digest": job.digest}
    assert job.size == taken.size - 370_000 + after + _grown(layout, registry, job)
    assert [event.fields["digest"] for event in pushd.events(JOB_SUBMITTED)] == [None]
    assert [event.fields["digest"] for event in pushd.events(JOB_FINISHED)] == [job.digest]


def _grown(layout: Layout, registry: FakeRegistry, job: Job) -> int:
    """Give the bytes by which the manifest has grown."""
    return len(registry.repository("team/a").manifests[str(job.digest)].content) - layout.image.root.size


async def test_pushed_again_nothing_is_sent(house: Builder, registry: FakeRegistry, layout: Layout) -> None:
    spec = asked(layout, f"{registry.address}/team/a:1")
    async with house.run() as pushd:
        first = await pushd.ended(await pushd.take(spec))
        commits = registry.count(Kind.COMMIT)
        again = await pushd.ended(await pushd.take(spec))
    assert first.digest == again.digest is not None
    assert registry.count(Kind.COMMIT) == commits
    assert not again.deliveries[0].transfers


async def test_an_index_is_rewritten_with_its_attestations(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    spec = replace(PLAIN, platforms=["linux/amd64", "linux/arm64"], attested=True)
    layout = build_layout(tmp_path / "index", [spec])
    async with house.run() as pushd:
        job = await pushd.ended(await pushd.take(asked(layout, f"{registry.address}/team/a:1")))
    assert job.state is JobState.SUCCEEDED
    shelf = registry.repository("team/a")
    images, about = _listed(json.loads(shelf.manifests[str(job.digest)].content))
    assert len(images) == 2
    assert about == images
    assert not set(images) & {str(one.digest) for one in layout.image.manifests}


def _listed(index: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Give the images an index lists, and what its attestations are said to be about."""
    about = [
        child["annotations"]["vnd.docker.reference.digest"] for child in index["manifests"] if "annotations" in child
    ]
    return [child["digest"] for child in index["manifests"] if "annotations" not in child], about


@pytest.mark.parametrize("compress", [Compress.GZIP, Compress.NONE, Compress.AUTO])
async def test_where_nothing_is_to_be_compressed_the_digest_is_known_at_once(
    house: Builder, registry: FakeRegistry, tmp_path: Path, compress: Compress
) -> None:
    layout = build_layout(tmp_path / "image", [replace(PLAIN, layers=[300_000], compressed=compress is Compress.GZIP)])
    digest = layout.image.digest
    async with house.run() as pushd:
        taken = await pushd.take(asked(layout, f"{registry.address}/team/a@{digest}", compress=compress))
        job = await pushd.ended(taken)
    assert (taken.digest, job.digest, job.state) == (str(digest), str(digest), JobState.SUCCEEDED)
    assert not pushd.events(IMAGE_COMPRESSED)


@pytest.mark.parametrize(
    ("configured", "taken"), [(Encoding.ZSTD, Compress.ZSTD), (Encoding.GZIP, Compress.GZIP), (None, Compress.NONE)]
)
async def test_what_is_left_to_the_daemon_is_what_its_configuration_says(
    house: Builder, registry: FakeRegistry, layout: Layout, configured: Encoding | None, taken: Compress
) -> None:
    house = Builder(replace(house.config, images=Images(compression=configured)))
    spec = asked(layout, f"{registry.address}/team/a:1", compress=Compress.DEFAULT)
    async with house.run() as pushd:
        job = await pushd.ended(await pushd.take(spec))
    assert (job.state, job.compress) == (JobState.SUCCEEDED, taken)
    assert len(pushd.events(IMAGE_COMPRESSED)) == (taken is not Compress.NONE)


async def test_what_is_left_to_the_daemon_is_what_its_configuration_says_now(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    spec = asked(layout, f"{registry.address}/team/a:1", compress=Compress.DEFAULT)
    async with house.run() as pushd:
        before = await pushd.ended(await pushd.take(spec))
        changed = replace(house.config, images=Images(compression=Encoding.ZSTD))
        reconfigure(pushd.house, changed, {}, profiles=PROFILES, emit=pushd.told.append)
        after = await pushd.ended(await pushd.take(spec))
    assert (before.compress, after.compress) == (Compress.GZIP, Compress.ZSTD)


async def test_a_destination_cannot_name_a_digest_that_nobody_knows_yet(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    destination = f"{registry.address}/team/a@{layout.image.digest}"
    async with house.run() as pushd:
        for refused in (pushd.take, lambda spec: pushd.house.engine.plan(spec, caller=ROOT)):
            with pytest.raises(RequestError, match="another when its layers are compressed") as caught:
                await refused(asked(layout, destination))
            assert caught.value.code is Code.REQUEST_INVALID_REFERENCE


async def test_a_plan_tells_what_would_be_compressed_and_compresses_nothing(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    there = f"{registry.address}/team/a:1"
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}", there)
        plan = await pushd.house.engine.plan(asked(layout, there), caller=ROOT)
        only_new = replace(asked(layout, there), if_tag=str(layout.image.digest))
        allowed = await pushd.house.engine.plan(only_new, caller=ROOT)
        entries = pushd.house.spool.entries
    assert (plan["digest"], plan["compress"]) == (None, {"count": 3, "bytes": 370_000})
    assert [it["action"] for it in (*plan["destinations"], *allowed["destinations"])] == ["push", "push"]  # type: ignore[misc]  # lists of objects
    assert not entries
    assert not pushd.events(IMAGE_COMPRESSED)


# ------------------------------------------------------------------------------------------------- going on


async def test_a_second_destination_goes_on_after_a_restart_without_the_source(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    there = [f"{registry.address}/team/a:1", f"localhost:{registry.address.rpartition(':')[2]}/team/b:1"]
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(there[1].partition("/")[0], caller=ROOT)
        job = await pushd.take(asked(layout, *there))
        await until(lambda: "1" in registry.repository("team/a").tags)
        assert len(pushd.house.spool.entries) == 1
    (layout.path / "index.json").unlink()
    async with house.run() as later:
        half = await later.house.engine.get(job.id, caller=ROOT)
        await later.house.engine.resume_registry(there[1].partition("/")[0], caller=ROOT)
        job = await later.ended(job)
        await settled(later)
    assert job.state is JobState.SUCCEEDED
    assert half.digest == job.digest
    check_there(registry, layout, job, "team/b", OCI_LAYER_GZIP)
    assert not later.events(IMAGE_COMPRESSED)


@pytest.mark.parametrize("how", ["drain", "pause"])
async def test_stopped_in_the_middle_it_is_done_again(
    house: Builder, registry: FakeRegistry, layout: Layout, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with house.run() as pushd:
        with gate(monkeypatch, after=5) as held:
            job = await pushd.take(asked(layout, *(f"{registry.address}/team/{name}:1" for name in "ab")))
            await until(lambda: held.reads > 5)
            if how == "pause":
                await pushd.house.engine.pause(job.id, caller=ROOT)
            held.open.set()
            if how == "drain":
                await pushd.house.scheduler.drain(20)
            await until(lambda: pushd.house.scheduler.running.total() == 0)
            assert held.reads < 20, "it did not go on to the end"
        assert not pushd.events(IMAGE_COMPRESSED)
        assert not pushd.house.spool.entries
        stopped = await pushd.house.engine.get(job.id, caller=ROOT)
        state = DeliveryState.PAUSED if how == "pause" else DeliveryState.QUEUED
        assert {delivery.state for delivery in stopped.deliveries} == {state}
    async with house.run() as pushd:
        await pushd.house.engine.resume(job.id, caller=ROOT)
        job = await pushd.ended(job)
    check_there(registry, layout, job, "team/b", OCI_LAYER_GZIP)


async def test_cancelled_in_the_middle_nothing_is_left(
    house: Builder, registry: FakeRegistry, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house.run() as pushd:
        with gate(monkeypatch, after=5) as held:
            job = await pushd.take(asked(layout, f"{registry.address}/team/a:1"))
            await until(lambda: held.reads > 5)
            await pushd.house.engine.cancel(job.id, caller=ROOT)
            held.open.set()
            job = await pushd.ended(job)
            await until(lambda: pushd.house.scheduler.running.total() == 0)
            assert held.reads < 20, "it did not go on to the end"
        assert (job.state, job.digest) == (JobState.CANCELLED, None)
        await settled(pushd)
        assert [event.fields["digest"] for event in pushd.events(JOB_FINISHED)] == [None]
        again = await pushd.house.engine.retry(job.id, caller=ROOT)
        job = await pushd.ended(again)
    check_there(registry, layout, job, "team/a", OCI_LAYER_GZIP)


async def test_a_destination_that_is_cancelled_leaves_it_to_the_next(
    house: Builder, registry: FakeRegistry, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [f"{registry.address}/team/a:1", f"{registry.address}/team/b:1"]
    async with house.run() as pushd:
        with gate(monkeypatch, after=5) as held:
            job = await pushd.take(asked(layout, *there))
            await until(lambda: held.reads > 5)
            pushd.house.scheduler.cancel(job.deliveries[0].id)
            held.open.set()
            job = await pushd.ended(job)
    assert [delivery.state for delivery in job.deliveries] == [DeliveryState.CANCELLED, DeliveryState.SUCCEEDED]
    assert len(pushd.events(IMAGE_COMPRESSED)) == 1
    check_there(registry, layout, job, "team/b", OCI_LAYER_GZIP)


# ------------------------------------------------------------------------------------------------- the next image


async def test_the_next_job_with_the_same_layers_compresses_none_of_them(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        first = await pushd.ended(await pushd.take(asked(layout, f"{registry.address}/team/a:1")))
        await settled(pushd)
    for layer in layout.image.layers:
        layout.blob_path(layer.digest).write_bytes(bytes(layer.size))  # whoever reads it fails
    async with house.run() as pushd:
        job = await pushd.ended(await pushd.take(asked(layout, f"{registry.address}/team/b:1")))
        await settled(pushd)
    assert (job.state, job.digest) == (JobState.SUCCEEDED, first.digest)
    assert [event.fields["reused"] for event in pushd.events(IMAGE_COMPRESSED)] == [3]
    assert registry.repository("team/b").blobs.keys() == registry.repository("team/a").blobs.keys()


async def test_what_was_done_before_a_job_was_cut_short_is_not_done_again(
    house: Builder, registry: FakeRegistry, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house.run() as pushd:
        with gate(monkeypatch, after=33) as held:  # of 37: at least one layer is through, and one is not
            job = await pushd.take(asked(layout, f"{registry.address}/team/a:1"))
            await until(lambda: held.reads > 33 and len(kept(house.config)) > 0)
            await pushd.house.engine.pause(job.id, caller=ROOT)
    done = len(kept(house.config))
    async with house.run() as pushd:
        await pushd.house.engine.resume(job.id, caller=ROOT)
        job = await pushd.ended(job)
    check_there(registry, layout, job, "team/a", OCI_LAYER_GZIP)
    assert done < 3
    assert [event.fields["reused"] for event in pushd.events(IMAGE_COMPRESSED)] == [done]


@pytest.mark.parametrize(
    ("silently", "code"), [(False, Code.SOURCE_BLOB_DIGEST), (True, Code.REGISTRY_DIGEST_MISMATCH)]
)
async def test_what_the_disk_has_spoilt_fails_one_job_and_no_other(
    house: Builder, registry: FakeRegistry, tmp_path: Path, code: Code, *, silently: bool
) -> None:
    # One that is not held in memory while it is sent: what was hashed before is not hashed again.
    layout = build_layout(tmp_path / "large", [ImageSpec(layers=[1 << 20], compressed=False)])

    async with house.run() as pushd:

        async def push(repository: str) -> Job:
            for before in "ab":
                registry.repository(f"team/{before}").blobs.clear()  # from where they could be mounted
            job = await pushd.ended(await pushd.take(asked(layout, f"{registry.address}/team/{repository}:1")))
            await settled(pushd)
            return job

        await push("a")
        (large,) = kept(house.config)
        os.utime(large, (LONG_AGO, LONG_AGO))  # what was written a moment ago is hashed each time
        await push("b")
        large.write_bytes(bytes(large.stat().st_size))
        if silently:
            os.utime(large, (LONG_AGO, LONG_AGO))
        spoilt = await push("c")
        job = await push("d")
    (delivery,) = spoilt.deliveries
    assert delivery.failure is not None
    assert (delivery.failure.code, large.exists()) == (code, True)
    check_there(registry, layout, job, "team/d", OCI_LAYER_GZIP)


async def test_nothing_is_kept_where_that_is_said(house: Builder, registry: FakeRegistry, layout: Layout) -> None:
    house = Builder(replace(house.config, spool=Spool(keep_compressed=0)))
    async with house.run() as pushd:
        await pushd.ended(await pushd.take(asked(layout, f"{registry.address}/team/a:1")))
        await settled(pushd)
    assert kept(house.config) == []


async def test_what_is_kept_goes_where_a_new_configuration_has_less_room(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.ended(await pushd.take(asked(layout, f"{registry.address}/team/a:1")))
        await settled(pushd)
        assert kept(house.config)
        less = replace(house.config, spool=Spool(keep_compressed=0))
        reconfigure(pushd.house, less, {}, profiles=PROFILES, emit=pushd.told.append)
        await pushd.house.spool.sweep(datetime.now(UTC), [])
    assert kept(house.config) == []


# ------------------------------------------------------------------------------------------------- going wrong


async def test_a_layer_that_is_not_what_its_digest_says_fails_the_job_and_nothing_is_kept(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    path = layout.blob_path(layout.image.layers[2].digest)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    async with house.run() as pushd:
        job = await pushd.ended(await pushd.take(asked(layout, *(f"{registry.address}/team/{it}:1" for it in "ab"))))
        await settled(pushd)
    assert {delivery.failure.code for delivery in job.deliveries if delivery.failure} == {Code.SOURCE_BLOB_DIGEST}
    assert (job.state, job.digest) == (JobState.FAILED, None)
    assert not registry.repository("team/a").blobs


async def test_who_has_used_up_their_quota_is_told_so(house: Builder, registry: FakeRegistry, layout: Layout) -> None:
    house = Builder(replace(house.config, spool=Spool(per_user=370_000)))
    async with house.run() as pushd:
        job = await pushd.ended(await pushd.take(asked(layout, f"{registry.address}/team/a:1")))
        assert not pushd.house.spool.entries
    (delivery,) = job.deliveries
    assert delivery.failure is not None
    assert (job.state, delivery.failure.code) == (JobState.FAILED, Code.REQUEST_LIMIT)


async def test_a_copy_of_the_plain_layers_goes_when_they_are_compressed(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    refusal = registry.misbehave(Answer(status=403), kind=Kind.MANIFEST, method="PUT")
    spec = replace(asked(layout, f"{registry.address}/team/a:1"), retain=Retain.SPOOL)
    async with house.run() as pushd:
        job = await pushd.ended(await pushd.take(spec))
        await settled(pushd)
    assert refusal.acted
    assert job.state is JobState.FAILED
    assert job.digest is not None
    assert [event.fields["reason"] for event in pushd.events(SPOOL_REMOVED)] == [
        "its layers are compressed in another",
        "its job has ended",
    ]
