"""What refers to an image goes along with it, and can be found where it arrives."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pushd.errors import Code, PushdError
from pushd.job import Compress, JobSpec, JobState, Retain, Spooled, Validate
from pushd.oci.digest import Digest
from pushd.oci.referrers import referrers_tag
from pushd.push import about, referrers
from pushd.source import open_source
from pushd.source.about import listing_of
from pushd.telemetry.events import MANIFEST_PUT
from tests.fakes.behaviour import DISTRIBUTION_2, Behaviour
from tests.fakes.callers import ROOT
from tests.fakes.faults import Answer, error_body
from tests.fakes.images import INDEX, MANIFEST, ImageSpec, build_layout, entry, pack
from tests.fakes.referrers import build_signed, cosign, keys_of, refer, tag_of, tagged
from tests.fakes.registry import FakeRegistry
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pushd.job import Job
    from tests.fakes.referrers import Signed
    from tests.unit.push.conftest import Builder, Pushed

WITH_API = Behaviour()
WITHOUT_API = DISTRIBUTION_2


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(referrers, "_PAUSE", 0.0)
    monkeypatch.setattr(referrers, "_SETTLED", 0.0)


@pytest.fixture(params=[WITH_API, WITHOUT_API], ids=["API", "tags"])
def destination(request: pytest.FixtureRequest, registry: FakeRegistry) -> FakeRegistry:
    """Give a registry with the referrers API, and one without."""
    registry.behaviour = request.param
    return registry


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return build_signed(tmp_path / "app")


async def push(pushd: Pushed, source: str, registry: FakeRegistry, *, to: str = "team/app:1.4", **more: object) -> Job:
    spec = JobSpec(source=source, destinations=(f"{registry.address}/{to}",), with_referrers=True)
    return await pushd.ended(await pushd.take(replace(spec, **more)))  # type: ignore[arg-type]  # the test names real fields


async def refused(pushd: Pushed, source: str, registry: FakeRegistry, **more: object) -> PushdError:
    with pytest.raises(PushdError) as caught:
        await push(pushd, source, registry, **more)  # type: ignore[arg-type]  # as push has it
    assert not registry.requests
    return caught.value


def listed(registry: FakeRegistry, subject: Digest, repository: str = "team/app") -> list[str]:
    """Give the digests that a registry lists as the referrers of a manifest, in whichever way it does."""
    shelf = registry.repository(repository)
    if registry.behaviour.referrers:
        return [str(one["digest"]) for one in shelf.referrers(str(subject))]
    index = shelf.manifest(referrers_tag(subject))
    return [] if index is None else [one["digest"] for one in json.loads(index.content)["manifests"]]


def check_there(registry: FakeRegistry, signed: Signed, repository: str = "team/app") -> None:
    shelf = registry.repository(repository)
    for manifest in signed.manifests:
        held = shelf.manifests[str(manifest.digest)]
        assert held.content == signed.layout.blob_path(manifest.digest).read_bytes()
        assert held.media_type == manifest.media_type
        assert not shelf.missing(held)
    for manifest, subject in signed.referring:
        assert listed(registry, subject, repository) == [str(manifest.digest)]
    assert shelf.tags["1.4"] == str(signed.image.digest)
    assert shelf.tags[tag_of(signed.image.digest)] == str(signed.sig.digest)


# ----------------------------------------------------------------------------------------------- out of a layout


async def test_all_that_refers_to_an_image_arrives_with_it(
    house: Builder, destination: FakeRegistry, signed: Signed
) -> None:
    async with house.run() as pushd:
        job = await push(pushd, signed.source, destination)
        assert job.state is JobState.SUCCEEDED, job
        assert job.referrers == 4
        check_there(destination, signed)
        again = await pushd.house.engine.get(job.id, caller=ROOT)
        assert again.referrers == 4


async def test_the_same_push_again_puts_nothing(house: Builder, destination: FakeRegistry, signed: Signed) -> None:
    async with house.run() as pushd:
        await push(pushd, signed.source, destination)
        before = len(destination.requests)
        job = await push(pushd, signed.source, destination)
        assert job.state is JobState.SUCCEEDED, job
        assert {seen.method for seen in destination.requests[before:]} == {"HEAD", "GET"}


async def test_the_tag_is_put_when_all_else_is_there(house: Builder, destination: FakeRegistry, signed: Signed) -> None:
    async with house.run() as pushd:
        await push(pushd, signed.source, destination)
        put = [seen.reference for seen in destination.seen(Kind.MANIFEST, method="PUT")]
        assert put[-1] == "1.4"
        told = [event.fields["tag"] or event.fields["digest"] for event in pushd.events(MANIFEST_PUT)]
        assert told == put


async def test_an_image_alone_is_asked_for_with_one_request_and_goes_alone(
    house: Builder, destination: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "one", [ImageSpec(tag="1.4")])
    layout.write_index(tagged("1.4", layout.image.root), entry(refer(layout, layout.image.root)))
    async with house.run() as pushd:
        job = await push(pushd, f"oci:{layout.path}:1.4", destination, with_referrers=False)
        assert job.referrers is None
        assert destination.repository("team/app").manifests.keys() == {str(layout.image.digest)}
        before = len(destination.requests)
        await push(pushd, f"oci:{layout.path}:1.4", destination, with_referrers=False)
        assert len(destination.requests) == before + 1


async def test_what_refers_to_an_image_that_is_there_follows_it(
    house: Builder, destination: FakeRegistry, signed: Signed
) -> None:
    async with house.run() as pushd:
        await push(pushd, signed.source, destination, with_referrers=False)
        sent = {seen.reference for seen in destination.seen(Kind.COMMIT)}
        job = await push(pushd, signed.source, destination)
        assert job.state is JobState.SUCCEEDED, job
        check_there(destination, signed)
        assert {transfer.digest for transfer in job.deliveries[0].transfers}.isdisjoint(sent)


async def test_what_is_there_and_cannot_be_found_is_listed_again(
    house: Builder, registry: FakeRegistry, signed: Signed
) -> None:
    registry.behaviour = WITHOUT_API
    async with house.run() as pushd:
        await push(pushd, signed.source, registry)
        shelf = registry.repository("team/app")
        del shelf.tags[referrers_tag(signed.image.digest)]
        del shelf.tags[tag_of(signed.image.digest)]
        await push(pushd, signed.source, registry)
        check_there(registry, signed)


async def test_under_another_tag_it_is_listed_once(house: Builder, destination: FakeRegistry, signed: Signed) -> None:
    async with house.run() as pushd:
        await push(pushd, signed.source, destination)
        await push(pushd, signed.source, destination, to="team/app:latest")
        check_there(destination, signed)


async def test_jobs_at_once_lose_none_of_what_refers_to_one_image(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.behaviour = WITHOUT_API
    layouts = []
    for name in "abcdef":
        layout = build_layout(tmp_path / name, [ImageSpec(tag="1.4")])
        layout.write_index(
            tagged("1.4", layout.image.root),
            entry(refer(layout, layout.image.root, said=name)),
            tagged(tag_of(layout.image.digest), cosign(layout, layout.image.digest, name)),
        )
        layouts.append(layout)
    async with house.run() as pushd:
        specs = [
            JobSpec(
                source=f"oci:{layout.path}:1.4", destinations=(f"{registry.address}/app:{number}",), with_referrers=True
            )
            for number, layout in enumerate(layouts)
        ]
        for job in [await pushd.take(spec) for spec in specs]:
            ended = await pushd.ended(job)
            assert ended.state is JobState.SUCCEEDED, ended
    shelf, digest = registry.repository("app"), layouts[0].image.digest
    assert len(listed(registry, digest, "app")) == len(layouts)
    signature = shelf.manifest(tag_of(digest))
    assert signature is not None
    assert sorted(keys_of(signature.content)) == list("abcdef")
    assert not shelf.missing(signature)


async def test_what_others_have_listed_stays(house: Builder, registry: FakeRegistry, signed: Signed) -> None:
    registry.behaviour = WITHOUT_API
    theirs = {
        "schemaVersion": 2, "mediaType": INDEX, "annotations": {"org.example": "kept"},
        "manifests": [entry(signed.image.manifests[0], artifactType="a/b", data="e30=")],
    }  # fmt: skip
    tag = referrers_tag(signed.image.digest)
    registry.add_manifest("team/app", json.dumps(theirs).encode(), INDEX, tag)
    async with house.run() as pushd:
        await push(pushd, signed.source, registry)
    index = registry.repository("team/app").manifest(tag)
    assert index is not None
    after = json.loads(index.content)
    assert after["manifests"][:1] == theirs["manifests"]
    assert after["annotations"] == theirs["annotations"]
    (ours,) = after["manifests"][1:]
    assert ours == entry(
        signed.signature, artifactType="application/vnd.example.signature.v1", annotations={"org.example.said": "yes"}
    )


async def test_what_others_have_listed_and_removed_since_is_no_obstacle(
    house: Builder, registry: FakeRegistry, signed: Signed
) -> None:
    registry.behaviour = WITHOUT_API
    child, gone = signed.image.manifests[0], replace(signed.sig, digest=Digest.of(b"removed"))
    theirs = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(gone), entry(child)]}
    registry.add_manifest("team/app", json.dumps(theirs).encode(), INDEX, referrers_tag(signed.image.digest))
    async with house.run() as pushd:
        job = await push(pushd, signed.source, registry)
    assert job.state is JobState.SUCCEEDED, job
    assert listed(registry, signed.image.digest) == [str(child.digest), str(signed.signature.digest)]


async def test_a_list_that_is_refused_for_something_else_stays_as_it_is(
    house: Builder, registry: FakeRegistry, signed: Signed
) -> None:
    registry.behaviour = WITHOUT_API
    async with house.run() as pushd:
        await push(pushd, signed.source, registry)
        del registry.repository("team/app").tags[referrers_tag(signed.image.digest)]
        unknown = Answer(status=400, body=error_body("MANIFEST_BLOB_UNKNOWN", "blob unknown"))
        registry.misbehave(unknown, kind=Kind.MANIFEST, method="PUT", nth=2, times=None)
        await push(pushd, signed.source, registry, deadline=2.0)
    assert listed(registry, signed.image.digest) == []


@pytest.mark.parametrize("content", [b"[]", b'{"schemaVersion":2,"config":{}}'], ids=["no index", "an image"])
async def test_a_list_that_is_none_is_not_overwritten(
    house: Builder, registry: FakeRegistry, signed: Signed, content: bytes
) -> None:
    registry.behaviour = WITHOUT_API
    tag = referrers_tag(signed.image.digest)
    registry.add_manifest("team/app", content, MANIFEST, tag)
    async with house.run() as pushd:
        job = await push(pushd, signed.source, registry)
    failure = job.deliveries[0].failure
    assert failure is not None
    assert failure.code == Code.REGISTRY_MALFORMED
    assert tag in failure.message
    assert "1.4" not in registry.repository("team/app").tags


async def test_a_list_that_is_none_is_told_where_the_image_is_there_already(
    house: Builder, registry: FakeRegistry, signed: Signed
) -> None:
    registry.behaviour = WITHOUT_API
    async with house.run() as pushd:
        await push(pushd, signed.source, registry)
        registry.add_manifest("team/app", b"[]", INDEX, referrers_tag(signed.image.digest))
        job = await push(pushd, signed.source, registry)
    failure = job.deliveries[0].failure
    assert failure is not None
    assert failure.code == Code.REGISTRY_MALFORMED
    assert f"the referrers of {signed.image.digest}" in failure.message


async def test_an_image_that_is_a_referrer_itself_is_listed_whoever_asked_for_what(
    house: Builder, destination: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app")
    signature = refer(layout, layout.image.root)
    layout.write_index(tagged("sig", signature))
    async with house.run() as pushd:
        job = await push(pushd, f"oci:{layout.path}:sig", destination, with_referrers=False)
        assert job.state is JobState.SUCCEEDED, job
    assert listed(destination, layout.image.digest) == [str(signature.digest)]


# ------------------------------------------------------------------------------------------------- cosign's tags


async def test_signatures_by_others_stay_beside_those_that_are_brought(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4")])
    digest = layout.image.digest
    tag = tag_of(digest)

    async def signed_by(pushd: Pushed, *keys: str) -> list[str]:
        layout.write_index(tagged("1.4", layout.image.root), tagged(tag, cosign(layout, digest, *keys)))
        job = await push(pushd, f"oci:{layout.path}:1.4", registry)
        assert job.state is JobState.SUCCEEDED, job
        there = registry.repository("team/app").manifest(tag)
        assert there is not None
        return keys_of(there.content)

    async with house.run() as pushd:
        assert await signed_by(pushd, "alice") == ["alice"]
        assert await signed_by(pushd, "bob") == ["alice", "bob"]
        assert await signed_by(pushd, "alice") == ["alice", "bob"]
        before = registry.count(method="PUT")
        assert await signed_by(pushd, "alice", "bob") == ["alice", "bob"]
        assert registry.count(method="PUT") == before, "nothing was missing"
        assert await signed_by(pushd, "carol", "bob", "alice") == ["carol", "bob", "alice"]


async def test_an_sbom_under_a_tag_is_not_overwritten_with_another(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4")])
    tag = tag_of(layout.image.digest, ".sbom")
    layout.write_index(tagged("1.4", layout.image.root), tagged(tag, cosign(layout, layout.image.digest, "ours")))
    theirs = b'{"schemaVersion":2,"config":{"mediaType":"a/b","size":1,"digest":"x"},"layers":[]}'
    named = registry.add_manifest("team/app", theirs, MANIFEST, tag)
    async with house.run() as pushd:
        job = await push(pushd, f"oci:{layout.path}:1.4", registry)
    failure = job.deliveries[0].failure
    assert failure is not None
    assert failure.code == Code.REGISTRY_TAG_EXISTS
    assert tag in failure.message
    assert registry.repository("team/app").tags == {tag: named}


# -------------------------------------------------------------------------------------------- out of a registry


@pytest.fixture(params=[WITH_API, WITHOUT_API], ids=["from API", "from tags"])
async def origin(request: pytest.FixtureRequest) -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as origin:
        origin.behaviour = request.param
        yield origin


async def test_from_registry_to_registry_all_that_refers_to_an_image_arrives(
    house: Builder, origin: FakeRegistry, destination: FakeRegistry, signed: Signed
) -> None:
    async with house.run() as pushd:
        await push(pushd, signed.source, origin, to="base/app:1.4")
        job = await push(pushd, f"docker://{origin.address}/base/app:1.4", destination)
        assert job.state is JobState.SUCCEEDED, job
        assert job.referrers == 4
        check_there(destination, signed)
        before = destination.count(method="PUT")
        await push(pushd, f"docker://{origin.address}/base/app:1.4", destination)
        assert destination.count(method="PUT") == before


async def test_what_refers_to_an_image_is_what_did_when_the_job_was_taken(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, signed: Signed
) -> None:
    async with house.run() as pushd:
        await push(pushd, signed.source, origin, to="base/app:1.4")
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        spec = JobSpec(
            source=f"docker://{origin.address}/base/app:1.4",
            destinations=(f"{registry.address}/team/app:1.4",),
            with_referrers=True,
        )
        job = await pushd.take(spec)
        shelf = origin.repository("base/app")
        shelf.tags = {"1.4": shelf.tags["1.4"]}
        del shelf.manifests[str(signed.signature.digest)]
        await pushd.house.engine.resume_registry(registry.address, caller=ROOT)
        ended = await pushd.ended(job)
        assert ended.state is JobState.SUCCEEDED, ended
        check_there(registry, signed)


async def test_a_source_that_lists_what_is_not_there_is_refused(
    house: Builder, registry: FakeRegistry, signed: Signed
) -> None:
    async with FakeRegistry() as origin, house.run() as pushd:
        origin.behaviour = WITHOUT_API
        await push(pushd, signed.source, origin, to="base/app:1.4")
        del origin.repository("base/app").manifests[str(signed.signature.digest)]
        error = await refused(pushd, f"docker://{origin.address}/base/app:1.4", registry)
    assert error.code is Code.SOURCE_BLOB_MISSING
    assert str(signed.signature.digest) in error.subject
    assert str(signed.image.digest) in error.detail


async def test_a_source_whose_list_is_none_is_refused(house: Builder, registry: FakeRegistry, signed: Signed) -> None:
    async with FakeRegistry() as origin, house.run() as pushd:
        origin.behaviour = WITHOUT_API
        await push(pushd, signed.source, origin, to="base/app:1.4", with_referrers=False)
        origin.add_manifest("base/app", b'{"schemaVersion":2}', INDEX, referrers_tag(signed.image.digest))
        error = await refused(pushd, f"docker://{origin.address}/base/app:1.4", registry)
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert f"the referrers of {signed.image.digest}" in error.subject


async def test_what_two_tags_name_arrives_under_both(house: Builder, registry: FakeRegistry, signed: Signed) -> None:
    async with FakeRegistry() as origin, house.run() as pushd:
        await push(pushd, signed.source, origin, to="base/app:1.4")
        origin.repository("base/app").tags[tag_of(signed.image.digest, ".sbom")] = str(signed.sig.digest)
        job = await push(pushd, f"docker://{origin.address}/base/app:1.4", registry)
        assert job.referrers == 4
    check_there(registry, signed)
    assert registry.repository("team/app").tags[tag_of(signed.image.digest, ".sbom")] == str(signed.sig.digest)


async def test_a_source_with_more_under_tags_than_an_image_may_have_is_refused(
    house: Builder, registry: FakeRegistry, signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(about, "MAX_TOTAL", signed.sig.size - 1)
    async with FakeRegistry() as origin, house.run() as pushd:
        await push(pushd, signed.source, origin, to="base/app:1.4")
        error = await refused(pushd, f"docker://{origin.address}/base/app:1.4", registry)
    assert error.code is Code.SOURCE_MANIFEST_TOO_LARGE


async def test_a_source_that_does_not_say_what_it_lists_is_not_taken_for_one_without(
    house: Builder, registry: FakeRegistry, signed: Signed
) -> None:
    async with FakeRegistry() as origin, house.run() as pushd:
        await push(pushd, signed.source, origin, to="base/app:1.4")
        origin.misbehave(Answer(status=403), kind=Kind.REFERRERS)
        error = await refused(pushd, f"docker://{origin.address}/base/app:1.4", registry)
    assert error.code is Code.SOURCE_DENIED


# ------------------------------------------------------------------------------------------ what may be asked for


async def test_a_plan_counts_what_would_go_along(house: Builder, destination: FakeRegistry, signed: Signed) -> None:
    spec = JobSpec(source=signed.source, destinations=(f"{destination.address}/team/app:1.4",), with_referrers=True)

    async def planned(pushd: Pushed, spec: JobSpec = spec) -> tuple[object, Any]:
        plan: Any = await pushd.house.engine.plan(spec, caller=ROOT)
        (told,) = plan["destinations"]
        return plan["referrers"], told

    async with house.run() as pushd:
        referrers, told = await planned(pushd)
        assert (referrers, told["manifests"]["count"]) == (4, len(signed.manifests))
        referrers, told = await planned(pushd, replace(spec, with_referrers=False))
        assert (referrers, told["manifests"]["count"]) == (None, len(signed.image.manifests))
        await push(pushd, signed.source, destination)
        _, told = await planned(pushd)
        assert told["action"] == "nothing"


async def test_with_platforms_what_refers_to_what_is_pushed_goes_along(
    house: Builder, registry: FakeRegistry, signed: Signed
) -> None:
    async with house.run() as pushd:
        job = await push(pushd, signed.source, registry, platforms=("linux/amd64",))
        assert job.state is JobState.SUCCEEDED, job
        assert job.referrers == 2
    there = registry.repository("team/app").manifests
    assert str(signed.sbom.digest) in there
    assert str(signed.countersigned.digest) in there
    assert str(signed.signature.digest) not in there


async def test_what_is_copied_first_has_all_of_it(house: Builder, destination: FakeRegistry, signed: Signed) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(destination.address, caller=ROOT)
        spec = JobSpec(
            source=signed.source,
            destinations=(f"{destination.address}/team/app:1.4",),
            with_referrers=True,
            retain=Retain.SPOOL,
        )
        job = await pushd.take(spec)
        signed.layout.path.rename(signed.layout.path.with_name("gone"))
        await pushd.house.engine.resume_registry(destination.address, caller=ROOT)
        ended = await pushd.ended(job)
        assert ended.state is JobState.SUCCEEDED, ended
        signed.layout.path.with_name("gone").rename(signed.layout.path)
        check_there(destination, signed)


async def test_what_is_looked_into_is_not_refused_for_what_refers_to_it(
    house: Builder, registry: FakeRegistry, signed: Signed
) -> None:
    async with house.run() as pushd:
        job = await push(pushd, signed.source, registry, validate=Validate.FULL)
        assert job.state is JobState.SUCCEEDED, job
        check_there(registry, signed)


async def test_an_archive_of_a_layout_has_it_too(
    house: Builder, registry: FakeRegistry, signed: Signed, tmp_path: Path
) -> None:
    archive = pack(signed.layout.path, tmp_path / "app.tar")
    async with house.run() as pushd:
        job = await push(pushd, f"oci-archive:{archive}:1.4", registry)
        assert job.state is JobState.SUCCEEDED, job
        check_there(registry, signed)


@pytest.mark.parametrize("source", ["docker-archive:/nowhere", "dir:/nowhere", "docker-daemon:app:1"])
async def test_what_has_no_place_for_it_is_refused_by_name(house: Builder, registry: FakeRegistry, source: str) -> None:
    async with house.run() as pushd:
        error = await refused(pushd, source, registry)
    assert (error.code, error.subject) == (Code.REQUEST_MALFORMED, "with_referrers")


async def test_it_does_not_go_with_layers_that_are_compressed_first(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", compressed=False)])
    source = f"oci:{layout.path}:1.4"
    layout.write_index(tagged("1.4", layout.image.root), entry(refer(layout, layout.image.root)))
    async with house.run() as pushd:
        error = await refused(pushd, source, registry, compress=Compress.GZIP)
        assert (error.code, error.subject) == (Code.REQUEST_MALFORMED, "compress")


async def test_what_was_brought_with_an_image_goes_along_with_it(
    house: Builder, destination: FakeRegistry, signed: Signed
) -> None:
    layout, root = signed.layout, signed.image.root
    source = open_source(signed.source, uid=0, gids=frozenset())
    image = source.with_referrers(source.image())
    source.close()
    index = layout.put(listing_of(image))

    async def content(digest: Digest) -> AsyncIterator[bytes]:
        yield layout.blob_path(digest).read_bytes()

    async with house.run() as pushd:
        spool = pushd.house.spool
        entry = await spool.create(uid=ROOT.uid, size=1 << 22, ttl=None)
        for one in {document.descriptor.digest for document in image.documents} | {
            index.digest, *(blob.digest for blob in image.blobs),
        }:  # fmt: skip
            await spool.receive(entry.id, str(one), uid=ROOT.uid, offset=0, pieces=content(one), complete=True)
        spooled = Spooled(
            entry=entry.id, media_type=root.media_type, digest=str(root.digest), size=root.size,
            referrers=str(index.digest),
        )  # fmt: skip
        error = await refused(pushd, "app", destination, spooled=replace(spooled, referrers=None))
        assert (error.code, error.subject) == (Code.REQUEST_MALFORMED, "with_referrers")
        job = await push(pushd, "app", destination, spooled=spooled)
        assert job.state is JobState.SUCCEEDED, job
        check_there(destination, signed)
