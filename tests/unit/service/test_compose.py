"""Composition: every configured value reaches the room it is meant for, seen by what the daemon then does."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING

import anyio
import pytest

from pushd.config import Config, Credentials, Daemon, Limits, Proxy, Timeouts, Tls
from pushd.config import Registry as RegistryConfig
from pushd.errors import Code, DaemonError, StoreError
from pushd.job import DeliveryState, JobSpec, JobState
from pushd.oci.upload import Form
from pushd.oci.upload import Limits as UploadLimits
from pushd.registry.profiles import PROFILES, STANDARD, Profile
from pushd.service.compose import compose
from pushd.service.outward import settings_of
from pushd.store import open_store
from pushd.telemetry.events import DELIVERY_HELD, DELIVERY_STARTED, REGISTRY_INSECURE, UPLOAD_INTERRUPTED
from tests.fakes.behaviour import Basic
from tests.fakes.callers import ROOT
from tests.fakes.credential_helper import CredentialHelper, Mood
from tests.fakes.faults import Delay, Stall, StallBody
from tests.fakes.forward_proxy import ForwardProxy
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from pushd.job import Job
    from pushd.service.compose import House
    from pushd.telemetry.events import Event
    from pushd.telemetry.events import Kind as EventKind
    from tests.fakes.registry import FakeRegistry

MIB = 1 << 20
LARGE = 300_000
"""Bytes of a layer that is too large for the small lane."""


@dataclass
class Pushed:
    """A house that runs, and what it told."""

    house: House
    source: str
    told: list[Event] = field(default_factory=list)

    async def submit(self, *destinations: str) -> Job:
        return await self.house.engine.submit(JobSpec(source=self.source, destinations=destinations), caller=ROOT)

    async def push(self, destination: str) -> Job:
        return await self.house.engine.wait((await self.submit(destination)).id, 30, caller=ROOT)

    async def heard(self, kind: EventKind) -> Event:
        """Wait for the first event of one kind."""
        async with asyncio.timeout(10):
            while True:
                for event in self.told:
                    if event.kind is kind:
                        return event
                await asyncio.sleep(0.01)


@dataclass
class Builder:
    """Builds houses on one state directory, each with an image to push."""

    config: Config
    directory: Path
    profiles: tuple[Profile, ...] = PROFILES
    environ: Mapping[str, str] = field(default_factory=dict)

    def with_limits(self, limits: Limits) -> Builder:
        return replace(self, config=replace(self.config, limits=limits))

    def with_timeouts(self, timeouts: Timeouts) -> Builder:
        return replace(self, config=replace(self.config, timeouts=timeouts))

    def with_registry(self, name: str, registry: RegistryConfig) -> Builder:
        return replace(self, config=replace(self.config, registries={**self.config.registries, name: registry}))

    @asynccontextmanager
    async def run(self, *layers: int) -> AsyncIterator[Pushed]:
        path = self.directory / "image"
        if not path.exists():
            build_layout(path, [ImageSpec(layers=layers or [1000])])
        told: list[Event] = []
        composed = compose(self.config, emit=told.append, environ=self.environ, profiles=self.profiles)
        async with composed as house, anyio.create_task_group() as running:
            running.start_soon(house.scheduler.run)
            yield Pushed(house, f"oci:{path}", told)
            running.cancel_scope.cancel()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    monkeypatch.setattr(random, "random", lambda: 0.0)  # pauses are of no length
    return Builder(
        Config(
            daemon=Daemon(socket=tmp_path / "pushd.sock", state_dir=tmp_path / "state"),
            limits=Limits(attempts=1),
            credentials=Credentials(docker_config=tmp_path / "config.json"),
        ),
        tmp_path,
    )


def quick(**seconds: float) -> Timeouts:
    """All patience there is, but for what is named."""
    return replace(Timeouts(connect=600, stall=600, commit=600, request=600), **seconds)


def failure(job: Job) -> tuple[str, str]:
    (delivery,) = job.deliveries
    assert delivery.failure is not None, delivery
    return delivery.failure.code, delivery.failure.message


# ---------------------------------------------------------------------------------------------------- registries


@pytest.mark.parametrize(
    ("form", "wanted"),
    [(Form.CHUNKED, Kind.CHUNK), (Form.STREAMED, Kind.STREAM), (Form.MONOLITHIC, None)],
    ids=["chunked", "streamed", "monolithic"],
)
async def test_uploads_take_the_configured_form(
    house: Builder, registry: FakeRegistry, form: Form, wanted: Kind | None
) -> None:
    async with house.with_registry(registry.address, RegistryConfig(upload=form)).run(5 * MIB) as pushd:
        job = await pushd.push(f"{registry.address}/team/app:1")
    assert job.state is JobState.SUCCEEDED
    patches = {seen.kind for seen in registry.requests if seen.method == "PATCH"}
    assert patches == ({wanted} if wanted else set())


async def test_chunks_have_the_configured_size(house: Builder, registry: FakeRegistry) -> None:
    settings = RegistryConfig(upload=Form.CHUNKED, chunk_size=2 * MIB)
    async with house.with_registry(registry.address, settings).run(5 * MIB) as pushd:
        await pushd.push(f"{registry.address}/team/app:1")
    sizes = sorted(seen.received for seen in registry.seen(Kind.CHUNK))
    assert sizes[1:] == [1 * MIB, 2 * MIB, 2 * MIB], "and the config in one"


async def test_a_form_left_to_the_profile_is_not_narrowed(house: Builder, registry: FakeRegistry) -> None:
    async with house.with_registry(registry.address, RegistryConfig(chunk_size=2 * MIB)).run(5 * MIB) as pushd:
        await pushd.push(f"{registry.address}/team/app:1")
    assert {seen.kind for seen in registry.requests} >= {Kind.CHUNK, Kind.COMMIT}
    assert registry.count(Kind.CHUNK) == 3, "the small config goes in one piece"


async def test_a_registry_is_spoken_to_as_its_profile_says(house: Builder, registry: FakeRegistry) -> None:
    async with house.with_registry(registry.address, RegistryConfig(profile="ghcr")).run(9 * MIB) as pushd:
        job = await pushd.push(f"{registry.address}/team/app:1")
    assert job.state is JobState.SUCCEEDED
    assert [seen.received for seen in registry.seen(Kind.CHUNK)] == [4 * MIB, 4 * MIB, MIB]


async def test_what_is_configured_goes_before_the_profile(house: Builder, registry: FakeRegistry) -> None:
    """A chunk size above what the profile knows as the most, and a form it does not offer."""
    settings = RegistryConfig(profile="ghcr", chunk_size=5 * MIB, upload=Form.CHUNKED)
    async with house.with_registry(registry.address, settings).run(9 * MIB) as pushd:
        job = await pushd.push(f"{registry.address}/team/app:1")
    assert job.state is JobState.SUCCEEDED
    assert [seen.received for seen in registry.seen(Kind.CHUNK) if seen.received > MIB] == [5 * MIB, 4 * MIB]


async def test_a_profile_is_found_by_the_host_of_a_registry_nothing_is_configured_for(
    house: Builder, registry: FakeRegistry
) -> None:
    profiles = (STANDARD, Profile(name="ours", hosts=("127.0.0.*",), limits=UploadLimits(forms=(Form.STREAMED,))))
    async with replace(house, profiles=profiles).run(5 * MIB) as pushd:
        job = await pushd.push(f"{registry.address}/team/app:1")
    assert job.state is JobState.SUCCEEDED
    assert {seen.kind for seen in registry.requests if seen.method == "PATCH"} == {Kind.STREAM}


async def test_what_is_configured_for_one_registry_says_nothing_about_another(
    house: Builder, registry: FakeRegistry
) -> None:
    other = RegistryConfig(upload=Form.MONOLITHIC, plain_http=False)
    async with house.with_registry("registry.example.com", other).run(5 * MIB) as pushd:
        job = await pushd.push(f"{registry.address}/team/app:1")
    assert job.state is JobState.SUCCEEDED
    assert registry.count(Kind.CHUNK) == 1


async def test_tls_is_tried_where_plain_http_is_configured_away(house: Builder, registry: FakeRegistry) -> None:
    async with house.with_registry(registry.address, RegistryConfig(plain_http=False)).run() as pushd:
        code, _ = failure(await pushd.push(f"{registry.address}/team/app:1"))
    assert code == Code.REGISTRY_TLS
    assert registry.requests == []


@pytest.mark.parametrize(("plain_http", "state"), [(True, JobState.SUCCEEDED), (None, JobState.FAILED)])
async def test_plain_http_beyond_loopback_is_spoken_only_where_configured(
    house: Builder, registry: FakeRegistry, *, plain_http: bool | None, state: JobState
) -> None:
    name = f"0.0.0.0:{registry.port}"  # reaches this machine, and is no loopback address
    async with house.with_registry(name, RegistryConfig(plain_http=plain_http)).run() as pushd:
        job = await pushd.push(f"{name}/team/app:1")
    assert job.state is state
    assert bool(registry.requests) is bool(plain_http)


async def test_a_registry_whose_certificate_is_not_looked_at_is_told_of_at_each_start(house: Builder) -> None:
    house = house.with_registry("a.example", RegistryConfig(insecure_skip_verify=True))
    house = house.with_registry("b.example", RegistryConfig())
    for _ in range(2):
        async with house.run() as pushd:
            told = [event.fields for event in pushd.told if event.kind is REGISTRY_INSECURE]
        assert told == [{"registry": "a.example"}]


async def test_certificates_lie_where_that_is_configured(house: Builder, tmp_path: Path) -> None:
    (tmp_path / "certs.d" / "registry.invalid").mkdir(parents=True)
    (tmp_path / "certs.d" / "registry.invalid" / "client.key").touch()
    house = replace(house, config=replace(house.config, tls=Tls(certs_d=(tmp_path / "certs.d",))))
    async with house.run() as pushd:
        code, message = failure(await pushd.push("registry.invalid/team/app:1"))
    assert code == Code.REGISTRY_TLS_FILES
    assert "client.cert" in message


@pytest.mark.parametrize("configured", [True, False])
async def test_what_is_configured_or_in_the_environment_is_gone_through(
    house: Builder, registry: FakeRegistry, *, configured: bool
) -> None:
    registry.behaviour = replace(registry.behaviour, relative_location=True)  # of its name it knows nothing
    with ForwardProxy({"registry.test:80": registry.address}) as proxy:
        if configured:
            house = replace(house, config=replace(house.config, proxy=Proxy(http=proxy.url)))
        else:
            house = replace(house, environ={"HTTP_PROXY": proxy.url})
        async with house.with_registry("registry.test", RegistryConfig(plain_http=True)).run() as pushd:
            job = await pushd.push("registry.test/team/app:1")
    assert job.state is JobState.SUCCEEDED
    assert proxy.passed


async def test_a_proxy_that_cannot_be_used_is_told_at_the_start(house: Builder) -> None:
    house = replace(house, environ={"ALL_PROXY": "socks5://user:secret@proxy.example"})
    with pytest.raises(DaemonError) as caught:
        async with house.run():
            pass
    assert caught.value.code is Code.DAEMON_CONFIG
    assert "ALL_PROXY" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_networks_and_hosts_a_registry_leads_to_are_its_own(house: Builder) -> None:
    networks = (ip_network("10.0.0.0/8"),)
    registry = RegistryConfig(addresses=networks, credential_hosts=("uploads.example",))
    settings = settings_of(house.with_registry("a.example", registry).config, PROFILES, "a.example")
    assert (settings.addresses, settings.credential_hosts) == (networks, ("uploads.example",))
    assert settings_of(house.config, PROFILES, "b.example").addresses == ()


async def test_the_configured_authority_is_asked_for(house: Builder, tmp_path: Path, registry: FakeRegistry) -> None:
    ca = tmp_path / "nowhere.pem"
    async with house.with_registry(registry.address, RegistryConfig(ca=ca, plain_http=False)).run() as pushd:
        code, message = failure(await pushd.push(f"{registry.address}/team/app:1"))
    assert code == Code.REGISTRY_TLS_FILES
    assert str(ca) in message


async def test_the_configured_docker_configuration_is_used(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.behaviour = replace(registry.behaviour, auth=Basic("alice", "secret"))
    auth = base64.b64encode(b"alice:secret").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
    async with house.run() as pushd:
        job = await pushd.push(f"{registry.address}/team/app:1")
    assert job.state is JobState.SUCCEEDED


async def test_the_daemons_users_own_login_is_used(house: Builder, registry: FakeRegistry, tmp_path: Path) -> None:
    registry.behaviour = replace(registry.behaviour, auth=Basic("alice", "secret"))
    auth = base64.b64encode(b"alice:secret").decode()
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {f"{registry.address}/team": {"auth": auth}}}))
    async with replace(house, environ={"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}).run() as pushd:
        job = await pushd.push(f"{registry.address}/team/app:1")
    assert job.state is JobState.SUCCEEDED


async def test_the_systemd_credential_that_is_configured_for_a_registry_is_used(
    house: Builder, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.behaviour = replace(registry.behaviour, auth=Basic("alice", "secret"))
    (tmp_path / "harbor").write_text("alice:secret\n")
    built = replace(house, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    async with built.with_registry(registry.address, RegistryConfig(credential="harbor")).run() as pushd:
        job = await pushd.push(f"{registry.address}/team/app:1")
    assert job.state is JobState.SUCCEEDED


async def test_a_credential_helper_has_the_time_that_is_set_for_it(
    house: Builder, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CredentialHelper(tmp_path / "bin", "stuck", mood=Mood.HANGS)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credHelpers": {registry.address: "stuck"}}))
    credentials = Credentials(docker_config=config, helper_timeout=0.2)
    async with replace(house, config=replace(house.config, credentials=credentials)).run() as pushd:
        code, message = failure(await pushd.push(f"{registry.address}/team/app:1"))
    assert code == Code.REGISTRY_HELPER_TIMEOUT
    assert "within 0.2 s" in message


# -------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("limits", "max_uploads", "wanted"),
    [
        pytest.param(Limits(uploads_per_registry=3), None, 3, id="of every registry"),
        pytest.param(Limits(uploads_per_registry=8), 2, 2, id="of this registry, fewer"),
        pytest.param(Limits(uploads_per_registry=1), 4, 4, id="of this registry, more"),
        pytest.param(Limits(memory=MIB), None, 1, id="by memory"),
    ],
)
async def test_so_many_uploads_run_at_once(
    house: Builder, registry: FakeRegistry, limits: Limits, max_uploads: int | None, wanted: int
) -> None:
    registry.misbehave(Delay(seconds=0.1), kind=Kind.COMMIT, times=None)
    layers = [LARGE * 4 + number for number in range(6)]
    built = house.with_limits(replace(limits, small_uploads_per_registry=1))
    settings = RegistryConfig(max_uploads=max_uploads, upload=Form.MONOLITHIC)
    async with built.with_registry(registry.address, settings).run(*layers) as pushd:
        job = await pushd.push(f"{registry.address}/team/app:1")
    assert job.state is JobState.SUCCEEDED
    assert registry.peak_uploads in (wanted, wanted + 1), "the config has the lane of small blobs"


async def test_so_many_small_uploads_run_at_once(house: Builder, registry: FakeRegistry) -> None:
    registry.misbehave(Delay(seconds=0.05), kind=Kind.COMMIT, times=None)
    built = house.with_limits(Limits(small_uploads_per_registry=2))
    async with built.run(*(1000 + number for number in range(6))) as pushd:
        await pushd.push(f"{registry.address}/team/app:1")
    assert registry.peak_uploads == 2


async def test_so_many_deliveries_to_one_registry_run_at_once(house: Builder, registry: FakeRegistry) -> None:
    registry.misbehave(Stall(), method="HEAD", times=None)
    async with house.with_limits(Limits(deliveries=2)).run() as pushd:
        await pushd.submit(*(f"{registry.address}/team/app{number}:1" for number in range(5)))
        async with asyncio.timeout(10):
            while registry.count() < 2:  # noqa: ASYNC110 (what is looked at is no event)
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert registry.count() == 2
        assert (await pushd.house.engine.status(caller=ROOT))["queue"] == {
            "running": 2, "queued": 3, "held": 0, "paused": 0,
        }  # fmt: skip


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_registry_that_was_never_there_is_tried_so_often(house: Builder, attempts: int) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens
        async with house.with_limits(Limits(attempts=attempts)).run() as pushd:
            job = await pushd.push(f"127.0.0.1:{nobody.getsockname()[1]}/team/app:1")
    assert job.state is JobState.FAILED
    assert [event.kind for event in pushd.told if event.kind in (DELIVERY_STARTED, DELIVERY_HELD)] == [
        DELIVERY_STARTED,
        *[DELIVERY_HELD, DELIVERY_STARTED] * (attempts - 1),
    ]


async def test_a_job_that_names_no_deadline_gets_the_configured_one(house: Builder, registry: FakeRegistry) -> None:
    async with house.with_limits(Limits(deadline=1234.0)).run() as pushd:
        job = await pushd.submit(f"{registry.address}/team/app:1")
        assert job.deadline_at - job.created_at == timedelta(seconds=1234)


async def test_a_deadline_that_passes_ends_the_job(house: Builder, registry: FakeRegistry) -> None:
    registry.misbehave(Stall(), method="HEAD")
    async with house.with_limits(Limits(deadline=0.5)).run() as pushd:
        code, _ = failure(await pushd.push(f"{registry.address}/team/app:1"))
    assert code == Code.REQUEST_DEADLINE


# ------------------------------------------------------------------------------------------------------ timeouts


async def test_an_answer_is_waited_for_so_long(house: Builder, registry: FakeRegistry) -> None:
    registry.misbehave(Stall(), method="HEAD")
    async with house.with_limits(Limits(attempts=2)).with_timeouts(quick(request=0.2, connect=1)).run() as pushd:
        await pushd.submit(f"{registry.address}/team/app:1")
        event = await pushd.heard(DELIVERY_HELD)
    assert event.fields["code"] == Code.REGISTRY_STALLED
    assert "within 0.2 s" in str(event.fields["reason"])


async def test_a_body_that_is_not_taken_is_given_up_after_so_long(house: Builder, registry: FakeRegistry) -> None:
    registry.misbehave(StallBody(after=100_000), kind=Kind.CHUNK)
    async with house.with_timeouts(quick(stall=0.2)).run(20 * MIB) as pushd:
        await pushd.submit(f"{registry.address}/team/app:1")
        event = await pushd.heard(UPLOAD_INTERRUPTED)
    assert event.fields["code"] == Code.REGISTRY_STALLED
    assert "0.2 s" in str(event.fields["reason"])


async def test_a_commit_is_waited_for_so_long(house: Builder, registry: FakeRegistry) -> None:
    registry.misbehave(Stall(), kind=Kind.COMMIT)
    async with house.with_timeouts(quick(commit=0.2)).run() as pushd:
        await pushd.submit(f"{registry.address}/team/app:1")
        event = await pushd.heard(UPLOAD_INTERRUPTED)
    assert event.fields["code"] == Code.REGISTRY_STALLED
    assert "within 0.2 s" in str(event.fields["reason"])


@pytest.fixture
def deaf() -> Iterator[str]:
    """An address whose queue of connections is full: the next one waits for an answer that never comes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        callers = [socket.socket() for _ in range(3)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        for caller in callers:
            caller.close()


async def test_a_connection_is_waited_for_so_long(house: Builder, deaf: str) -> None:
    async with house.with_timeouts(quick(connect=0.2)).run() as pushd:
        code, message = failure(await pushd.push(f"{deaf}/team/app:1"))
    assert code == Code.REGISTRY_UNREACHABLE
    assert "no connection in time" in message


# ---------------------------------------------------------------------------------------------------- the house


async def test_the_status_tells_what_is_configured(house: Builder) -> None:
    limits = Limits(deliveries=3, uploads_per_registry=4, small_uploads_per_registry=5, memory=6 * MIB)
    async with house.with_limits(limits).run() as pushd:
        status = await pushd.house.engine.status(caller=ROOT)
    assert status["limits"] == {
        "deliveries": 3,
        "uploads_per_registry": 4,
        "small_uploads_per_registry": 5,
        "memory": 6 * MIB,
    }
    async with house.with_limits(Limits(bandwidth=7 * MIB)).run() as pushd:
        limited = await pushd.house.engine.status(caller=ROOT)
    assert isinstance(limited["limits"], dict)
    assert limited["limits"]["bandwidth"] == 7 * MIB
    assert status["socket"] == str(house.config.daemon.socket)
    assert status["state_dir"] == str(house.config.daemon.state_dir)


async def test_a_house_taken_down_leaves_nothing_behind(
    house: Builder, registry: FakeRegistry, running_threads: Callable[[], set[str]]
) -> None:
    before = running_threads()
    async with house.run() as pushd:
        await pushd.push(f"{registry.address}/team/app:1")
        assert running_threads() - before
    # What is left belongs to the event loop, and ends with it.
    assert {name for name in running_threads() - before if not name.startswith(("AnyIO", "asyncio"))} == set()
    store = await open_store(house.config.daemon.state_dir, publish=lambda _: None)  # the lock is free
    await store.close()


async def test_a_state_that_cannot_be_used_leaves_nothing_behind_either(
    house: Builder, running_threads: Callable[[], set[str]]
) -> None:
    store = await open_store(house.config.daemon.state_dir, publish=lambda _: None)
    before = running_threads()
    try:
        with pytest.raises(StoreError, match="another daemon"):
            async with house.run():
                pytest.fail("two houses on one state directory")
        assert running_threads() <= before
    finally:
        await store.close()


async def test_the_next_life_finishes_what_this_one_could_not(house: Builder, registry: FakeRegistry) -> None:
    rule = registry.misbehave(Stall(), kind=Kind.COMMIT)
    async with house.run() as pushd:
        job = await pushd.submit(f"{registry.address}/team/app:1")
        async with asyncio.timeout(10):
            while not rule.acted:  # noqa: ASYNC110 (the same)
                await asyncio.sleep(0.01)
    async with house.run() as pushd:
        assert pushd.house.store.epoch == 2
        ended = await pushd.house.engine.wait(job.id, 30, caller=ROOT)
    assert ended.deliveries[0].state is DeliveryState.SUCCEEDED
