"""From one registry to another: what is read, with whose rights, and what becomes of it when either fails."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from pushd.errors import Code, PushdError, RequestError, SourceError
from pushd.job import ANONYMOUS, DeliveryState, JobSpec, JobState, Retain
from pushd.oci.reference import Reference
from pushd.oci.upload import Form
from pushd.push import persistence
from pushd.push.origin import Origin
from pushd.telemetry.events import DELIVERY_HELD
from pushd.work import Handed
from tests.fakes.behaviour import DISTRIBUTION_2, DISTRIBUTION_3, Basic, Bearer, Behaviour
from tests.fakes.callers import ROOT
from tests.fakes.faults import Action, Answer, Cut, CutBody, CutContent, Stall, When, throttle
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.registry import FakeRegistry
from tests.fakes.traffic import Kind
from tests.unit.push.test_credentials import ALICE, BOB, SUBMITTER, credential_of, senders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web

    from pushd.job import Failure, Job
    from pushd.principal import Principal
    from pushd.push.ports.registry import Registry
    from tests.fakes.faults import Exchange
    from tests.fakes.images import Layout
    from tests.unit.push.conftest import Builder, Pushed

LAYERS = [1000, 3_000_000]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "_PAUSES", (0.0, 0.0, 0.0, 0.0))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "image", [ImageSpec(layers=LAYERS)])


@pytest.fixture
async def origin(layout: Layout) -> AsyncIterator[FakeRegistry]:
    """Give a registry that holds the image, as base/app:1."""
    async with FakeRegistry() as origin:
        fill(origin, layout)
        yield origin


def fill(registry: FakeRegistry, layout: Layout, repository: str = "base/app", tag: str = "1") -> None:
    """Put a layout's image into a registry."""
    image = layout.image
    for blob in image.blobs:
        registry.add_blob(repository, layout.blob_path(blob.digest).read_bytes())
    for manifest in image.manifests:
        content = layout.blob_path(manifest.digest).read_bytes()
        registry.add_manifest(repository, content, manifest.media_type, tag if manifest is image.root else None)


def named(registry: FakeRegistry, tag: str = "base/app:1") -> str:
    return f"docker://{registry.address}/{tag}"


def read(registry: FakeRegistry) -> list[str]:
    """Give the digests of the blobs that were read, in order."""
    return [seen.reference for seen in registry.seen(Kind.BLOB, method="GET")]


async def submit(
    pushd: Pushed, origin: FakeRegistry, registry: FakeRegistry, *, caller: Principal = ROOT,
    given: tuple[Handed, ...] = (), source: str = "", to: str = "team/app:1", **more: object,
) -> Job:  # fmt: skip
    spec = JobSpec(source=source or named(origin), destinations=(f"{registry.address}/{to}",))
    spec = replace(spec, **more)  # type: ignore[arg-type]  # the test names real fields
    return await pushd.house.engine.submit(spec, handed=given, caller=caller)


async def push(pushd: Pushed, origin: FakeRegistry, registry: FakeRegistry, **more: object) -> Job:
    return await pushd.ended(await submit(pushd, origin, registry, **more))  # type: ignore[arg-type]  # as submit has it


async def refused(pushd: Pushed, origin: FakeRegistry, registry: FakeRegistry, **more: object) -> PushdError:
    with pytest.raises(PushdError) as caught:
        await submit(pushd, origin, registry, **more)  # type: ignore[arg-type]  # likewise
    assert not registry.requests
    return caught.value


def check_there(registry: FakeRegistry, layout: Layout, repository: str = "team/app", tag: str = "1") -> None:
    shelf = registry.repository(repository)
    assert shelf.tags[tag] == str(layout.image.digest)
    assert {str(blob.digest) for blob in layout.image.blobs} <= shelf.blobs.keys()


async def test_an_image_goes_from_one_registry_to_another_each_blob_read_once(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        job = await push(pushd, origin, registry)
        assert job.state is JobState.SUCCEEDED, job
        assert job.digest == str(layout.image.digest)
        check_there(registry, layout)
        assert sorted(read(origin)) == sorted(str(blob.digest) for blob in layout.image.blobs)
        assert not pushd.house.spool.entries
        again = await push(pushd, origin, registry, to="team/app:2")
        assert again.state is JobState.SUCCEEDED
        assert len(read(origin)) == len(layout.image.blobs), "what is there is not read"
    assert not origin.count(method="PUT")
    assert not origin.count(method="POST")


async def test_an_image_is_named_by_its_digest_too(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        job = await push(pushd, origin, registry, source=named(origin, f"base/app:gone@{layout.image.digest}"))
        assert job.state is JobState.SUCCEEDED, job


async def test_a_tag_that_moves_after_the_submission_changes_nothing(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, layout: Layout, tmp_path: Path
) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        job = await submit(pushd, origin, registry)
        fill(origin, build_layout(tmp_path / "other", [ImageSpec(layers=[2000], seed="other")]))
        await pushd.house.engine.resume_registry(registry.address, caller=ROOT)
        ended = await pushd.ended(job)
        assert ended.state is JobState.SUCCEEDED, ended
        check_there(registry, layout)
        assert registry.repository("team/app").tags == {"1": str(layout.image.digest)}


async def test_of_an_index_only_the_chosen_platforms_are_read(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    spec = ImageSpec(layers=[300_000], platforms=["linux/amd64", "linux/arm64"], attested=True)
    layout = build_layout(tmp_path / "index", [spec])
    async with FakeRegistry() as origin, house.run() as pushd:
        fill(origin, layout)
        job = await push(pushd, origin, registry, platforms=("linux/arm64",))
        assert job.state is JobState.SUCCEEDED, job
        assert set(read(origin)) == {str(blob.digest) for blob in layout.image.parts["linux/arm64"].blobs}
        whole = await push(pushd, origin, registry, to="team/app:all")
        assert whole.digest == str(layout.image.digest)
        with pytest.raises(SourceError) as caught:
            await submit(pushd, origin, registry, platforms=("linux/s390x",))
        assert caught.value.code is Code.SOURCE_PLATFORM_UNKNOWN


async def test_several_destinations_read_it_once_each(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, layout: Layout
) -> None:
    async with FakeRegistry() as other, house.run() as pushd:
        spec = JobSpec(
            source=named(origin), destinations=(f"{registry.address}/team/app:1", f"{other.address}/team/app:1")
        )
        job = await pushd.ended(await pushd.take(spec))
        assert job.state is JobState.SUCCEEDED, job
        check_there(registry, layout)
        check_there(other, layout)
        assert len(read(origin)) == 2 * len(layout.image.blobs)


# ----------------------------------------------------------------------------------------------- in one registry


@pytest.mark.parametrize("behaviour", [DISTRIBUTION_2, DISTRIBUTION_3, Behaviour(auth=Bearer())])
async def test_within_one_registry_blobs_are_mounted_and_nothing_is_read(
    house: Builder, layout: Layout, behaviour: Behaviour
) -> None:
    async with FakeRegistry(behaviour) as registry, house.run() as pushd:
        fill(registry, layout)
        given = (Handed(scope=registry.address, credential=credential_of(ALICE)),) if behaviour.auth else ()
        job = await push(pushd, registry, registry, given=given)
        assert job.state is JobState.SUCCEEDED, job
        check_there(registry, layout)
        assert read(registry) == []
        assert {seen.query["from"] for seen in registry.seen(Kind.MOUNT)} == {"base/app"}
        assert registry.received == sum(len(m.content) for m in registry.repository("team/app").manifests.values())


async def test_another_tag_in_the_same_repository_is_a_manifest_and_no_more(
    house: Builder, origin: FakeRegistry
) -> None:
    async with house.run() as pushd:
        job = await push(pushd, origin, origin, to="base/app:2")
        assert job.state is JobState.SUCCEEDED, job
        tags = origin.repository("base/app").tags
        assert tags["2"] == tags["1"]
        assert read(origin) == []
        assert not origin.count(Kind.OPEN) + origin.count(Kind.COMMIT)


async def test_what_a_registry_does_not_mount_travels(house: Builder, layout: Layout) -> None:
    async with FakeRegistry(Behaviour(mounts=False)) as registry, house.run() as pushd:
        fill(registry, layout)
        job = await push(pushd, registry, registry)
        assert job.state is JobState.SUCCEEDED, job
        assert len(read(registry)) == len(layout.image.blobs)


async def test_nothing_is_mounted_with_another_credential_than_it_could_be_read_with() -> None:
    def at(name: str, credential: str) -> Registry:
        return cast("Registry", SimpleNamespace(name=name, credential=credential))

    reference = Reference.parse("docker://r.example/base/app:1")
    limiter = anyio.CapacityLimiter(1)
    nobody = cast("Any", None)
    origin = Origin(
        reference, at("r.example", "caller:alice"), asker=nobody, renewal=nobody, rng=lambda: 0.5, reading=limiter
    )
    assert origin.mountable(at("r.example", "caller:alice"), "team/app") == "base/app"
    assert origin.mountable(at("r.example", "docker-config:ci"), "team/app") is None
    assert origin.mountable(at("s.example", "caller:alice"), "team/app") is None
    assert origin.mountable(at("r.example", "caller:alice"), "base/app") is None


# ----------------------------------------------------------------------------------------------------- whose rights


async def test_it_is_read_with_the_credential_that_was_handed_over_for_it(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    async with FakeRegistry(Behaviour(auth=Basic())) as origin, house.run() as pushd:
        fill(origin, layout)
        given = (Handed(scope=f"{origin.address}/base/app", credential=credential_of(ALICE)),)
        job = await push(pushd, origin, registry, given=given, caller=SUBMITTER)
        assert job.state is JobState.SUCCEEDED, job
        assert senders(origin) == {"alice"}
        assert senders(registry) == set(), "what is for one is not shown to the other"


async def test_a_credential_for_neither_is_refused(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry
) -> None:
    async with house.run() as pushd:
        given = (Handed(scope="elsewhere.example", credential=credential_of(ALICE)),)
        error = await refused(pushd, origin, registry, given=given)
        assert error.code is Code.REQUEST_MALFORMED
        assert "neither source nor destination" in str(error)


@pytest.mark.parametrize("choice", ["auto", "daemon"])
async def test_the_daemons_own_credential_reads_for_nobody_who_may_not_use_it(
    house: Builder, registry: FakeRegistry, layout: Layout, tmp_path: Path, choice: str
) -> None:
    async with FakeRegistry(Behaviour(auth=Basic())) as origin:
        fill(origin, layout)
        auth = {"username": "alice", "password": "correct horse"}
        (tmp_path / "config.json").write_text(json.dumps({"auths": {origin.address: auth}}))
        (tmp_path / "config.json").chmod(0o600)
        async with house.run() as pushd:
            error = await refused(pushd, origin, registry, caller=SUBMITTER, credential=choice)
            assert error.code in (Code.REQUEST_FORBIDDEN, Code.REGISTRY_CREDENTIALS)
            assert not origin.requests
            job = await push(pushd, origin, registry)
            assert job.state is JobState.SUCCEEDED, "an administrator may"


async def test_whoever_wants_to_be_nobody_reads_as_nobody(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    async with FakeRegistry(Behaviour(auth=Basic())) as origin, house.run() as pushd:
        fill(origin, layout)
        error = await refused(pushd, origin, registry, credential=ANONYMOUS)
        assert error.code is Code.SOURCE_UNAUTHORIZED


async def test_a_login_for_the_destination_leaves_the_source_to_be_found(house: Builder, layout: Layout) -> None:
    async with FakeRegistry() as origin, FakeRegistry(Behaviour(auth=Basic())) as registry, house.run() as pushd:
        fill(origin, layout)
        await pushd.house.logins.store(
            "ci", Handed(scope=registry.address, credential=credential_of(ALICE)), caller=SUBMITTER
        )
        job = await push(pushd, origin, registry, caller=SUBMITTER, credential="ci")
        assert job.state is JobState.SUCCEEDED, job
        assert senders(origin) == set()


async def test_a_caller_who_sees_no_files_may_name_a_registry_all_the_same(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry
) -> None:
    async with house.run() as pushd:
        job = await push(pushd, origin, registry, caller=replace(SUBMITTER, paths=False))
        assert job.state is JobState.SUCCEEDED, job


# ------------------------------------------------------------------------------------------------ what is refused


async def test_a_registry_that_jobs_may_not_go_to_is_not_read_from_either(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry
) -> None:
    async with house.run() as pushd:
        pushd.house.destinations.allow = (registry.address,)
        error = await refused(pushd, origin, registry)
        assert error.code is Code.REQUEST_FORBIDDEN
        assert not origin.requests
        pushd.house.destinations.allow = ("*",)
        assert (await refused(pushd, origin, registry, source="docker://169.254.169.254/app")).code is (
            Code.REQUEST_FORBIDDEN
        )


async def test_a_copy_of_it_in_the_spool_is_refused_by_name(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry
) -> None:
    async with house.run() as pushd:
        error = await refused(pushd, origin, registry, retain=Retain.SPOOL)
        assert (error.code, error.subject) == (Code.REQUEST_MALFORMED, "retain")


async def test_what_is_no_reference_is_refused(house: Builder, origin: FakeRegistry, registry: FakeRegistry) -> None:
    async with house.run() as pushd:
        error = await refused(pushd, origin, registry, source="docker://a b")
        assert isinstance(error, RequestError)
        assert error.code is Code.REQUEST_INVALID_REFERENCE


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(status=401), Code.SOURCE_UNAUTHORIZED),
        (Answer(status=403), Code.SOURCE_DENIED),
        (Answer(status=404), Code.SOURCE_NOT_FOUND),
        (Answer(status=418), Code.SOURCE_UNREADABLE),
        (Answer(status=503), Code.SOURCE_UNAVAILABLE),
        (Answer(status=200, headers={"Content-Type": "text/html"}, body=b"<html>"), Code.SOURCE_MANIFEST_UNSUPPORTED),
        (throttle(40), Code.SOURCE_THROTTLED),
    ],
)
async def test_a_source_that_cannot_be_read_is_a_bad_request_by_its_own_code(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, answer: Answer, code: Code
) -> None:
    origin.misbehave(answer, kind=Kind.MANIFEST)
    async with house.run() as pushd:
        error = await refused(pushd, origin, registry)
        assert error.code is code
        assert error.retry_after == (40 if code is Code.SOURCE_THROTTLED else None)


async def test_a_registry_that_is_not_there_is_told_at_once(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry
) -> None:
    async with house.run() as pushd:
        error = await refused(pushd, origin, registry, source="docker://127.0.0.1:1/base/app:1")
        assert error.code is Code.SOURCE_UNREACHABLE


async def test_a_blob_that_the_source_lacks_is_a_bad_request(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, layout: Layout
) -> None:
    lost = layout.image.layers[1].digest
    del origin.repository("base/app").blobs[str(lost)]
    async with house.run() as pushd:
        error = await refused(pushd, origin, registry)
        assert error.code is Code.SOURCE_BLOB_MISSING
        assert error.subject == f"{lost} in {named(origin)}"


async def test_an_image_of_an_index_that_the_source_lacks_is_a_bad_request(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "index", [ImageSpec(platforms=["linux/amd64", "linux/arm64"])])
    fill(origin, layout)
    lost = layout.image.manifests[1].digest
    del origin.repository("base/app").manifests[str(lost)]
    async with house.run() as pushd:
        error = await refused(pushd, origin, registry)
        assert error.code is Code.SOURCE_BLOB_MISSING
        assert str(lost) in error.subject
        assert "--platform" in str(error)


# ------------------------------------------------------------------------------------------- what fails on the way


@pytest.mark.parametrize("blob", ["small", "large"])
async def test_a_blob_that_was_deleted_after_the_submission_fails_the_delivery_by_its_name(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, layout: Layout, blob: str
) -> None:
    lost = layout.image.layers[LAYERS.index(min(LAYERS) if blob == "small" else max(LAYERS))].digest
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        job = await submit(pushd, origin, registry)
        del origin.repository("base/app").blobs[str(lost)]
        await pushd.house.engine.resume_registry(registry.address, caller=ROOT)
        failure = (await pushd.ended(job)).deliveries[0].failure
    assert failure is not None
    assert failure.code == Code.SOURCE_BLOB_MISSING
    assert str(lost) in failure.message
    assert "push it there again" in failure.message
    assert not registry.repository("team/app").tags


@pytest.mark.parametrize("blob", ["small", "large"])
async def test_a_blob_that_is_not_what_its_digest_says_is_never_committed(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, layout: Layout, blob: str
) -> None:
    layer = layout.image.layers[0 if blob == "small" else 1]
    shelf = origin.repository("base/app").blobs
    shelf[str(layer.digest)] = replace(shelf[str(layer.digest)], content=bytes(layer.size))
    async with house.run() as pushd:
        job = await push(pushd, origin, registry)
        assert job.state is JobState.FAILED
        failure = job.deliveries[0].failure
        assert failure is not None
        assert failure.code == Code.SOURCE_BLOB_DIGEST
        assert str(layer.digest) not in registry.repository("team/app").blobs
        assert registry.repository("team/app").tags == {}


async def test_a_blob_that_breaks_off_goes_on_where_it_broke(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, layout: Layout
) -> None:
    large = str(layout.image.layers[1].digest)
    async with house.run() as pushd:
        job = await submit_cut(pushd, origin, registry)
        assert job.state is JobState.SUCCEEDED, job
        check_there(registry, layout)
        asked = [seen for seen in origin.seen(Kind.BLOB, method="GET") if seen.reference == large]
        assert len(asked) == 2
        assert int(asked[1].headers["Range"].removeprefix("bytes=").removesuffix("-")) > 1_000_000
        assert registry.received < 3_100_000 + 10_000, "nothing was sent twice"


async def submit_cut(pushd: Pushed, origin: FakeRegistry, registry: FakeRegistry) -> Job:
    """Push while the large blob breaks off in the middle, once."""
    origin.misbehave(CutContent(after=1_500_000), kind=Kind.BLOB, method="GET", nth=3)
    return await push(pushd, origin, registry)


def all_but_large(registry: FakeRegistry, layout: Layout) -> None:
    """Have the destination hold all blobs but the large one."""
    for blob in layout.image.blobs:
        if blob.size != LAYERS[1]:
            registry.add_blob("team/app", layout.blob_path(blob.digest).read_bytes())


def chunked(house: Builder, registry: FakeRegistry) -> Builder:
    return house.with_registry(registry.address, upload=Form.CHUNKED, chunk_size=1_000_000)


async def test_an_upload_that_breaks_off_is_fed_again_from_what_the_registry_has(
    house: Builder, origin: FakeRegistry, layout: Layout
) -> None:
    async with FakeRegistry(DISTRIBUTION_3) as registry, chunked(house, registry).run() as pushd:
        all_but_large(registry, layout)
        registry.misbehave(CutBody(after=300_000), kind=Kind.CHUNK, nth=2)
        job = await push(pushd, origin, registry)
        assert job.state is JobState.SUCCEEDED, job
        check_there(registry, layout)


async def test_a_source_that_fails_for_longer_holds_the_delivery_and_not_its_destination(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        all_but_large(registry, layout)
        origin.misbehave(Cut(), kind=Kind.BLOB, method="GET", times=12)
        job = await push(pushd, origin, registry)
        assert job.state is JobState.SUCCEEDED, job
        held = pushd.events(DELIVERY_HELD)[0]
        assert held.fields["code"] == str(Code.SOURCE_INTERRUPTED)
        check_there(registry, layout)
        assert pushd.house.scheduler._gates.shut() == {}


async def test_patience_that_the_source_asks_for_is_had(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        origin.misbehave(throttle(1), kind=Kind.BLOB, method="GET")
        job = await push(pushd, origin, registry)
        assert job.state is JobState.SUCCEEDED, job
        check_there(registry, layout)
        gets = origin.seen(Kind.BLOB, method="GET")
        refused = next(seen for seen in gets if seen.status == 429)
        again = next(seen for seen in gets if (seen.reference, seen.status) == (refused.reference, 200))
        assert refused.finished is not None
        assert again.started - refused.finished > 0.9


# ------------------------------------------------------------------------------------- a right that ends midway


class Turn(Action):
    """From this request on the registry is another one to whoever reads from it: the request already meets it so."""

    def __init__(self, registry: FakeRegistry, auth: Basic) -> None:
        self._registry = registry
        self._auth = auth

    async def arrive(self, exchange: Exchange) -> None:
        self._registry.behaviour = Behaviour(auth=self._auth)

    async def reply(self, exchange: Exchange, response: web.Response) -> None:
        pass


async def lacking(pushd: Pushed, job: Job) -> Failure:
    """Wait until a job is held for want of a credential to read its source with."""
    with anyio.fail_after(10):
        while True:
            (delivery,) = (await pushd.house.engine.get(job.id, caller=ROOT)).deliveries
            if delivery.state is DeliveryState.HELD and delivery.failure is not None:
                assert delivery.failure.code == Code.SOURCE_NEEDS_CREDENTIAL, delivery.failure
                return delivery.failure
            assert not delivery.state.terminal, delivery.failure
            await anyio.sleep(0.01)


def login(origin: FakeRegistry, account: Basic) -> Handed:
    return Handed(scope=origin.address, credential=credential_of(account))


async def test_a_credential_that_ends_midway_is_waited_for_and_the_upload_goes_on_where_it_stood(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    async with FakeRegistry(Behaviour(auth=Basic())) as origin, chunked(house, registry).run() as pushd:
        fill(origin, layout)
        all_but_large(registry, layout)
        origin.misbehave(CutContent(after=1_500_000), kind=Kind.BLOB, method="GET")
        origin.misbehave(Turn(origin, BOB), kind=Kind.BLOB, method="GET", nth=2)
        job = await submit(pushd, origin, registry, given=(login(origin, Basic()),), caller=SUBMITTER)
        failure = await lacking(pushd, job)
        assert f"pushctl login {origin.address}" in failure.message
        assert failure.retryable
        assert pushd.events(DELIVERY_HELD)[-1].fields["code"] == str(Code.SOURCE_NEEDS_CREDENTIAL)
        assert registry.count(Kind.CANCEL) == 0, "what is there of the upload stays"
        told = await pushd.house.logins.store("new", login(origin, BOB), caller=SUBMITTER)
        assert told["resumed"] == 1
        ended = await pushd.ended(job)
        assert ended.state is JobState.SUCCEEDED, ended
        check_there(registry, layout)
        assert max(transfer.resumed for transfer in ended.deliveries[0].transfers) > 0
        assert registry.count(Kind.OPEN) == 1


async def test_another_of_its_users_is_tried_in_place_of_one_that_the_source_does_not_take_any_more(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    async with FakeRegistry(Behaviour(auth=BOB)) as origin, house.run() as pushd:
        fill(origin, layout)
        await pushd.house.logins.store("other", login(origin, BOB), caller=SUBMITTER)
        origin.behaviour = Behaviour(auth=Basic())
        origin.misbehave(Turn(origin, BOB), kind=Kind.BLOB, method="GET")
        job = await push(pushd, origin, registry, given=(login(origin, Basic()),), caller=SUBMITTER)
        assert job.state is JobState.SUCCEEDED, job
        assert job.deliveries[0].attempt == 2
        assert "another one of its user is tried" in str(pushd.events(DELIVERY_HELD)[0].fields["reason"])


@pytest.mark.parametrize("status", [401, 403])
async def test_a_right_to_read_that_ends_is_waited_for_with_the_credential_kept_that_is_good_elsewhere(
    house: Builder, registry: FakeRegistry, layout: Layout, status: int
) -> None:
    async with FakeRegistry(Behaviour(auth=Basic())) as origin, house.run() as pushd:
        fill(origin, layout)
        await pushd.house.logins.store("mine", login(origin, Basic()), caller=SUBMITTER)
        rule = origin.misbehave(Answer(When.ARRIVED, status=status), kind=Kind.BLOB, method="GET", times=None)
        job = await submit(pushd, origin, registry, caller=SUBMITTER)
        assert f"pushctl login {origin.address}" in (await lacking(pushd, job)).message
        (kept,) = await pushd.house.logins.list(caller=SUBMITTER)
        assert kept.sealed.secret is not None
        rule.times = 0
        await pushd.house.logins.store("mine", login(origin, Basic()), caller=SUBMITTER)
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED


@pytest.mark.parametrize(("said", "code"), [(503, Code.SOURCE_UNAVAILABLE), (418, Code.SOURCE_NEEDS_CREDENTIAL)])
async def test_a_registry_that_does_not_say_whether_it_takes_a_credential_takes_none_away(
    house: Builder, registry: FakeRegistry, layout: Layout, said: int, code: Code
) -> None:
    async with FakeRegistry(Behaviour(auth=Basic())) as origin, house.run() as pushd:
        fill(origin, layout)
        await pushd.house.logins.store("mine", login(origin, Basic()), caller=SUBMITTER)
        origin.misbehave(Answer(When.ARRIVED, status=401), kind=Kind.BLOB, method="GET", times=None)
        origin.misbehave(Answer(When.ARRIVED, status=said), kind=Kind.BASE, times=None)
        await submit(pushd, origin, registry, caller=SUBMITTER)
        with anyio.fail_after(10):
            while not pushd.events(DELIVERY_HELD):  # noqa: ASYNC110 (nobody tells)
                await anyio.sleep(0.01)
        assert pushd.events(DELIVERY_HELD)[0].fields["code"] == str(code)
        (kept,) = await pushd.house.logins.list(caller=SUBMITTER)
        assert kept.sealed.secret is not None


async def test_a_source_that_everybody_could_read_and_that_was_closed_is_waited_for(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, layout: Layout
) -> None:
    origin.misbehave(Turn(origin, BOB), kind=Kind.BLOB, method="GET")
    async with house.run() as pushd:
        job = await submit(pushd, origin, registry)
        assert "without a credential" in (await lacking(pushd, job)).message
        await pushd.house.engine.retry(job.id, handed=(login(origin, BOB),), caller=ROOT)
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED


async def test_who_wants_to_be_nobody_waits_for_no_credential(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry
) -> None:
    origin.misbehave(Turn(origin, BOB), kind=Kind.BLOB, method="GET")
    async with house.run() as pushd:
        job = await push(pushd, origin, registry, credential=ANONYMOUS)
        failure = job.deliveries[0].failure
        assert failure is not None
        assert failure.code == Code.SOURCE_UNAUTHORIZED


async def test_the_daemons_own_credential_for_a_source_is_looked_up_again_later(
    house: Builder, registry: FakeRegistry, layout: Layout, tmp_path: Path
) -> None:
    async with FakeRegistry(Behaviour(auth=Basic())) as origin:
        fill(origin, layout)
        auth = {"username": "alice", "password": "correct horse"}
        (tmp_path / "config.json").write_text(json.dumps({"auths": {origin.address: auth}}))
        (tmp_path / "config.json").chmod(0o600)
        origin.misbehave(Turn(origin, BOB), kind=Kind.BLOB, method="GET")
        async with house.run() as pushd:
            job = await submit(pushd, origin, registry)
            assert "the daemon's credential" in (await lacking(pushd, job)).message
            (delivery,) = (await pushd.house.engine.get(job.id, caller=ROOT)).deliveries
            assert delivery.not_before is not None
            assert delivery.not_before < job.deadline_at


async def test_a_credential_that_went_before_the_delivery_began_is_waited_for(
    house: Builder, registry: FakeRegistry, layout: Layout
) -> None:
    async with FakeRegistry(Behaviour(auth=Basic())) as origin, house.run() as pushd:
        fill(origin, layout)
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        until = datetime.now(UTC) + timedelta(seconds=0.5)
        job = await submit(pushd, origin, registry, given=(replace(login(origin, Basic()), expires_at=until),))
        await anyio.sleep(0.6)
        await pushd.house.engine.resume_registry(registry.address, caller=ROOT)
        assert "has expired" in (await lacking(pushd, job)).message
        await pushd.house.engine.retry(job.id, handed=(login(origin, Basic()),), caller=ROOT)
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED


async def test_after_a_restart_it_goes_on_where_it_stood(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, layout: Layout
) -> None:
    all_but_large(registry, layout)
    registry.misbehave(Stall(), kind=Kind.CHUNK, nth=3)
    async with chunked(house, registry).run() as pushd:
        job = await submit(pushd, origin, registry)
        with anyio.fail_after(10):
            while registry.count(Kind.CHUNK) < 3:  # noqa: ASYNC110 (nobody tells)
                await anyio.sleep(0.01)
    async with chunked(house, registry).run() as pushd:
        ended = await pushd.ended(job)
        assert ended.state is JobState.SUCCEEDED, ended
        check_there(registry, layout)
        assert max(transfer.resumed for transfer in ended.deliveries[0].transfers) == 2_000_000
    large = str(layout.image.layers[1].digest)
    assert read(origin).count(large) == 2, "what was sent before is read again, to be hashed"


# ----------------------------------------------------------------------------------------------------- the plan


async def test_a_plan_tells_what_would_be_mounted_and_reads_no_blob(
    house: Builder, origin: FakeRegistry, registry: FakeRegistry, layout: Layout
) -> None:
    async with house.run() as pushd:
        destinations = (f"{origin.address}/team/app:1", f"{registry.address}/team/app:1")
        spec = JobSpec(source=named(origin), destinations=destinations)
        plan: Any = await pushd.house.engine.plan(spec, caller=ROOT)
        here, there = plan["destinations"]
        blobs = len(layout.image.blobs)
        assert (here["mount"]["count"], here["send"]["count"]) == (blobs, 0)
        assert {blob["from"] for blob in here["blobs"]} == {"base/app"}
        assert (there["mount"]["count"], there["send"]["count"]) == (0, blobs)
        assert read(origin) == []
