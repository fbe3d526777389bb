"""What people do with jobs: later, not now, not there, once more; and whose they are."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from pushd.errors import Code, PushdError, RequestError
from pushd.job import ABSENT, DeliveryState, JobSpec, JobState, Retain, Spooled
from pushd.telemetry.events import DELIVERY_STARTED, JOB_FINISHED, UPLOAD_CHUNK
from pushd.work import JobQuery
from tests.fakes.callers import ROOT, submitter
from tests.fakes.faults import Answer, Delay, SlowBody, Stall
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pushd.job import Job
    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.unit.push.conftest import Builder, Pushed

MIB = 1 << 20
ALICE, BOB = submitter(4711, 4711), submitter(4712, 4712)


@pytest.fixture
def image(commons: Path) -> Layout:
    """Give a small image that everybody may read."""
    return build_layout(commons / "image", [ImageSpec(layers=[1000])])


def spec(layout: Layout, *destinations: str, **more: object) -> JobSpec:
    return replace(JobSpec(source=f"oci:{layout.path}", destinations=destinations), **more)  # type: ignore[arg-type]  # the test names real fields


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 (what is looked at is no event)
            await anyio.sleep(0.01)


# --------------------------------------------------------------------------------------------------------- pausing


async def test_a_paused_job_stops_at_a_boundary_and_goes_on_from_there(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[12 * MIB])])
    registry.misbehave(SlowBody(rate=20 * MIB), kind=Kind.CHUNK, times=None)
    builder = house.with_registry(registry.address, chunk_size=2 * MIB)
    async with builder.run() as pushd:
        job = await pushd.submit(f"oci:{layout.path}", f"{registry.address}/team/app:1")
        await until(lambda: len(pushd.events(UPLOAD_CHUNK)) >= 2)
        await pushd.house.engine.pause(job.id, caller=ROOT)
        with anyio.fail_after(20):
            while (await pushd.house.engine.get(job.id, caller=ROOT)).state is not JobState.PAUSED:  # noqa: ASYNC110 (likewise)
                await anyio.sleep(0.01)
        before = registry.received
        await anyio.sleep(0.1)
        assert registry.received == before, "nothing moves while it is paused"

        resumed = await pushd.house.engine.resume(job.id, caller=ROOT)
        job = await pushd.ended(job)

    assert not resumed.state.terminal
    assert job.state is JobState.SUCCEEDED
    assert registry.received < 13 * MIB, "what was there was not sent again"


async def test_a_job_that_waits_is_paused_at_once_and_its_deadline_waits_with_it(
    house: Builder, registry: FakeRegistry, image: Layout
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    async with house.run() as pushd:
        job = await pushd.take(spec(image, f"{registry.address}/team/app:1", not_before=later))
        paused = await pushd.house.engine.pause(job.id, caller=ROOT)
        again = await pushd.house.engine.pause(job.id, caller=ROOT)
        await anyio.sleep(0.05)
        resumed = await pushd.house.engine.resume(job.id, caller=ROOT)

    assert (job.state, paused.state, again.state, resumed.state) == (
        JobState.HELD,
        JobState.PAUSED,
        JobState.PAUSED,
        JobState.HELD,
    )
    assert paused.paused_at == again.paused_at
    assert resumed.deadline_at > job.deadline_at
    assert resumed.paused_at is None


async def test_a_job_that_has_ended_can_no_longer_be_paused(
    house: Builder, registry: FakeRegistry, image: Layout
) -> None:
    async with house.run() as pushd:
        job = await pushd.push(f"oci:{image.path}", f"{registry.address}/team/app:1")
        with pytest.raises(RequestError) as caught:
            await pushd.house.engine.pause(job.id, caller=ROOT)
    assert caught.value.code is Code.REQUEST_STATE


async def test_a_paused_registry_holds_up_what_goes_there_and_nothing_else(
    house: Builder, registry: FakeRegistry, image: Layout
) -> None:
    here, there = registry.address, registry.address.replace("127.0.0.1", "localhost")
    async with house.run() as pushd:
        answer = await pushd.house.engine.pause_registry(here, caller=ROOT)
        held = await pushd.submit(f"oci:{image.path}", f"{here}/team/app:1")
        done = await pushd.push(f"oci:{image.path}", f"{there}/team/app:2")
        waiting = await pushd.house.engine.get(held.id, caller=ROOT)
        status: Any = await pushd.house.engine.status(caller=ROOT)
        await pushd.house.engine.resume_registry(here, caller=ROOT)
        held = await pushd.ended(held)

    assert answer["paused_since"] is not None
    assert (done.state, waiting.state, held.state) == (JobState.SUCCEEDED, JobState.QUEUED, JobState.SUCCEEDED)
    assert status["registries"][here]["paused_since"] == answer["paused_since"]


async def test_everything_that_goes_to_a_registry_is_cancelled_whosever_it_is(
    house: Builder, registry: FakeRegistry, image: Layout, tmp_path: Path
) -> None:
    here, there = registry.address, registry.address.replace("127.0.0.1", "localhost")
    large = build_layout(tmp_path / "large", [ImageSpec(layers=[12 * MIB])])
    stalled = registry.misbehave(Stall(), kind=Kind.CHUNK, times=None)
    async with house.with_limits(deliveries=1).run() as pushd:
        running = await pushd.submit(f"oci:{large.path}", f"{here}/team/large:1")
        await until(lambda: stalled.acted > 0)
        waiting = await pushd.take(spec(image, f"{here}/team/app:1", f"{there}/team/app:1"), caller=ALICE)
        with pytest.raises(RequestError) as forbidden:
            await pushd.house.engine.cancel_registry(here, caller=ALICE)
        answer = await pushd.house.engine.cancel_registry(here, caller=ROOT)
        running, waiting = await pushd.ended(running), await pushd.ended(waiting)

    assert forbidden.value.code is Code.REQUEST_FORBIDDEN
    assert answer == {"registry": here, "cancelled": 1, "stopping": 1}
    assert running.state is JobState.CANCELLED
    assert [delivery.state for delivery in waiting.deliveries] == [DeliveryState.CANCELLED, DeliveryState.SUCCEEDED]


async def test_only_an_administrator_holds_a_registry_back_and_only_one_that_is_one(house: Builder) -> None:
    async with house.run() as pushd:
        with pytest.raises(RequestError) as forbidden:
            await pushd.house.engine.pause_registry("registry.example.com", caller=ALICE)
        for name in ("foo", "team/app", "", "registry.example.com/team", "http://registry.example.com"):
            with pytest.raises(RequestError) as malformed:
                await pushd.house.engine.pause_registry(name, caller=ROOT)
            assert malformed.value.code is Code.REQUEST_INVALID_REFERENCE
    assert forbidden.value.code is Code.REQUEST_FORBIDDEN


# --------------------------------------------------------------------------------------------------- once more, later


async def test_a_retry_tries_what_failed_and_nothing_else(
    house: Builder, registry: FakeRegistry, image: Layout
) -> None:
    registry.misbehave(Answer(status=403), kind=Kind.MANIFEST, repository="team/bad", times=None)
    destinations = [f"{registry.address}/team/{name}:1" for name in ("good", "bad")]
    async with house.run() as pushd:
        job = await pushd.push(f"oci:{image.path}", *destinations)
        assert job.state is JobState.PARTIAL
        registry._rules.clear()  # the right is granted meanwhile
        before = registry.count(repository="team/good")

        await pushd.house.engine.retry(job.id, caller=ROOT)
        job = await pushd.ended(job)
        again = await pushd.house.engine.retry(job.id, caller=ROOT)

    assert (job.state, again.state) == (JobState.SUCCEEDED, JobState.SUCCEEDED)
    assert registry.count(repository="team/good") == before
    assert len(pushd.events(JOB_FINISHED)) == 2


async def test_a_job_for_later_begins_then(house: Builder, registry: FakeRegistry, image: Layout) -> None:
    at = datetime.now(UTC) + timedelta(seconds=0.4)
    async with house.run() as pushd:
        job = await pushd.take(spec(image, f"{registry.address}/team/app:1", not_before=at))
        assert (job.state, job.not_before) == (JobState.HELD, at)
        assert job.deliveries[0].failure is None
        job = await pushd.ended(job)

    assert job.state is JobState.SUCCEEDED
    assert job.deliveries[0].started_at is not None
    assert job.deliveries[0].started_at >= at


async def test_what_waits_past_its_deadline_fails(house: Builder, registry: FakeRegistry, image: Layout) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        job = await pushd.take(spec(image, f"{registry.address}/team/app:1", deadline=0.2))
        await anyio.sleep(0.3)
        await pushd.house.housekeeping._expire()  # what comes by itself within seconds
        job = await pushd.house.engine.get(job.id, caller=ROOT)

    assert job.state is JobState.FAILED
    assert job.deliveries[0].failure is not None
    assert job.deliveries[0].failure.code == Code.REQUEST_DEADLINE


# ---------------------------------------------------------------------------------------------- tags that must not move


async def test_a_tag_that_exists_is_not_overwritten_when_it_must_be_absent(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    specs = [ImageSpec(tag="old", layers=[1000], seed="old"), ImageSpec(tag="new", layers=[1000], seed="new")]
    layout = build_layout(tmp_path / "image", specs)
    destination = f"{registry.address}/team/app:1"
    async with house.run() as pushd:
        old = await pushd.push(f"oci:{layout.path}:old", destination)
        puts = registry.count(Kind.MANIFEST, method="PUT")
        asked = JobSpec(source=f"oci:{layout.path}:new", destinations=(destination,), if_tag=ABSENT)
        refused = await pushd.ended(await pushd.take(asked))
        again = replace(asked, source=f"oci:{layout.path}:old")
        same = await pushd.ended(await pushd.take(again))
        moved = await pushd.ended(await pushd.take(replace(asked, if_tag=old.digest)))
        stale = await pushd.ended(await pushd.take(replace(again, if_tag=old.digest)))

    (delivery,) = refused.deliveries
    assert delivery.failure is not None
    assert (refused.state, delivery.failure.code) == (JobState.FAILED, Code.REGISTRY_TAG_EXISTS)
    assert str(old.digest) in delivery.failure.message
    assert registry.count(Kind.MANIFEST, method="PUT") == puts + 1, "one tag was moved, and one only"
    assert (same.state, moved.state, stale.state) == (JobState.SUCCEEDED, JobState.SUCCEEDED, JobState.FAILED)


async def test_a_tag_that_appears_while_blobs_are_sent_is_seen_before_it_is_put(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000])])
    registry.misbehave(Delay(seconds=0.5), kind=Kind.COMMIT)
    async with house.run() as pushd:
        job = await pushd.take(spec(layout, f"{registry.address}/team/app:1", if_tag=ABSENT))
        await until(lambda: registry.count(Kind.OPEN) > 0)
        registry.add_manifest("team/app", b'{"schemaVersion": 2}', "application/vnd.oci.image.manifest.v1+json", "1")
        job = await pushd.ended(job)

    assert job.deliveries[0].failure is not None
    assert job.deliveries[0].failure.code == Code.REGISTRY_TAG_EXISTS
    assert registry.count(Kind.MANIFEST, method="PUT") == 0


async def test_a_destination_without_a_tag_cannot_be_asked_for_its_tag(
    house: Builder, registry: FakeRegistry, image: Layout
) -> None:
    destination = f"{registry.address}/team/app@{image.image.root.digest}"
    async with house.run() as pushd:
        with pytest.raises(RequestError) as caught:
            await pushd.take(spec(image, destination, if_tag=ABSENT))
    assert caught.value.code is Code.REQUEST_INVALID_REFERENCE


# ---------------------------------------------------------------------------------------------------------- planning


async def test_a_plan_tells_what_is_there_what_would_be_mounted_and_what_would_be_sent_and_changes_nothing(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(
        tmp_path / "image",
        [ImageSpec(tag="a", layers=[1000, 2000], seed="a"), ImageSpec(tag="b", layers=[3000], seed="b")],
    )
    async with house.run() as pushd:
        await pushd.push(f"oci:{layout.path}:a", f"{registry.address}/team/app:1")
        changes = [seen for seen in registry.requests if seen.method not in ("GET", "HEAD")]
        asked = JobSpec(
            source=f"oci:{layout.path}:a",
            destinations=tuple(f"{registry.address}/{name}" for name in ("team/app:1", "team/app:2", "other/app:1")),
        )
        plan: Any = await pushd.house.engine.plan(asked, caller=ROOT)
        other: Any = await pushd.house.engine.plan(
            replace(asked, source=f"oci:{layout.path}:b", destinations=(f"{registry.address}/team/app:1",)),
            caller=ROOT,
        )

    there, retagged, mounted = plan["destinations"]
    assert [one["action"] for one in (there, retagged, mounted)] == ["nothing", "push", "push"]
    assert there["tag"] == plan["digest"]
    assert there["manifests"] == {"count": 0, "bytes": 0}
    assert (retagged["present"]["count"], retagged["mount"]["count"], retagged["send"]["count"]) == (3, 0, 0)
    assert (mounted["present"]["count"], mounted["mount"]["count"], mounted["send"]["count"]) == (0, 3, 0)
    assert {blob["from"] for blob in mounted["blobs"]} == {"team/app"}
    (fresh,) = other["destinations"]
    assert fresh["tag"] == plan["digest"]
    assert fresh["send"]["count"] == 2
    assert fresh["send"]["bytes"] == sum(blob["size"] for blob in fresh["blobs"])
    assert [seen for seen in registry.requests if seen.method not in ("GET", "HEAD")] == changes


async def test_a_plan_that_would_fail_at_one_destination_says_so_there(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000])])
    registry.misbehave(Answer(status=403), repository="team/bad", times=None)
    async with house.run() as pushd:
        destinations = tuple(f"{registry.address}/team/{name}:1" for name in ("good", "bad"))
        plan: Any = await pushd.house.engine.plan(spec(layout, *destinations), caller=ROOT)

    good, bad = plan["destinations"]
    assert (good["action"], bad["action"]) == ("push", "fail")
    assert bad["failure"]["code"] == "registry.denied"


# ------------------------------------------------------------------------------------------------ whose jobs they are


async def refusal(pushd: Pushed, job: Job, name: str) -> Code | None:
    """The code with which somebody else's attempt ends."""
    engine = pushd.house.engine
    call = getattr(engine, name)
    arguments = (job.id, 0.0) if name == "wait" else (job.id,)
    with suppress(PushdError):
        await call(*arguments, caller=BOB)
        return None
    with pytest.raises(PushdError) as caught:
        await call(*arguments, caller=BOB)
    return caught.value.code


async def test_a_job_of_somebody_else_does_not_exist(house: Builder, registry: FakeRegistry, image: Layout) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        job = await pushd.take(spec(image, f"{registry.address}/team/app:1"), caller=ALICE)
        for name in ("get", "wait", "cancel", "pause", "resume", "retry"):
            assert await refusal(pushd, job, name) is Code.REQUEST_NOT_FOUND, name
        engine = pushd.house.engine
        seen = [await engine.list(JobQuery(), caller=caller) for caller in (ALICE, BOB, ROOT)]
        told = [
            [event.job async for batch in engine.events(after=0, job_id=None, follow=False, caller=caller)
             for event in batch if event.job is not None]
            for caller in (ALICE, BOB, ROOT)
        ]  # fmt: skip
        status: list[Any] = [await engine.status(caller=caller) for caller in (ALICE, BOB, ROOT)]

    assert [len(jobs) for jobs in seen] == [1, 0, 1]
    assert [set(jobs) for jobs in told] == [{job.id}, set(), {job.id}]
    assert [one["queue"]["queued"] for one in status] == [1, 0, 1]
    assert [list(one["registries"]) for one in status] == [
        [registry.address],
        [],
        [registry.address],
    ]
    assert "state_dir" in status[2]
    assert "state_dir" not in status[0]


async def test_users_take_turns_whoever_came_first(house: Builder, registry: FakeRegistry, image: Layout) -> None:
    async with house.with_limits(deliveries=1).run() as pushd:
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        jobs = [
            await pushd.take(spec(image, f"{registry.address}/{caller.uid}/app:{number}"), caller=caller)
            for caller, count in ((ALICE, 4), (BOB, 2))
            for number in range(count)
        ]
        await pushd.house.engine.resume_registry(registry.address, caller=ROOT)
        for job in jobs:
            await pushd.ended(job)

    order = [str(event.fields["destination"]).split("/")[1] for event in pushd.events(DELIVERY_STARTED)]
    assert order == ["4711", "4712", "4711", "4712", "4711", "4711"]


async def test_paths_are_read_with_the_rights_of_who_named_them(
    house: Builder, registry: FakeRegistry, image: Layout
) -> None:
    image.path.chmod(0o700)
    destination = f"{registry.address}/team/app:1"
    async with house.run() as pushd:
        with pytest.raises(PushdError) as forbidden:
            await pushd.take(spec(image, destination), caller=ALICE)
        with pytest.raises(RequestError) as elsewhere:
            await pushd.take(spec(image, destination), caller=replace(ROOT, paths=False))
    assert (forbidden.value.code, elsewhere.value.code) == (Code.SOURCE_FORBIDDEN, Code.REQUEST_PATH_REFUSED)


async def test_rights_that_are_taken_away_before_a_job_runs_end_it(
    house: Builder, registry: FakeRegistry, image: Layout
) -> None:
    """As after a restart: the check is made again whenever bytes are opened."""
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        job = await pushd.take(spec(image, f"{registry.address}/team/app:1"), caller=ALICE)
    image.path.chmod(0o700)
    async with house.run() as pushd:
        await pushd.house.engine.resume_registry(registry.address, caller=ROOT)
        job = await pushd.ended(job)
    assert job.deliveries[0].failure is not None
    assert job.deliveries[0].failure.code == Code.SOURCE_FORBIDDEN


# --------------------------------------------------------------------------------------------------- kept in the spool


async def test_a_job_kept_in_the_spool_survives_its_source_and_leaves_nothing(
    house: Builder, registry: FakeRegistry, image: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        asked = spec(image, f"{registry.address}/team/app:1", retain=Retain.SPOOL)
        job = await pushd.take(asked, caller=ALICE)
        (image.path / "index.json").unlink()
        assert len(pushd.house.spool.entries) == 1
        await pushd.house.engine.resume_registry(registry.address, caller=ROOT)
        job = await pushd.ended(job)
        await until(lambda: not pushd.house.spool.entries)

    assert (job.state, job.retain) == (JobState.SUCCEEDED, Retain.SPOOL)
    assert pushd.house.spool.size == 0


async def test_a_job_kept_in_the_spool_that_failed_cannot_be_retried_and_says_why(
    house: Builder, registry: FakeRegistry, image: Layout
) -> None:
    registry.misbehave(Answer(status=403), times=None)
    async with house.run() as pushd:
        job = await pushd.ended(
            await pushd.take(spec(image, f"{registry.address}/team/app:1", retain=Retain.SPOOL), caller=ALICE)
        )
        with pytest.raises(RequestError) as caught:
            await pushd.house.engine.retry(job.id, caller=ALICE)
    assert caught.value.code is Code.REQUEST_STATE


async def test_the_same_request_again_keeps_nothing_twice(
    house: Builder, registry: FakeRegistry, image: Layout
) -> None:
    asked = spec(image, f"{registry.address}/team/app:1", retain=Retain.SPOOL)
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        submit = pushd.house.engine.submit
        first = await submit(asked, caller=ALICE, idempotency_key="k", fingerprint=b"f")
        second = await submit(asked, caller=ALICE, idempotency_key="k", fingerprint=b"f")
        assert first.id == second.id
        assert len(pushd.house.spool.entries) == 1


async def test_an_entry_of_somebody_else_is_no_source(house: Builder, registry: FakeRegistry, image: Layout) -> None:
    built = image.image
    async with house.run() as pushd:
        entry = await pushd.house.spool.create(uid=ALICE.uid, size=1 << 20, ttl=None)
        spooled = Spooled(
            entry=entry.id, media_type=built.root.media_type, digest=str(built.root.digest), size=built.root.size
        )
        with pytest.raises(RequestError) as caught:
            await pushd.take(spec(image, f"{registry.address}/team/app:1", spooled=spooled), caller=BOB)
    assert caught.value.code is Code.REQUEST_NOT_FOUND


async def test_no_more_than_so_many_jobs_of_one_user_wait(
    house: Builder, registry: FakeRegistry, image: Layout
) -> None:
    async with house.with_limits(jobs_per_user=2).run() as pushd:
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        for number in range(2):
            await pushd.take(spec(image, f"{registry.address}/team/app:{number}"), caller=ALICE)
        with pytest.raises(RequestError) as caught:
            await pushd.take(spec(image, f"{registry.address}/team/app:3"), caller=ALICE)
        await pushd.take(spec(image, f"{registry.address}/team/app:4"), caller=BOB)
    assert caught.value.code is Code.REQUEST_LIMIT


async def test_a_cancelled_job_that_is_retried_is_delivered(
    house: Builder, registry: FakeRegistry, image: Layout
) -> None:
    async with house.run() as pushd:
        await pushd.house.engine.pause_registry(registry.address, caller=ROOT)
        job = await pushd.take(spec(image, f"{registry.address}/team/app:1"))
        cancelled = await pushd.house.engine.cancel(job.id, caller=ROOT)
        await pushd.house.engine.resume_registry(registry.address, caller=ROOT)
        await pushd.house.engine.retry(job.id, caller=ROOT)
        job = await pushd.ended(job)
    assert cancelled.state is JobState.CANCELLED
    assert job.deliveries[0].state is DeliveryState.SUCCEEDED
