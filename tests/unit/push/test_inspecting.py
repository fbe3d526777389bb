"""On request images are looked into first: what nobody could unpack is not sent, and what is good is looked at once."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel
import pytest

from pushd.errors import DaemonError
from pushd.inspection.layer import LayerCheck
from pushd.job import JobSpec, JobState, Spooled, Validate
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.image import read_image
from pushd.push.inspecting import Inspector
from pushd.push.run import DrainedError
from pushd.telemetry.events import IMAGE_VALIDATED
from tests.fakes.callers import ROOT
from tests.fakes.faults import Answer
from tests.fakes.images import LAYER, LAYER_GZIP, ImageSpec, build_layout
from tests.fakes.layered import BAD, GOOD, LAYER_ZSTD, Bytes, build_layered
from tests.fakes.tars import archive, member
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from concurrent.futures import Executor
    from pathlib import Path

    from pushd.oci.image import Image
    from pushd.push.ports.source import Source
    from pushd.push.ports.store import JobStore
    from pushd.work import Inspection
    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.unit.push.conftest import Builder


def asked(layout: Layout, *destinations: str, validate: Validate = Validate.FULL) -> JobSpec:
    return JobSpec(source=f"oci:{layout.path}", destinations=destinations, validate=validate)


def good(path: Path) -> Layout:
    return build_layered(path, [Bytes.of(GOOD, kind) for kind in (LAYER, LAYER_GZIP, LAYER_ZSTD)])


async def test_good_layers_of_each_compression_pass_and_are_told_of_once(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = good(tmp_path / "good")
    async with house.run() as pushd:
        names = [f"{registry.address}/team/app:{tag}" for tag in ("1", "2")]
        job = await pushd.ended(await pushd.take(asked(layout, *names)))
    assert (job.state, job.validate) == (JobState.SUCCEEDED, Validate.FULL)
    (told,) = pushd.events(IMAGE_VALIDATED)
    facts = {name: value for name, value in told.fields.items() if name != "seconds"}
    assert facts == {"digest": job.digest, "layers": 3, "skipped": 0, "size": 3 * len(GOOD)}
    assert told.job == job.id
    assert told.seq is not None


async def test_what_other_tests_push_passes_an_index_with_attestations_too(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    spec = ImageSpec(layers=[300, 70_000], platforms=["linux/amd64", "linux/arm64"], attested=True)
    layout = build_layout(tmp_path / "index", [spec])
    async with house.run() as pushd:
        job = await pushd.ended(await pushd.take(asked(layout, f"{registry.address}/team/app:1")))
    assert job.state is JobState.SUCCEEDED
    assert [(told.fields["layers"], told.fields["skipped"]) for told in pushd.events(IMAGE_VALIDATED)] == [(4, 2)]


@pytest.mark.parametrize("code", BAD)
async def test_a_bad_layer_fails_every_delivery_before_a_single_request(
    house: Builder, registry: FakeRegistry, tmp_path: Path, code: str
) -> None:
    bad = BAD[code]()
    layout = build_layered(tmp_path / "bad", [Bytes.of(GOOD), bad])
    async with house.run() as pushd:
        names = [f"{registry.address}/team/app:{tag}" for tag in ("1", "2")]
        job = await pushd.ended(await pushd.take(asked(layout, *names)))
        failures = [delivery.failure for delivery in job.deliveries]
        assert job.state is JobState.FAILED
        assert failures[0] == failures[1]
        assert failures[0] is not None
        assert (failures[0].code, failures[0].retryable) == (code, False)
        assert f"layer {bad.digest}" in failures[0].message
        assert registry.requests == []
        fine = await pushd.ended(await pushd.take(asked(good(tmp_path / "good"), names[0])))
        assert fine.state is JobState.SUCCEEDED
    assert len(pushd.events(IMAGE_VALIDATED)) == 1


async def test_without_the_request_nothing_is_looked_into(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layered(tmp_path / "bad", [BAD["source.layer_diff_id"]()])
    spec = asked(layout, f"{registry.address}/team/app:1", validate=Validate.DIGEST)
    async with house.run() as pushd:
        job = await pushd.ended(await pushd.take(spec))
    assert (job.state, job.validate) == (JobState.SUCCEEDED, Validate.DIGEST)
    assert pushd.events(IMAGE_VALIDATED) == []


async def test_a_config_that_says_too_little_fails_the_job(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layered(tmp_path / "bad", [Bytes.of(GOOD)], config={"os": "linux", "architecture": "amd64"})
    async with house.run() as pushd:
        job = await pushd.ended(await pushd.take(asked(layout, f"{registry.address}/team/app:1")))
    failure = job.deliveries[0].failure
    assert failure is not None
    assert failure.code == "source.manifest_invalid"
    assert 'rootfs.type: is not "layers"' in failure.message
    assert registry.requests == []


async def test_a_damaged_file_is_told_as_one_whatever_else_it_looks_like(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layered(tmp_path / "app", [Bytes.of(GOOD)])
    blob = layout.blob_path(Bytes.of(GOOD).digest)
    spec = asked(layout, f"{registry.address}/team/app:1")
    async with house.run() as pushd:
        whole = blob.read_bytes()
        blob.write_bytes(bytes(len(whole)))
        job = await pushd.ended(await pushd.take(spec))
        failure = job.deliveries[0].failure
        assert failure is not None
        assert failure.code == "source.blob_digest"
        assert registry.requests == []
        blob.write_bytes(whole)
        await pushd.house.engine.retry(job.id, caller=ROOT)
        again = await pushd.ended(job)
    assert again.state is JobState.SUCCEEDED


async def test_what_was_found_outlives_the_daemon(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    layout = good(tmp_path / "good")
    registry.misbehave(Answer(status=403), kind=Kind.OPEN, nth=1)
    async with house.run() as pushd:
        job = await pushd.ended(await pushd.take(asked(layout, f"{registry.address}/team/app:1")))
    assert job.state is JobState.FAILED
    assert len(pushd.events(IMAGE_VALIDATED)) == 1
    async with house.run() as pushd:
        await pushd.house.engine.retry(job.id, caller=ROOT)
        ended = await pushd.ended(job)
    assert ended.state is JobState.SUCCEEDED
    assert pushd.events(IMAGE_VALIDATED) == []


async def test_what_is_wrong_stays_wrong_and_is_not_looked_for_again(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layered(tmp_path / "bad", [BAD["source.layer_invalid"]()])
    async with house.run() as pushd:
        job = await pushd.ended(await pushd.take(asked(layout, f"{registry.address}/team/app:1")))
    layout.path.rename(tmp_path / "away")
    async with house.run() as pushd:
        await pushd.house.engine.retry(job.id, caller=ROOT)
        again = await pushd.ended(job)
    assert again.deliveries[0].failure == job.deliveries[0].failure
    assert registry.requests == []


async def test_a_plan_looks_into_the_image_too_and_says_what_would_fail(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    bad = build_layered(tmp_path / "bad", [BAD["source.layer_invalid"]()])
    name = f"{registry.address}/team/app:1"
    async with house.run() as pushd:
        plan: Any = await pushd.house.engine.plan(asked(bad, name), caller=ROOT)
        assert registry.requests == []
        fine: Any = await pushd.house.engine.plan(asked(good(tmp_path / "good"), name), caller=ROOT)
    (planned,) = plan["destinations"]
    assert (planned["action"], planned["failure"]["code"]) == ("fail", "source.layer_invalid")
    assert "member 'usr/../../etc/cron.d/job': has a name with .. in it" in planned["failure"]["message"]
    assert fine["destinations"][0]["action"] == "push"
    assert pushd.events(IMAGE_VALIDATED) == []


async def test_what_was_brought_to_the_spool_is_looked_into_there(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layered(tmp_path / "bad", [BAD["source.layer_diff_id"]()])
    root, image = whole(layout)

    async def content(digest: str) -> AsyncIterator[bytes]:
        yield (layout.path / "blobs" / digest.replace(":", "/")).read_bytes()

    async with house.run() as pushd:
        spool = pushd.house.spool
        entry = await spool.create(uid=ROOT.uid, size=1 << 22, ttl=None)
        for one in (root, *image.blobs):
            name = str(one.digest)
            await spool.receive(entry.id, name, uid=ROOT.uid, offset=0, pieces=content(name), complete=True)
        spooled = Spooled(entry=entry.id, media_type=root.media_type, digest=str(root.digest), size=root.size)
        spec = replace(asked(layout, f"{registry.address}/team/app:1"), source="app", spooled=spooled)
        plan: Any = await pushd.house.engine.plan(spec, caller=ROOT)
        job = await pushd.ended(await pushd.take(spec))
    failure = job.deliveries[0].failure
    assert failure is not None
    assert failure.code == plan["destinations"][0]["failure"]["code"] == "source.layer_diff_id"


# ------------------------------------------------------------------------------------------- while it is done


class Gate:
    """Keeps what looks into layers where it is, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.let = threading.Event()
        feed = LayerCheck.feed

        def waiting(check: LayerCheck, content: bytes) -> None:
            self.reached.set()
            assert self.let.wait(60)
            feed(check, content)

        monkeypatch.setattr(LayerCheck, "feed", waiting)

    async def until_reached(self) -> None:
        assert await anyio.to_thread.run_sync(self.reached.wait, 60)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.let.set()


async def test_an_image_that_is_looked_into_holds_up_no_other(
    house: Builder, registry: FakeRegistry, tmp_path: Path, gate: Gate
) -> None:
    layers = [Bytes.of(archive(member(f"file-{number}"))) for number in range(100)]
    many = build_layered(tmp_path / "many", layers)
    other = build_layout(tmp_path / "other", [ImageSpec(layers=[300_000])])
    async with house.run() as pushd:
        looked = await pushd.take(asked(many, f"{registry.address}/team/app:1"))
        await gate.until_reached()
        spec = asked(other, f"{registry.address}/team/other:1", validate=Validate.DIGEST)
        quick = await pushd.ended(await pushd.take(spec))
        assert quick.state is JobState.SUCCEEDED
        assert registry.seen(repository="team/app") == []
        gate.let.set()
        assert (await pushd.ended(looked)).state is JobState.SUCCEEDED


async def test_a_job_can_be_cancelled_meanwhile(
    house: Builder, registry: FakeRegistry, tmp_path: Path, gate: Gate
) -> None:
    async with house.run() as pushd:
        job = await pushd.take(asked(good(tmp_path / "good"), f"{registry.address}/team/app:1"))
        await gate.until_reached()
        await pushd.house.engine.cancel(job.id, caller=ROOT)
        assert (await pushd.ended(job)).state is JobState.CANCELLED
        gate.let.set()
    assert registry.requests == []


async def test_a_job_that_is_paused_meanwhile_stops_and_looks_again_when_it_goes_on(
    house: Builder, registry: FakeRegistry, tmp_path: Path, gate: Gate
) -> None:
    layout = build_layered(tmp_path / "large", [Bytes.of(archive(member("x", bytes(4 << 20))), LAYER)])
    async with house.run() as pushd:
        job = await pushd.take(asked(layout, f"{registry.address}/team/app:1"))
        await gate.until_reached()
        await pushd.house.engine.pause(job.id, caller=ROOT)
        gate.let.set()
        while (await pushd.house.engine.get(job.id, caller=ROOT)).state is not JobState.PAUSED:  # noqa: ASYNC110 (the store tells nobody)
            await anyio.sleep(0.01)
        assert pushd.events(IMAGE_VALIDATED) == []
        await pushd.house.engine.resume(job.id, caller=ROOT)
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED
    assert len(pushd.events(IMAGE_VALIDATED)) == 1


async def test_a_daemon_that_stops_meanwhile_looks_again_in_its_next_life(
    house: Builder, registry: FakeRegistry, tmp_path: Path, gate: Gate
) -> None:
    layout = build_layered(tmp_path / "large", [Bytes.of(archive(member("x", bytes(4 << 20))), LAYER)])
    async with house.run() as pushd:
        job = await pushd.take(asked(layout, f"{registry.address}/team/app:1"))
        await gate.until_reached()
        async with anyio.create_task_group() as stopping:
            stopping.start_soon(pushd.house.scheduler.drain, 60)
            await anyio.lowlevel.checkpoint()
            gate.let.set()
        assert pushd.house.scheduler.running == {}
    assert pushd.events(IMAGE_VALIDATED) == []
    async with house.run() as pushd:
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED
    assert len(pushd.events(IMAGE_VALIDATED)) == 1


# ---------------------------------------------------------------------------------------- how it is cut short


def whole(layout: Layout) -> tuple[Descriptor, Image]:
    """Give the root and the image of a layout of one."""
    (listed,) = json.loads((layout.path / "index.json").read_bytes())["manifests"]
    root = Descriptor(listed["mediaType"], Digest.parse(listed["digest"]), listed["size"])
    return root, read_image(root, lambda one: layout.blob_path(one.digest).read_bytes())


class Slow:
    """A source whose layer gives its second piece only when it is let."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.pieces = 0
        self.closed = 0
        self.reached = threading.Event()
        self.let = threading.Event()

    def open(self, blob: Descriptor) -> Slow._Reader:
        return Slow._Reader(self, self._layout.blob_path(blob.digest).read_bytes(), layer=blob.media_type == LAYER)

    class _Reader:
        def __init__(self, source: Slow, content: bytes, *, layer: bool) -> None:
            self._source = source
            self._content = content
            self._layer = layer

        def read(self, offset: int, length: int) -> bytes:
            if self._layer:
                self._source.pieces += 1
                if offset:
                    self._source.reached.set()
                    assert self._source.let.wait(30)
            return self._content[offset : offset + length]

        def close(self) -> None:
            self._source.closed += self._layer


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def slow(tmp_path: Path) -> Slow:
    return Slow(build_layered(tmp_path / "large", [Bytes.of(archive(member("x", bytes(4 << 20))), LAYER)]))


def look(slow: Slow, threads: Executor, halted: Callable[[], bool]) -> Coroutine[Any, Any, Inspection]:
    inspector = Inspector(store=cast("JobStore", None), threads=threads)
    _, image = whole(slow._layout)
    return inspector.look(cast("Source", slow), image, halted=halted)


async def test_who_leaves_does_not_wait_and_the_thread_ends_with_its_piece(slow: Slow, threads: Executor) -> None:
    async with anyio.create_task_group() as looking:
        looking.start_soon(look, slow, threads, lambda: False)
        assert await anyio.to_thread.run_sync(slow.reached.wait, 30)
        looking.cancel_scope.cancel()
    slow.let.set()
    threads.shutdown(wait=True)
    assert (slow.pieces, slow.closed) == (2, 1)


async def test_a_plan_that_is_looking_does_not_keep_a_daemon_from_its_end(slow: Slow, threads: Executor) -> None:
    inspector = Inspector(store=cast("JobStore", None), threads=threads)
    _, image = whole(slow._layout)

    async def close() -> None:
        assert await anyio.to_thread.run_sync(slow.reached.wait, 30)
        inspector.close()
        slow.let.set()

    async with anyio.create_task_group() as closing:
        closing.start_soon(close)
        with pytest.raises(DaemonError) as caught:
            await inspector.judge(cast("Source", slow), image, uid=0)
    assert "is about to stop; ask again" in str(caught.value)
    assert (slow.pieces, slow.closed) == (2, 1)


async def test_what_is_to_stop_stops_at_the_next_piece(slow: Slow, threads: Executor) -> None:
    halted = threading.Event()

    async def stop() -> None:
        assert await anyio.to_thread.run_sync(slow.reached.wait, 30)
        halted.set()
        slow.let.set()

    async with anyio.create_task_group() as stopping:
        stopping.start_soon(stop)
        with pytest.raises(DrainedError):
            await look(slow, threads, halted.is_set)
    assert (slow.pieces, slow.closed) == (2, 1)
