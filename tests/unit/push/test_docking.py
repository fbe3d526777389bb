"""Images in a container engine that the daemon asks itself: for whom, what arrives, and what is left when it fails."""

from __future__ import annotations

import asyncio
import errno
import json
import random
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from pushd.config import Disk, Engine, Spool
from pushd.docker import export
from pushd.errors import Code, PushdError
from pushd.job import Compress, JobSpec, JobState
from pushd.oci.digest import Digest
from pushd.principal import Principal, Role
from pushd.spool.shelf import Shelf
from pushd.store import Store
from pushd.telemetry.events import SPOOL_CREATED, SPOOL_REMOVED
from pushd.work import JobQuery
from tests.fakes.archives import SavedImage, docker_archive, docker_members, manifest_of, tar
from tests.fakes.callers import ROOT
from tests.fakes.engine import Breaks, Fails, FakeEngine, Framing, Hangs, Regrets, Says
from tests.fakes.images import ImageSpec, build_layout, pack
from tests.unit.push.conftest import Builder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pushd.job import Job
    from tests.fakes.registry import FakeRegistry
    from tests.unit.push.conftest import Pushed

SOURCE = "docker-daemon:app:1.4"
JOBS = JobQuery()
SAVED = SavedImage([random.Random(1).randbytes(3_000_000), b"2" * 3000], names=["app:1.4"])
SUBMITTER = Principal(uid=ROOT.uid + 64_001, gids=ROOT.gids, role=Role.SUBMITTER, paths=True)


@pytest.fixture
def docker(commons: Path) -> Iterator[FakeEngine]:
    """Give an engine; the paths of sockets are short."""
    with FakeEngine(commons / "docker.sock", {"app:1.4": docker_archive([SAVED])}) as served:
        yield served


@pytest.fixture
def docked(house: Builder, docker: FakeEngine) -> Builder:
    """Give a house that knows the engine."""
    return asking(house, socket=docker.path)


def asking(house: Builder, **settings: object) -> Builder:
    engine = replace(house.config.engine, **settings)  # type: ignore[arg-type]  # the test names real fields
    return Builder(replace(house.config, engine=engine))


def spec_of(registry: FakeRegistry, source: str = SOURCE, **more: object) -> JobSpec:
    spec = JobSpec(source=source, destinations=(f"{registry.address}/team/app:1",), compress=Compress.NONE)
    return replace(spec, **more)  # type: ignore[arg-type]  # the test names real fields


async def submit(
    pushd: Pushed, registry: FakeRegistry, source: str = SOURCE, *, caller: Principal = ROOT, **more: object
) -> Job:
    return await pushd.take(spec_of(registry, source, **more), caller=caller)


async def refused(pushd: Pushed, registry: FakeRegistry, source: str = SOURCE, **more: object) -> PushdError:
    """Give why nothing was taken, and see that nothing is left."""
    with pytest.raises(PushdError) as caught:
        await submit(pushd, registry, source, **more)  # type: ignore[arg-type]  # as submit has it
    check_nothing_left(pushd)
    assert str(caught.value).isprintable()
    return caught.value


def check_nothing_left(pushd: Pushed) -> None:
    assert pushd.house.spool.entries == ()
    assert pushd.house.spool.size == 0
    assert len(pushd.events(SPOOL_CREATED)) == len(pushd.events(SPOOL_REMOVED))


# --------------------------------------------------------------------------------------------------- what arrives


@pytest.mark.parametrize("framing", Framing, ids=lambda framing: framing.name)
@pytest.mark.parametrize("how", [{}, {"links": True}, {"oci": True}, {"flat": True}], ids=["", "linked", "oci", "flat"])
async def test_an_image_arrives_however_the_engine_saves_and_frames_it(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry, framing: Framing, how: dict[str, bool]
) -> None:
    docker.framing = framing
    docker.images["app:1.4"] = docker_archive([SAVED], **how)
    async with docked.run() as pushd:
        job = await pushd.ended(await submit(pushd, registry))
        assert (job.state, job.source) == (JobState.SUCCEEDED, SOURCE)
        blobs = registry.repository("team/app").blobs
        assert {str(Digest.of(content)) for content in (SAVED.config, *SAVED.layers)} == blobs.keys()
        assert docker.asked == ["/images/app%3A1.4/get"]


async def test_its_plain_layers_are_compressed_as_those_that_pushctl_brings(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry
) -> None:
    async with docked.run() as pushd:
        job = await pushd.ended(await submit(pushd, registry, compress=Compress.AUTO))
        assert job.state is JobState.SUCCEEDED, job
        manifests = [json.loads(it.content) for it in registry.repository("team/app").manifests.values()]
        assert {layer["mediaType"].rpartition("+")[2] for it in manifests for layer in it["layers"]} == {"gzip"}


async def test_it_is_the_submitters_own_in_the_spool_until_the_job_ends(
    docked: Builder, registry: FakeRegistry
) -> None:
    async with asking(docked, role=Role.SUBMITTER).run() as pushd:
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        job = await submit(pushd, registry, caller=SUBMITTER)
        (entry,) = pushd.house.spool.entries
        assert (await pushd.house.spool.get(entry, uid=SUBMITTER.uid)).size < 4_000_000, "no more than it needs"
        assert job.uid == SUBMITTER.uid
        await pushd.house.engine.resume_registry(registry.address, caller=ROOT)
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED
        with anyio.fail_after(10):
            while pushd.house.spool.entries:  # noqa: ASYNC110 (nobody tells)
                await anyio.sleep(0.01)


async def test_what_is_asked_for_by_digest_or_id_needs_no_name_in_the_answer(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry
) -> None:
    digest = f"sha256:{'a' * 64}"
    nameless = docker_archive([SavedImage(SAVED.layers, names=[])])
    docker.images = {digest: nameless, f"localhost:5000/team/app@{digest}": nameless}
    async with docked.run() as pushd:
        jobs = [await submit(pushd, registry, f"docker-daemon:{name}") for name in docker.images]
        assert {job.digest for job in jobs} == {str(Digest.of(manifest_of(SavedImage(SAVED.layers, names=[]))))}
    quoted = digest.replace(":", "%3A")
    assert docker.asked == [f"/images/{quoted}/get", f"/images/localhost%3A5000/team/app%40{quoted}/get"]


async def test_of_several_images_in_the_answer_the_named_one_arrives_and_without_the_name_none(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry
) -> None:
    other = SavedImage([b"other" * 1000], names=["app:1.3"])
    docker.images["app:1.4"] = docker_archive([other, SAVED])
    docker.images["app:1.5"] = docker.images["app:1.4"]
    async with docked.run() as pushd:
        assert (await submit(pushd, registry)).digest == str(Digest.of(manifest_of(SAVED)))
        with pytest.raises(PushdError) as caught:
            await submit(pushd, registry, "docker-daemon:app:1.5")
    assert caught.value.code is Code.SOURCE_REFERENCE_UNKNOWN
    assert caught.value.subject == f"what the engine at {docker.path} sent"


async def test_of_an_index_the_chosen_platforms_are_enough(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "m", images=[ImageSpec(platforms=["linux/amd64", "linux/arm64"])])
    layout.blob_path(layout.image.manifests[0].digest).unlink()
    docker.images["app:1.4"] = pack(layout.path, tmp_path / "m.tar").read_bytes()
    async with docked.run() as pushd:
        error = await refused(pushd, registry)
        assert (error.code, "--platform" in error.hint) == (Code.SOURCE_BLOB_MISSING, True)
        job = await pushd.ended(await submit(pushd, registry, platforms=("linux/arm64",)))
        assert job.state is JobState.SUCCEEDED, job


async def test_a_plan_asks_and_leaves_nothing(docked: Builder, docker: FakeEngine, registry: FakeRegistry) -> None:
    async with docked.run() as pushd:
        plan = await pushd.house.engine.plan(spec_of(registry), caller=ROOT)
        assert (plan["source"], plan["digest"]) == (SOURCE, str(Digest.of(manifest_of(SAVED))))
        check_nothing_left(pushd)


async def test_the_same_request_again_is_the_same_job_and_asks_nobody(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry
) -> None:
    async with docked.run() as pushd:
        jobs = [
            await pushd.house.engine.submit(
                spec_of(registry), caller=ROOT, idempotency_key="build-4711", fingerprint=b"the same"
            )
            for _ in range(2)
        ]
        assert jobs[0].id == jobs[1].id
        assert len(docker.asked) == 1


# -------------------------------------------------------------------------------------------------------- for whom


@pytest.mark.parametrize(
    ("role", "caller", "code"),
    [
        (Role.ADMINISTRATOR, ROOT, None),
        (Role.ADMINISTRATOR, replace(ROOT, paths=False, logins=False), None),
        (Role.ADMINISTRATOR, replace(ROOT, role=Role.SUBMITTER), Code.REQUEST_FORBIDDEN),
        (Role.ADMINISTRATOR, SUBMITTER, Code.REQUEST_FORBIDDEN),
        (Role.SUBMITTER, SUBMITTER, None),
        (Role.SUBMITTER, replace(SUBMITTER, paths=False), None),
        (None, ROOT, Code.SOURCE_UNSUPPORTED),
        (None, SUBMITTER, Code.SOURCE_UNSUPPORTED),
    ],
    ids=[
        "administrators: root", "administrators: root elsewhere", "administrators: root of a container",
        "administrators: a submitter", "submitters: a submitter", "submitters: a container", "nobody: root",
        "nobody: a submitter",
    ],
)  # fmt: skip
async def test_the_engine_is_asked_for_those_the_configuration_says(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry, *, role: Role | None, caller: Principal,
    code: Code | None,
) -> None:  # fmt: skip
    async with asking(docked, role=role).run() as pushd:
        if code is None:
            await submit(pushd, registry, caller=caller)
            return
        error = await refused(pushd, registry, caller=caller)
        assert error.code is code
        assert f"`pushctl push {SOURCE} DESTINATION`" in error.hint
        with pytest.raises(PushdError) as caught:
            await pushd.house.engine.plan(spec_of(registry), caller=caller)
        assert caught.value.code is code
    assert docker.asked == []


async def test_it_is_administrators_unless_somebody_says_otherwise() -> None:
    assert Engine().role is Role.ADMINISTRATOR


async def test_whoever_brings_it_themselves_is_not_fetched_for(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry
) -> None:
    async with docked.run() as pushd:
        for ask in (pushd.house.engine.submit, pushd.house.engine.plan):
            with pytest.raises(PushdError) as caught:
                await ask(spec_of(registry), caller=ROOT, brings=True)
            assert caught.value.code is Code.SOURCE_UNSUPPORTED
    assert docker.asked == []


async def test_what_else_is_wrong_is_told_before_the_engine_is_asked(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry
) -> None:
    async with docked.run() as pushd:
        error = await refused(pushd, registry, destinations=("registry.example.com/Team/app",))
        assert error.code is Code.REQUEST_INVALID_REFERENCE
        assert (await refused(pushd, registry, "docker-daemon:app")).code is Code.REQUEST_INVALID_REFERENCE
    assert docker.asked == []


async def test_nothing_of_the_environment_counts(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry, commons: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with FakeEngine(commons / "other.sock") as other:
        monkeypatch.setenv("DOCKER_HOST", other.host)
        async with docked.run() as pushd:
            await submit(pushd, registry)
        assert (len(docker.asked), other.asked) == (1, [])


# ------------------------------------------------------------------------------------------------------- no engine


async def test_where_dockers_socket_is_not_podmans_is_asked(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry, commons: Path
) -> None:
    with FakeEngine(commons / "podman.sock", docker.images) as podman:
        async with docked.run() as pushd:
            pushd.house.docker.sockets = (f"{commons}/gone.sock", str(podman.path), str(docker.path))
            await submit(pushd, registry)
        assert (len(podman.asked), docker.asked) == (1, [])


async def test_where_no_engine_is_the_sockets_that_were_tried_are_named(
    docked: Builder, registry: FakeRegistry, commons: Path
) -> None:
    long = f"{commons}/{'x' * 108}"
    async with docked.run() as pushd:
        pushd.house.docker.sockets = (f"{commons}/gone.sock", long)
        error = await refused(pushd, registry)
    assert error.code is Code.SOURCE_UNREADABLE
    assert f"{commons}/gone.sock is not there, {long} cannot be opened" in error.detail
    assert "[engine]" in error.hint


async def test_a_socket_that_is_not_the_daemons_to_open_is_told_with_what_to_do(
    docked: Builder, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch, docker: FakeEngine
) -> None:
    async def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    async with docked.run() as pushd:
        monkeypatch.setattr(type(asyncio.get_running_loop()), "create_unix_connection", denied)
        error = await refused(pushd, registry)
    assert error.code is Code.SOURCE_UNREADABLE
    assert f"{docker.path} may not be opened by the daemon, uid " in error.detail
    assert "SupplementaryGroups=docker" in error.hint
    assert "pushctl push" in error.hint


# -------------------------------------------------------------------------------------- what engines may answer


async def test_an_image_that_is_not_there_is_named(docked: Builder, registry: FakeRegistry, docker: FakeEngine) -> None:
    async with docked.run() as pushd:
        error = await refused(pushd, registry, "docker-daemon:app:2")
    assert error.code is Code.SOURCE_NOT_FOUND
    assert error.subject == f"app:2 in the engine at {docker.path}"
    assert "No such image: app:2" in error.detail
    assert "`docker images`" in error.hint


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Fails(409, "is being removed"), "409: is being removed"),
        (Fails(500, "no space left on device"), "500: no space left on device"),
        (Fails(500, "\x1b[31mred\n" + "x" * 10_000), "500: [31mred xxx"),
        (Fails(500, "x" * 1_000_000), '500: {"message": "xxx'),
        (Fails(403, "denied by a plug-in", "text/plain"), "403: denied by a plug-in"),
        (Fails(301, ""), "301: no reason given"),
    ],
    ids=["busy", "full", "not printable", "endless", "no JSON", "elsewhere"],
)
async def test_what_an_engine_says_of_an_error_is_told(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry, failure: Fails, said: str
) -> None:
    docker.mood = failure
    async with docked.run() as pushd:
        error = await refused(pushd, registry)
    assert error.code is Code.SOURCE_UNREADABLE
    assert said in error.detail
    assert len(str(error)) < 1500


@pytest.mark.parametrize("after", [0, 700, 1_000_000])
@pytest.mark.parametrize("framing", Framing, ids=lambda framing: framing.name)
async def test_an_answer_that_breaks_off_is_refused(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry, framing: Framing, after: int
) -> None:
    docker.framing, docker.mood = framing, Breaks(after)
    async with docked.run() as pushd:
        error = await refused(pushd, registry)
    if framing is Framing.CLOSE:
        assert (error.code, error.subject) == (
            Code.SOURCE_ARCHIVE_INVALID,
            f"what the engine at {docker.path} sent",
        )
    else:
        assert error.code is Code.SOURCE_UNREADABLE
        assert "broke off" in error.detail


@pytest.mark.parametrize("after", [1024, 700, 1_000_000])
async def test_what_docker_says_behind_the_bytes_it_could_write_is_told(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry, after: int
) -> None:
    docker.mood = Regrets(after, "write /var/lib/docker/tmp: no space left on device")
    async with docked.run() as pushd:
        error = await refused(pushd, registry)
    assert error.code is Code.SOURCE_UNREADABLE
    assert error.detail == "broke off: write /var/lib/docker/tmp: no space left on device"


@pytest.mark.parametrize(
    "content",
    [b"hello" * 1000, tar({"etc/hosts": b"1"}), tar({**docker_members([SAVED]), "manifest.json": b"{"}), b""],
    ids=["no tar", "no image", "no list", "empty"],
)
async def test_an_answer_that_is_no_image_is_refused(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry, content: bytes
) -> None:
    docker.images["app:1.4"] = content
    async with docked.run() as pushd:
        error = await refused(pushd, registry)
    assert error.code in (Code.SOURCE_ARCHIVE_INVALID, Code.SOURCE_MANIFEST_INVALID)
    assert f"the engine at {docker.path}" in error.subject


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 two hundred\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 O", "broke off"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nno", "500: no"),
        (b"", "broke off"),
    ],
    ids=["ssh", "no status", "no length", "no chunks", "half a head", "half an error", "nothing"],
)
async def test_what_is_no_engine_is_told(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry, content: bytes, said: str
) -> None:
    docker.mood = Says(content)
    async with docked.run() as pushd:
        error = await refused(pushd, registry)
    assert error.code is Code.SOURCE_UNREADABLE
    assert said in error.detail


@pytest.mark.parametrize(("after", "limit"), [(None, "BEGIN_WITHIN"), (0, "BEGIN_WITHIN"), (700_000, "GO_ON_WITHIN")])
async def test_an_engine_that_falls_silent_is_given_up(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch, *,
    after: int | None, limit: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(export, limit, 0.3)
    docker.mood = Hangs(after)
    async with docked.run() as pushd:
        error = await refused(pushd, registry)
    assert error.code is Code.SOURCE_UNREADABLE
    assert "nothing for" in error.detail


# ------------------------------------------------------------------------------------------------------ not enough room


async def test_its_submitters_quota_holds_for_it(docked: Builder, registry: FakeRegistry) -> None:
    small = Builder(replace(docked.config, spool=Spool(per_user=2 << 20)))
    async with small.run() as pushd:
        assert (await refused(pushd, registry)).code is Code.REQUEST_LIMIT


async def test_the_daemons_budget_holds_for_it(docked: Builder, registry: FakeRegistry) -> None:
    small = Builder(replace(docked.config, disk=Disk(budget=2 << 20)))
    async with small.run() as pushd:
        assert (await refused(pushd, registry)).code is Code.STORE_BUDGET


async def test_room_for_it_alone_is_enough(docked: Builder, registry: FakeRegistry) -> None:
    enough = Builder(replace(docked.config, spool=Spool(per_user=4 << 20)))
    async with enough.run() as pushd:
        assert (await pushd.ended(await submit(pushd, registry))).state is JobState.SUCCEEDED


async def test_a_disk_that_is_full_ends_it(
    docked: Builder, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with docked.run() as pushd:
        monkeypatch.setattr(Shelf, "settle", full)
        error = await refused(pushd, registry)
    assert error.code is Code.STORE_FULL


# ----------------------------------------------------------------------------------------------------- whoever leaves


@pytest.mark.parametrize("after", [None, 0, 700_000])
async def test_a_caller_who_leaves_ends_it_and_leaves_nothing(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry, after: int | None
) -> None:
    docker.mood = Hangs(after)
    async with docked.run() as pushd:
        async with anyio.create_task_group() as calling:
            calling.start_soon(submit, pushd, registry)
            with anyio.fail_after(10):
                while not docker.reached.is_set():  # noqa: ASYNC110 (nobody tells)
                    await anyio.sleep(0.01)
                while after and not pushd.house.spool.entries:  # noqa: ASYNC110 (likewise)
                    await anyio.sleep(0.01)
            calling.cancel_scope.cancel()
        check_nothing_left(pushd)
        assert await pushd.house.store.list(JOBS) == ()


async def test_a_caller_who_leaves_while_room_is_made_leaves_nothing_either(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    making, made = threading.Event(), Shelf.make

    def slowly(*arguments: Any) -> None:
        making.set()
        time.sleep(0.2)
        made(*arguments)

    async with docked.run() as pushd:
        monkeypatch.setattr(Shelf, "make", slowly)
        async with anyio.create_task_group() as calling:
            calling.start_soon(submit, pushd, registry)
            await anyio.to_thread.run_sync(making.wait, 10)
            calling.cancel_scope.cancel()
        check_nothing_left(pushd)


async def test_a_caller_who_leaves_while_the_job_is_written_down_leaves_a_job_that_has_its_bytes(
    docked: Builder, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, write = anyio.Event(), Store.submit

    async def slowly(*arguments: Any, **named: Any) -> Job:
        writing.set()
        await anyio.sleep(0.2)
        return await write(*arguments, **named)

    async with docked.run() as pushd:
        monkeypatch.setattr(Store, "submit", slowly)
        async with anyio.create_task_group() as calling:
            calling.start_soon(submit, pushd, registry)
            await writing.wait()
            calling.cancel_scope.cancel()
        (job,) = await pushd.house.store.list(JOBS)
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED


async def test_no_more_than_a_few_are_fetched_at_once(
    docked: Builder, docker: FakeEngine, registry: FakeRegistry
) -> None:
    docker.mood = Hangs(700_000)
    async with docked.run() as pushd, anyio.create_task_group() as calling:
        for _ in range(6):
            calling.start_soon(submit, pushd, registry)
        with anyio.fail_after(10):
            while len(pushd.house.spool.entries) < 4:  # noqa: ASYNC110 (likewise)
                await anyio.sleep(0.01)
        await anyio.sleep(0.1)
        assert len(docker.asked) == 4
        calling.cancel_scope.cancel()
