"""Whose credential a delivery goes with, and what becomes of it when that is not taken any more."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pushd.credentials.credential import Credential
from pushd.errors import Code, RequestError
from pushd.job import ANONYMOUS, DAEMON, DeliveryState, JobSpec, JobState, Spooled
from pushd.oci.upload import Form
from pushd.principal import Principal, Role
from pushd.work import Handed
from tests.fakes.behaviour import Basic, Bearer, Behaviour
from tests.fakes.callers import ROOT
from tests.fakes.faults import Action, Answer, When
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.tokens import basic
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

    from pushd.job import Job
    from tests.fakes.faults import Exchange
    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.unit.push.conftest import Builder, Pushed

ALICE, BOB = Basic("alice", "correct horse"), Basic("bob", "battery staple")
SUBMITTER = Principal(uid=ROOT.uid + 64_001, gids=ROOT.gids, role=Role.SUBMITTER, paths=True)


def credential_of(account: Basic) -> Credential:
    return Credential("caller", account.username, account.password)


def handed(registry: FakeRegistry, account: Basic = ALICE, **more: datetime) -> tuple[Handed, ...]:
    return (Handed(scope=registry.address, credential=credential_of(account), **more),)


def senders(registry: FakeRegistry) -> set[str]:
    """Give the names that requests came with."""
    told = {seen.headers.get("Authorization", "") for seen in registry.requests}
    return {base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")[0] for header in told if header}


@pytest.fixture
def image(commons: Path) -> str:
    """Name an image that everybody may read."""
    return readable(build_layout(commons / "image", [ImageSpec(layers=[1000, 30_000])]))


def readable(layout: Layout) -> str:
    """Let everybody read a layout; name it as a source."""
    for path in (layout.path, *layout.path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return f"oci:{layout.path}"


async def submit(
    pushd: Pushed, image: str, registry: FakeRegistry, *, caller: Principal = ROOT, credential: str = "auto",
    given: tuple[Handed, ...] = (), tag: str = "1",
) -> Job:  # fmt: skip
    spec = JobSpec(source=image, destinations=(f"{registry.address}/team/app:{tag}",), credential=credential)
    return await pushd.house.engine.submit(spec, handed=given, caller=caller)


async def push(pushd: Pushed, image: str, registry: FakeRegistry, **more: object) -> Job:
    return await pushd.ended(await submit(pushd, image, registry, **more))  # type: ignore[arg-type]  # as submit has it


async def needing(pushd: Pushed, job: Job) -> Job:
    """Wait until a job needs a credential."""
    async with asyncio.timeout(10):
        while True:
            job = await pushd.house.engine.get(job.id, caller=ROOT)
            failure = job.deliveries[0].failure
            if failure is not None and failure.code == Code.REGISTRY_NEEDS_CREDENTIAL:
                return job
            assert not job.state.terminal, failure
            await asyncio.sleep(0.01)


class TurnTo(Action):
    """Have another account from a request on: that one is refused by its answer already."""

    def __init__(self, registry: FakeRegistry, account: Basic) -> None:
        self._registry = registry
        self._account = account

    async def arrive(self, exchange: Exchange) -> None:
        self._registry.behaviour = replace(self._registry.behaviour, auth=self._account)

    async def reply(self, exchange: Exchange, response: web.Response) -> None:
        pass


# ---------------------------------------------------------------------------------------------- whose is used


async def test_a_credential_that_was_handed_over_is_the_one_that_is_used(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    async with house.run() as pushd:
        job = await push(pushd, image, registry, given=handed(registry), caller=SUBMITTER)
    assert job.state is JobState.SUCCEEDED
    assert senders(registry) == {"alice"}


async def test_it_goes_before_the_daemons_own_and_the_daemons_is_used_where_that_is_asked_for(
    house: Builder, registry: FakeRegistry, image: str, tmp_path: Path
) -> None:
    auth = base64.b64encode(b"bob:battery staple").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
    async with house.run() as pushd:
        registry.behaviour = Behaviour(auth=ALICE)
        assert (await push(pushd, image, registry, given=handed(registry))).state is JobState.SUCCEEDED
        registry.behaviour = Behaviour(auth=BOB)
        assert (await push(pushd, image, registry, tag="2")).state is JobState.SUCCEEDED
        assert (await push(pushd, image, registry, tag="3", credential=DAEMON)).state is JobState.SUCCEEDED
        failed = await push(pushd, image, registry, tag="4", credential=ANONYMOUS)
    assert failed.deliveries[0].failure is not None
    assert failed.deliveries[0].failure.code == Code.REGISTRY_UNAUTHORIZED


async def test_who_brings_their_own_needs_no_grant_for_the_daemons(
    house: Builder, registry: FakeRegistry, image: str, tmp_path: Path
) -> None:
    auth = base64.b64encode(b"bob:battery staple").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
    registry.behaviour = Behaviour(auth=ALICE)
    async with house.run() as pushd:
        with pytest.raises(RequestError) as caught:
            await submit(pushd, image, registry, caller=SUBMITTER)
        assert caught.value.code is Code.REQUEST_FORBIDDEN
        with pytest.raises(RequestError):
            await submit(pushd, image, registry, caller=SUBMITTER, credential=DAEMON)
        job = await push(pushd, image, registry, caller=SUBMITTER, given=handed(registry))
    assert job.state is JobState.SUCCEEDED
    assert senders(registry) == {"alice"}


async def test_where_the_daemon_is_to_use_its_own_and_has_none_the_job_says_so(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    async with house.run() as pushd:
        job = await push(pushd, image, registry, credential=DAEMON)
    failure = job.deliveries[0].failure
    assert failure is not None
    assert failure.code == Code.REGISTRY_CREDENTIALS
    assert registry.count() == 0


async def test_a_credential_for_what_is_no_destination_is_refused(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    other = Handed(scope="registry.example.com", credential=credential_of(ALICE))
    async with house.run() as pushd:
        with pytest.raises(RequestError, match="neither source nor destination") as caught:
            await submit(pushd, image, registry, given=(other,))
    assert caught.value.code is Code.REQUEST_MALFORMED


async def test_a_wrong_password_ends_the_job(house: Builder, registry: FakeRegistry, image: str) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    async with house.run() as pushd:
        job = await push(pushd, image, registry, given=handed(registry, BOB))
    failure = job.deliveries[0].failure
    assert failure is not None
    assert failure.code == Code.REGISTRY_UNAUTHORIZED
    assert registry.repository("team/app").tags == {}


# ----------------------------------------------------------------------------------------- one that is stored


async def test_a_login_is_used_for_its_owners_jobs_and_for_nobody_elses(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    async with house.run() as pushd:
        told = await pushd.house.logins.store("work", *handed(registry), caller=SUBMITTER)
        assert (told["verified"], told["resumed"]) == (True, 0)
        assert (await push(pushd, image, registry, caller=SUBMITTER)).state is JobState.SUCCEEDED
        assert (await push(pushd, image, registry, caller=SUBMITTER, credential="work")).state is JobState.SUCCEEDED
        others = await push(pushd, image, registry, tag="2")
        assert others.state is JobState.FAILED
        with pytest.raises(RequestError) as caught:
            await submit(pushd, image, registry, credential="work")
        assert caught.value.code is Code.REQUEST_NOT_FOUND
        assert [login.name for login in await pushd.house.logins.list(caller=SUBMITTER)] == ["work"]
        assert await pushd.house.logins.list(caller=ROOT) == ()
        await pushd.house.logins.remove("work", caller=SUBMITTER)
        assert await pushd.house.logins.list(caller=SUBMITTER) == ()
        assert (await push(pushd, image, registry, caller=SUBMITTER, tag="3")).state is JobState.FAILED


async def test_a_login_the_registry_does_not_take_is_not_stored(house: Builder, registry: FakeRegistry) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    async with house.run() as pushd:
        with pytest.raises(RequestError) as caught:
            await pushd.house.logins.store("work", *handed(registry, BOB), caller=ROOT)
        assert caught.value.code is Code.REQUEST_CREDENTIAL_REFUSED
        assert await pushd.house.logins.list(caller=ROOT) == ()


async def test_a_login_that_cannot_be_tried_is_stored_all_the_same(house: Builder, registry: FakeRegistry) -> None:
    async with house.run() as pushd:
        open_ = await pushd.house.logins.store("open", *handed(registry), caller=ROOT)
        await registry.stop()
        away = await pushd.house.logins.store("away", *handed(registry), caller=ROOT)
        await registry.start()
        assert (open_["verified"], away["verified"]) == (None, None)
        assert [login.name for login in await pushd.house.logins.list(caller=ROOT)] == ["away", "open"]


# ------------------------------------------------------------------------------- one that is not taken any more


async def test_a_delivery_whose_credential_expired_waits_and_goes_on_when_a_login_brings_another(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    registry.misbehave(TurnTo(registry, BOB), kind=Kind.OPEN)
    async with house.run() as pushd:
        job = await needing(pushd, await submit(pushd, image, registry, given=handed(registry), caller=SUBMITTER))
        delivery = job.deliveries[0]
        assert delivery.state is DeliveryState.HELD
        assert delivery.failure is not None
        assert f"pushctl login {registry.address}" in delivery.failure.message
        told = await pushd.house.logins.store("new", *handed(registry, BOB), caller=SUBMITTER)
        assert told["resumed"] == 1
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED


async def test_a_right_that_is_missing_ends_the_job_also_where_the_registry_calls_that_unauthorised(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    registry.misbehave(Answer(When.ARRIVED, status=401), kind=Kind.OPEN, times=None)
    async with house.run() as pushd:
        job = await push(pushd, image, registry, given=handed(registry), caller=SUBMITTER)
    failure = job.deliveries[0].failure
    assert failure is not None
    assert failure.code == Code.REGISTRY_UNAUTHORIZED


async def test_what_the_registry_has_of_a_blob_by_then_is_not_sent_again(
    house: Builder, registry: FakeRegistry, commons: Path
) -> None:
    image = readable(build_layout(commons / "large", [ImageSpec(layers=[4 << 20])]))
    renewed = Basic(ALICE.username, "another one")
    registry.behaviour = Behaviour(auth=ALICE)
    registry.misbehave(TurnTo(registry, renewed), kind=Kind.CHUNK, nth=4)
    house = house.with_registry(registry.address, upload=Form.CHUNKED, chunk_size=1 << 20)
    async with house.run() as pushd:
        job = await needing(pushd, await submit(pushd, image, registry, given=handed(registry), caller=SUBMITTER))
        assert registry.count(Kind.CANCEL) == 0
        opened = registry.count(Kind.OPEN)
        await pushd.house.logins.store("new", *handed(registry, renewed), caller=SUBMITTER)
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED
    assert registry.count(Kind.OPEN) == opened
    assert registry.received < 5 << 20


async def test_where_its_user_has_another_it_goes_on_with_that(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    registry.behaviour = Behaviour(auth=BOB)
    async with house.run() as pushd:
        await pushd.house.logins.store("other", *handed(registry, BOB), caller=SUBMITTER)
        registry.behaviour = Behaviour(auth=ALICE)
        registry.misbehave(TurnTo(registry, BOB), kind=Kind.OPEN)
        job = await push(pushd, image, registry, given=handed(registry), caller=SUBMITTER)
    assert job.state is JobState.SUCCEEDED
    assert job.deliveries[0].attempt == 2


async def test_a_login_that_ran_out_is_waited_for_in_a_later_life_as_well(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    async with house.run() as pushd:
        await pushd.house.logins.store("work", *handed(registry), caller=SUBMITTER)
    registry.behaviour = Behaviour(auth=BOB)
    async with house.run() as pushd:
        job = await needing(pushd, await submit(pushd, image, registry, caller=SUBMITTER))
        assert job.deliveries[0].state is DeliveryState.HELD
        assert [login.sealed.secret for login in await pushd.house.logins.list(caller=SUBMITTER)] == [None]


async def test_what_is_in_the_spool_may_be_called_anything(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    spooled = Spooled(entry="none", media_type="a/b", digest=f"sha256:{'0' * 64}", size=1)
    spec = JobSpec(source="docker://a b", destinations=(f"{registry.address}/team/app:1",), spooled=spooled)
    async with house.run() as pushd:
        with pytest.raises(RequestError) as caught:
            await pushd.house.engine.submit(spec, handed=handed(registry), caller=SUBMITTER)
        assert caught.value.code is Code.REQUEST_NOT_FOUND, "of the entry, for there is none"


async def test_credentials_for_what_is_no_destination_do_not_come_with_a_retry_either(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    other = Handed(scope="registry.example.com", credential=credential_of(ALICE))
    async with house.run() as pushd:
        job = await push(pushd, image, registry, given=handed(registry, BOB), caller=SUBMITTER)
        with pytest.raises(RequestError, match="neither source nor destination"):
            await pushd.house.engine.retry(job.id, handed=(other,), caller=SUBMITTER)
        assert len(await pushd.house.store.handed(job.id)) == 1


async def test_somebody_elses_login_does_not_wake_it(house: Builder, registry: FakeRegistry, image: str) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    registry.misbehave(TurnTo(registry, BOB), kind=Kind.OPEN)
    async with house.run() as pushd:
        job = await needing(pushd, await submit(pushd, image, registry, given=handed(registry), caller=SUBMITTER))
        told = await pushd.house.logins.store("new", *handed(registry, BOB), caller=ROOT)
        assert told["resumed"] == 0
        assert (await pushd.house.engine.get(job.id, caller=ROOT)).deliveries[0].state is DeliveryState.HELD


async def test_it_waits_over_a_restart_and_handing_over_another_wakes_it(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    registry.misbehave(TurnTo(registry, BOB), kind=Kind.OPEN)
    async with house.run() as pushd:
        job = await needing(pushd, await submit(pushd, image, registry, given=handed(registry), caller=SUBMITTER))
    async with house.run() as pushd:
        assert (await pushd.house.engine.get(job.id, caller=ROOT)).deliveries[0].state is DeliveryState.HELD
        await pushd.house.engine.retry(job.id, handed=handed(registry, BOB), caller=SUBMITTER)
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED


async def test_a_credential_handed_over_outlives_a_restart(house: Builder, registry: FakeRegistry, image: str) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    async with house.run() as pushd:
        spec = JobSpec(
            source=image,
            destinations=(f"{registry.address}/team/app:1",),
            not_before=datetime.now(UTC) + timedelta(seconds=1),
        )
        job = await pushd.house.engine.submit(spec, handed=handed(registry), caller=SUBMITTER)
    assert registry.count() == 0
    async with house.run() as pushd:
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED


async def test_one_that_is_past_its_time_is_not_used(house: Builder, registry: FakeRegistry, image: str) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    soon = datetime.now(UTC) + timedelta(seconds=0.2)
    async with house.run() as pushd:
        spec = JobSpec(source=image, destinations=(f"{registry.address}/team/app:1",), not_before=soon)
        job = await pushd.house.engine.submit(spec, handed=handed(registry, expires_at=soon), caller=SUBMITTER)
        await needing(pushd, job)
    assert registry.count() == 0


async def test_what_was_handed_over_is_gone_when_the_job_has_ended(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    async with house.run() as pushd:
        job = await push(pushd, image, registry, given=handed(registry), caller=SUBMITTER)
        (kept,) = await pushd.house.store.handed(job.id)
        assert kept.secret is None


async def test_a_job_that_failed_is_retried_with_what_is_handed_over_then(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    async with house.run() as pushd:
        job = await push(pushd, image, registry, given=handed(registry, BOB), caller=SUBMITTER)
        assert job.state is JobState.FAILED
        await pushd.house.engine.retry(job.id, handed=handed(registry), caller=SUBMITTER)
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED


async def test_nobody_hands_over_their_own_for_somebody_elses_job(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    async with house.run() as pushd:
        job = await push(pushd, image, registry, given=handed(registry, BOB), caller=SUBMITTER)
        with pytest.raises(RequestError) as caught:
            await pushd.house.engine.retry(job.id, handed=handed(registry), caller=ROOT)
    assert caught.value.code is Code.REQUEST_FORBIDDEN


async def test_the_daemons_own_credential_that_changes_in_the_middle_costs_nothing(
    house: Builder, registry: FakeRegistry, image: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"

    def write(account: Basic) -> None:
        auth = base64.b64encode(f"{account.username}:{account.password}".encode()).decode()
        config.write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))

    class Rotate(TurnTo):
        async def arrive(self, exchange: Exchange) -> None:
            write(BOB)
            await super().arrive(exchange)

    write(ALICE)
    registry.behaviour = Behaviour(auth=ALICE)
    registry.misbehave(Rotate(registry, BOB), kind=Kind.OPEN)
    async with house.run() as pushd:
        job = await push(pushd, image, registry)
    assert job.state is JobState.SUCCEEDED
    assert job.deliveries[0].attempt == 1
    assert senders(registry) == {"alice", "bob"}


async def test_the_daemons_own_that_is_not_taken_any_more_is_waited_for(
    house: Builder, registry: FakeRegistry, image: str, tmp_path: Path
) -> None:
    auth = base64.b64encode(b"alice:correct horse").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
    registry.behaviour = Behaviour(auth=ALICE)
    registry.misbehave(TurnTo(registry, BOB), kind=Kind.OPEN)
    async with house.run() as pushd:
        job = await needing(pushd, await submit(pushd, image, registry))
    delivery = job.deliveries[0]
    assert delivery.not_before is not None
    assert delivery.not_before - datetime.now(UTC) < timedelta(minutes=6)


# ------------------------------------------------------------------------------------------------------ tokens


async def test_many_jobs_with_one_credential_cost_one_token(house: Builder, registry: FakeRegistry, image: str) -> None:
    registry.behaviour = Behaviour(auth=Bearer(account=ALICE))
    async with house.run() as pushd:
        jobs = [
            await submit(pushd, image, registry, given=handed(registry), caller=SUBMITTER, tag=str(number))
            for number in range(40)
        ]
        for job in jobs:
            assert (await pushd.ended(job)).state is JobState.SUCCEEDED
    assert registry.count(Kind.TOKEN) == 1


def test_the_accounts_of_these_tests_are_told_apart() -> None:
    assert basic(ALICE) == credential_of(ALICE).basic != credential_of(BOB).basic


# --------------------------------------------------------------------------------------- by a socket for others


async def test_who_comes_by_a_socket_for_others_has_nothing_that_their_uid_has_stored(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    inside = replace(SUBMITTER, logins=False)
    async with house.run() as pushd:
        logins = pushd.house.logins
        await logins.store("work", *handed(registry), caller=SUBMITTER)
        assert await logins.list(caller=inside) == ()
        for refused, code in (
            (logins.remove("work", caller=inside), Code.REQUEST_NOT_FOUND),
            (logins.store("work", *handed(registry), caller=inside), Code.REQUEST_FORBIDDEN),
            (submit(pushd, image, registry, caller=inside, credential="work"), Code.REQUEST_FORBIDDEN),
        ):
            with pytest.raises(RequestError) as caught:
                await refused
            assert caught.value.code is code
        assert (await push(pushd, image, registry, caller=inside)).state is JobState.FAILED
        job = await push(pushd, image, registry, caller=inside, given=handed(registry), tag="2")
        assert job.state is JobState.SUCCEEDED, "what they hand over is theirs"


async def test_what_waits_for_a_credential_of_theirs_is_not_given_one_that_is_stored(
    house: Builder, registry: FakeRegistry, image: str
) -> None:
    registry.behaviour = Behaviour(auth=ALICE)
    registry.misbehave(TurnTo(registry, BOB), kind=Kind.OPEN)
    inside = replace(SUBMITTER, logins=False)
    async with house.run() as pushd:
        job = await needing(pushd, await submit(pushd, image, registry, given=handed(registry), caller=inside))
        told = await pushd.house.logins.store("new", *handed(registry, BOB), caller=SUBMITTER)
        assert told["resumed"] == 0
        await pushd.house.engine.retry(job.id, handed=handed(registry, BOB), caller=inside)
        assert (await pushd.ended(job)).state is JobState.SUCCEEDED
