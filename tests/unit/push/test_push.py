"""A whole push, in one process: real store, source and wire, to a registry that can be told to misbehave."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, RequestError
from pushd.job import DeliveryState, JobState, TransferState
from pushd.oci.digest import Digest
from pushd.oci.upload import Form
from pushd.telemetry.events import (
    DELIVERY_HELD,
    JOB_FINISHED,
    JOB_SUBMITTED,
    TRANSFER_FINISHED,
    UPLOAD_INTERRUPTED,
    UPLOAD_RESTARTED,
)
from tests.fakes.behaviour import DISTRIBUTION_2, Basic, Bearer, Broken
from tests.fakes.callers import ROOT
from tests.fakes.faults import Answer, Cut, CutBody, SlowBody, Stall, StallBody, When
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.registry import FakeRegistry
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fakes.images import BuiltImage
    from tests.unit.push.conftest import Builder

MIB = 1 << 20


async def until(happened: Callable[[], object]) -> None:
    """Look until something has happened, for at most ten seconds."""
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110 (what is looked at is no event)
            await asyncio.sleep(0.01)


def blobs_of(image: BuiltImage) -> set[str]:
    """Give the digests of all blobs of an image."""
    return {str(blob.digest) for blob in (*image.configs, *image.layers)}


async def test_an_image_arrives_whole_and_its_job_says_so(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000, 300_000, 5_000_000])])
    image = layout.images["latest"]
    async with house.run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert job.state is JobState.SUCCEEDED
    assert job.deliveries[0].state is DeliveryState.SUCCEEDED
    assert job.deliveries[0].digest == str(image.root.digest)
    shelf = registry.repository("team/app")
    assert shelf.tags == {"1.4": str(image.root.digest)}
    assert set(shelf.blobs) == blobs_of(image)


async def test_every_transfer_tells_what_it_came_to(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000, 300_000])])
    present = layout.images["latest"].layers[0]
    registry.add_blob("team/app", (layout.path / "blobs" / "sha256" / present.digest.encoded).read_bytes())
    async with house.run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    states = {transfer.digest: transfer.state for transfer in job.deliveries[0].transfers}
    assert states.pop(str(present.digest)) is TransferState.PRESENT
    assert set(states.values()) == {TransferState.UPLOADED}
    assert all(transfer.done == transfer.size for transfer in job.deliveries[0].transfers)
    assert len(pushd.events(TRANSFER_FINISHED)) == 3
    assert len(pushd.events(JOB_SUBMITTED)) == len(pushd.events(JOB_FINISHED)) == 1


async def test_the_same_push_again_is_one_request(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "image")
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
        before = registry.count()
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert job.state is JobState.SUCCEEDED
    assert registry.count() - before == 1
    assert registry.requests[-1].kind is Kind.MANIFEST


async def test_an_index_arrives_with_all_its_children(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(platforms=["linux/amd64", "linux/arm64"])])
    image = layout.images["latest"]
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    shelf = registry.repository("team/app")
    assert set(shelf.manifests) == {str(image.root.digest), *(str(child.digest) for child in image.manifests)}
    assert set(shelf.blobs) == blobs_of(image)


async def test_a_child_that_is_gone_is_put_back_though_its_parent_is_there(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(platforms=["linux/amd64", "linux/arm64"])])
    child = str(layout.images["latest"].manifests[0].digest)
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
        del registry.repository("team/app").manifests[child]
        sent = registry.count(Kind.COMMIT)
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert job.state is JobState.SUCCEEDED
    assert child in registry.repository("team/app").manifests
    assert registry.count(Kind.COMMIT) == sent, "its blobs were still there"


async def test_manifests_go_last_and_the_tag_last_of_all(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(platforms=["linux/amd64", "linux/arm64"])])
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    writes = [seen for seen in registry.requests if seen.method in ("PUT", "PATCH", "POST")]
    kinds = [seen.kind is Kind.MANIFEST for seen in writes]
    assert kinds == sorted(kinds), "no blob after the first manifest"
    assert writes[-1].path.endswith("/manifests/1.4")


async def test_several_destinations_end_each_on_its_own(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "image")
    registry.misbehave(Answer(status=403), method="POST", repository="closed/app", times=None)
    async with house.run() as pushd:
        job = await pushd.push(
            f"oci:{layout.path}", f"{registry.address}/open/app:1", f"{registry.address}/closed/app:1"
        )
    assert job.state is JobState.PARTIAL
    assert [delivery.state for delivery in job.deliveries] == [DeliveryState.SUCCEEDED, DeliveryState.FAILED]
    assert job.deliveries[1].failure is not None
    assert job.deliveries[1].failure.code == Code.REGISTRY_DENIED
    assert not registry.repository("closed/app").tags


# ------------------------------------------------------------------------------------------- a source that lies


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("size", [200_000, 5 * MIB], ids=["one piece", "many pieces"])
async def test_a_corrupted_blob_is_caught_before_its_last_piece_leaves(
    house: Builder, registry: FakeRegistry, tmp_path: Path, form: Form, size: int
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000, size])])
    victim = layout.images["latest"].layers[1]
    path = layout.path / "blobs" / "sha256" / victim.digest.encoded
    content = bytearray(path.read_bytes())
    content[size // 3] ^= 0xFF
    path.write_bytes(content)
    configured = house.with_registry(registry.address, upload=form, chunk_size=2 * MIB)
    async with configured.run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    failure = job.deliveries[0].failure
    assert job.state is JobState.FAILED
    assert failure is not None
    assert failure.code == Code.SOURCE_BLOB_DIGEST
    assert str(victim.digest) in failure.message
    states = {transfer.digest: transfer.state for transfer in job.deliveries[0].transfers}
    assert states[str(victim.digest)] is TransferState.FAILED
    shelf = registry.repository("team/app")
    assert str(victim.digest) not in shelf.blobs
    assert not shelf.manifests, "no manifest after a failed blob"
    assert not shelf.sessions, "nothing of it is left at the registry"
    carried = sum(seen.received for seen in registry.requests if seen.kind in (Kind.CHUNK, Kind.STREAM, Kind.COMMIT))
    assert carried < 1000 + 2000 + victim.size, "its last piece never left"
    refused = [seen for seen in registry.seen(Kind.COMMIT) if str(victim.digest) in str(seen.query)]
    assert all(seen.status is None or seen.status >= 400 for seen in refused), "its digest was never put"


async def test_an_empty_blob_that_should_not_be_empty_is_refused_at_submission(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image")
    victim = layout.images["latest"].layers[0]
    (layout.path / "blobs" / "sha256" / victim.digest.encoded).write_bytes(b"")
    async with house.run() as pushd:
        with pytest.raises(Exception, match=str(victim.digest)) as refused:
            await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert refused.value.code is Code.SOURCE_BLOB_SIZE  # type: ignore[attr-defined]  # matched by its code, not its class
    assert registry.count() == 0


async def test_a_digest_in_the_destination_must_be_the_images(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image")
    right = layout.images["latest"].root.digest
    wrong = "sha256:" + "0" * 64
    async with house.run() as pushd:
        with pytest.raises(RequestError, match="another digest"):
            await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app@{wrong}")
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app@{right}")
    assert job.state is JobState.SUCCEEDED
    assert not registry.repository("team/app").tags


# ------------------------------------------------------------------------------------ a registry that misbehaves


@pytest.mark.parametrize("broken", list(Broken))
async def test_a_chunk_cut_midway_is_recovered(
    house: Builder, registry: FakeRegistry, tmp_path: Path, broken: Broken
) -> None:
    registry.behaviour = replace(registry.behaviour, broken=broken)
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[6 * MIB])])
    # The third: one of the first two is the configuration's, whichever blob is faster.
    registry.misbehave(CutBody(after=MIB + 70_000), kind=Kind.CHUNK, nth=3)
    configured = house.with_registry(registry.address, upload=Form.CHUNKED, chunk_size=2 * MIB)
    async with configured.run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert job.state is JobState.SUCCEEDED
    assert job.deliveries[0].attempt == 1
    assert pushd.events(UPLOAD_INTERRUPTED)
    assert bool(pushd.events(UPLOAD_RESTARTED)) == (broken in (Broken.LOST, Broken.DELETED))
    assert set(registry.repository("team/app").blobs) == blobs_of(layout.images["latest"])


async def test_bytes_the_registry_kept_of_a_broken_chunk_are_not_sent_again(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[6 * MIB])])
    layer = layout.images["latest"].layers[0]
    registry.misbehave(CutBody(after=3 * MIB), kind=Kind.CHUNK)
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    second = registry.seen(Kind.CHUNK, repository="team/app")
    resumed = [seen for seen in second if (seen.headers.get("Content-Range") or "").startswith(str(3 * MIB))]
    assert len(resumed) == 1
    assert resumed[0].received == layer.size - 3 * MIB


async def test_a_reply_lost_after_the_commit_does_not_send_the_blob_again(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[100_000])])
    registry.misbehave(Cut(when=When.COMMITTED), kind=Kind.COMMIT)
    async with house.run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert job.state is JobState.SUCCEEDED
    assert registry.count(Kind.COMMIT) == 2, "one for the layer, one for the config, none again"


async def test_a_registry_that_stops_reading_is_left_and_found_again(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[16 * MIB])])
    registry.misbehave(StallBody(after=MIB), kind=Kind.CHUNK)
    async with house.with_timeouts(stall=0.5).run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert job.state is JobState.SUCCEEDED
    assert pushd.events(UPLOAD_INTERRUPTED)[0].fields["code"] == Code.REGISTRY_STALLED


async def test_a_registry_that_does_not_answer_is_asked_again(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image")
    registry.misbehave(Stall(), kind=Kind.MANIFEST)
    async with house.with_timeouts(request=0.2, connect=0.2).run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert job.state is JobState.SUCCEEDED
    assert Code.REGISTRY_STALLED in {one.code for one in job.deliveries[0].history}


async def test_a_registry_that_never_answers_holds_no_job_for_ever(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image")
    registry.misbehave(Stall(), kind=Kind.MANIFEST, times=None)
    async with house.with_timeouts(request=0.2, connect=0.2).run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4", deadline=3)
    assert job.deliveries[0].failure is not None
    assert job.deliveries[0].failure.code == Code.REQUEST_DEADLINE


async def test_a_slow_registry_is_not_cut_off_while_bytes_move(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[8 * MIB])])
    registry.misbehave(SlowBody(rate=4 * MIB), kind=Kind.CHUNK)
    async with house.with_timeouts(stall=1, request=1).run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert job.state is JobState.SUCCEEDED
    assert not pushd.events(UPLOAD_INTERRUPTED)


async def test_a_web_site_is_told_from_a_registry(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "image")
    page = b"<html><head><title>Welcome to nginx</title></head></html>"
    registry.misbehave(Answer(status=200, headers={"Content-Type": "text/html"}, body=page), times=None)
    async with house.run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    failure = job.deliveries[0].failure
    assert failure is not None
    assert failure.code == Code.REGISTRY_MALFORMED
    assert "Welcome to nginx" in failure.message


@pytest.mark.parametrize(
    ("destination", "code"),
    [
        ("127.0.0.1:1/team/app:1.4", Code.REGISTRY_UNREACHABLE),
        ("registry.invalid/team/app:1.4", Code.REGISTRY_UNRESOLVED),
    ],
)
async def test_a_registry_that_is_not_there_ends_the_job_with_one_clear_error(
    house: Builder, tmp_path: Path, destination: str, code: Code
) -> None:
    layout = build_layout(tmp_path / "image")
    async with house.run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", destination)
    failure = job.deliveries[0].failure
    assert job.state is JobState.FAILED
    assert failure is not None
    assert failure.code == code
    assert destination.partition("/")[0] in failure.message
    assert len(pushd.events(DELIVERY_HELD)) == 1, "it was tried twice, as configured"


async def test_a_registry_that_comes_back_finds_the_job_waiting(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image")
    await registry.stop()
    async with house.with_limits(attempts=9).run() as pushd:
        job = await pushd.submit(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
        await until(lambda: pushd.events(DELIVERY_HELD))
        await registry.start()
        job = await pushd.house.engine.wait(job.id, 60, caller=ROOT)
    assert job.state is JobState.SUCCEEDED


async def test_a_manifest_the_registry_lost_is_no_success(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image")
    registry.misbehave(Answer(status=404), kind=Kind.MANIFEST, method="HEAD", times=None)
    async with house.run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert job.deliveries[0].failure is not None
    assert job.deliveries[0].failure.code == Code.REGISTRY_DIGEST_MISMATCH


# --------------------------------------------------------------------------------------- going on, and stopping


@pytest.mark.parametrize("behaviour", ["distribution 3", "distribution 2"])
async def test_a_daemon_that_stops_midway_goes_on_where_it_was(
    house: Builder, registry: FakeRegistry, tmp_path: Path, behaviour: str
) -> None:
    if behaviour == "distribution 2":
        registry.behaviour = DISTRIBUTION_2
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[12 * MIB])])
    layer = layout.images["latest"].layers[0]
    stall = registry.misbehave(StallBody(after=MIB), kind=Kind.CHUNK, nth=4)
    configured = house.with_registry(registry.address, upload=Form.CHUNKED, chunk_size=2 * MIB)
    async with configured.run() as pushd:
        job = await pushd.submit(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
        await until(lambda: stall.acted)
    async with configured.run() as pushd:
        job = await pushd.house.engine.wait(job.id, 60, caller=ROOT)
    assert job.state is JobState.SUCCEEDED
    assert set(registry.repository("team/app").blobs) == blobs_of(layout.images["latest"])
    if behaviour == "distribution 3":
        sent = sum(seen.received for seen in registry.seen(Kind.CHUNK))
        assert sent <= layer.size + 2000 + 2 * MIB, "what had arrived was not sent again"
        assert any(event.fields.get("resumed", 0) for event in pushd.events(TRANSFER_FINISHED))


async def test_a_cancelled_job_stops_at_once_and_leaves_no_session_behind(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[16 * MIB])])
    stall = registry.misbehave(StallBody(after=MIB), kind=Kind.CHUNK)
    async with house.run() as pushd:
        job = await pushd.submit(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
        await until(lambda: stall.acted)
        await pushd.house.engine.cancel(job.id, caller=ROOT)
        job = await pushd.house.engine.wait(job.id, 20, caller=ROOT)
    assert job.state is JobState.CANCELLED
    assert registry.count(Kind.CANCEL) >= 1
    assert not registry.repository("team/app").sessions
    assert not registry.repository("team/app").manifests


async def test_a_job_past_its_deadline_fails_and_says_so(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[16 * MIB])])
    registry.misbehave(StallBody(after=MIB), kind=Kind.CHUNK)
    async with house.run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4", deadline=0.5)
    assert job.state is JobState.FAILED
    assert job.deliveries[0].failure is not None
    assert job.deliveries[0].failure.code == Code.REQUEST_DEADLINE


async def test_an_image_for_several_registries_is_hashed_once(
    house: Builder, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[9 * MIB, 400_000])])
    hashed: Counter[Digest] = Counter()

    class Hasher:
        def __init__(self, digest: Digest) -> None:
            self._digest = digest
            self._hasher = hashlib.new(digest.algorithm)

        def update(self, data: bytes | memoryview, /) -> None:
            hashed[self._digest] += len(data)
            self._hasher.update(data)

        def hexdigest(self) -> str:
            return self._hasher.hexdigest()

        def copy(self) -> Hasher:
            return self

    monkeypatch.setattr("pushd.work._SETTLED_NS", 0)  # a file of this very moment
    monkeypatch.setattr(Digest, "hasher", lambda digest: Hasher(digest))  # noqa: PLW0108 (a class is no method)
    async with FakeRegistry() as second, FakeRegistry() as third, house.run() as pushd:
        registries = (registry, second, third)
        job = await pushd.push(f"oci:{layout.path}", *(f"{it.address}/team/app:1" for it in registries))
    assert job.state is JobState.SUCCEEDED, [delivery.failure for delivery in job.deliveries]
    assert {layer.digest: hashed[layer.digest] for layer in layout.image.layers} == {
        layer.digest: layer.size for layer in layout.image.layers
    }


async def test_two_jobs_that_need_the_same_blob_send_it_once(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[3 * MIB, 400_000])])
    source = f"oci:{layout.path}"
    async with house.run() as pushd:
        jobs = await asyncio.gather(
            *(pushd.push(source, f"{registry.address}/team/app:{number}") for number in range(5))
        )
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert registry.count(Kind.COMMIT) == 3, "two layers and a config, each once"


async def test_uploads_run_side_by_side_up_to_the_limit(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[MIB] * 12)])
    registry.misbehave(SlowBody(rate=8 * MIB), kind=Kind.COMMIT, times=None)
    async with house.with_registry(registry.address, max_uploads=3).run() as pushd:
        await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert 2 <= registry.peak_uploads <= 4, "three large ones, and one in the lane of small blobs"


# ------------------------------------------------------------------------------------------------ authorisation


async def test_a_token_is_fetched_once_and_used_for_the_whole_push(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.behaviour = replace(registry.behaviour, auth=Bearer())
    (tmp_path / "config.json").write_text(login(registry.address))
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000] * 20)])
    async with house.run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert job.state is JobState.SUCCEEDED
    assert registry.count(Kind.TOKEN) == 1


async def test_a_token_that_ends_in_mid_push_is_renewed(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    registry.behaviour = replace(registry.behaviour, auth=Bearer())
    (tmp_path / "config.json").write_text(login(registry.address))
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[10 * MIB])])
    registry.misbehave(Answer(status=401), kind=Kind.CHUNK, nth=2)
    configured = house.with_registry(registry.address, upload=Form.CHUNKED, chunk_size=2 * MIB)
    async with configured.run() as pushd:
        job = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert job.state is JobState.SUCCEEDED


async def test_basic_authorisation_works_and_a_wrong_password_is_a_clear_error(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.behaviour = replace(registry.behaviour, auth=Basic())
    layout = build_layout(tmp_path / "image")
    async with house.run() as pushd:
        (tmp_path / "config.json").write_text(login(registry.address, password="wrong"))
        refused = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
        (tmp_path / "config.json").write_text(login(registry.address))
        accepted = await pushd.push(f"oci:{layout.path}", f"{registry.address}/team/app:1.4")
    assert refused.deliveries[0].failure is not None
    assert refused.deliveries[0].failure.code == Code.REGISTRY_UNAUTHORIZED
    assert accepted.state is JobState.SUCCEEDED


def login(address: str, password: str = "correct horse") -> str:
    """Give a Docker configuration as `docker login` writes it."""
    auth = base64.b64encode(f"alice:{password}".encode()).decode()
    return json.dumps({"auths": {address: {"auth": auth}}})
