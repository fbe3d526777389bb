"""What a service manager hears over the daemon's life: ready, reload, a bad reload, alive, stalled, stopping."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from pushd.config import Config, Credentials, Daemon, Destinations, Limits, Registry, Retention, Socket
from pushd.errors import Code, DaemonError
from pushd.service.daemon import serve
from pushd.service.listener import listening
from pushd.service.pulse import watchdog
from pushd.service.reload import changed, needs_restart
from pushd.store import open_store
from pushd.telemetry.events import DAEMON_RELOAD_REFUSED, DAEMON_RELOADED, Level
from tests.fakes.faults import SlowBody
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from pushd.store import Store
    from pushd.telemetry.events import Event
    from tests.fakes.registry import FakeRegistry


@dataclass
class Service:
    """A daemon in this process, with a service manager beside it.

    Attributes:
        written: the configuration as it is read when it is read again, or the error that is.
        levels: what the log was set to.
    """

    config: Config
    manager: socket.socket
    written: Config | DaemonError
    told: list[Event] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)

    async def heard(self, seconds: float = 5) -> list[str]:
        """Give the lines of the next datagram the manager hears."""
        async with asyncio.timeout(seconds):
            return (await asyncio.get_running_loop().sock_recv(self.manager, 4096)).decode().splitlines()

    async def silent(self, seconds: float) -> bool:
        """Whether the manager hears nothing for a while."""
        try:
            await self.heard(seconds)
        except TimeoutError:
            return True
        return False

    async def reload(self) -> list[str]:
        """Have it read its configuration again; give what it says then."""
        os.kill(os.getpid(), signal.SIGHUP)
        first = await self.heard()
        assert first[0] == "RELOADING=1"
        assert re.fullmatch(r"MONOTONIC_USEC=\d+", first[1])
        assert 0 <= time.monotonic_ns() // 1000 - int(first[1].partition("=")[2]) < 10_000_000
        return await self.heard()

    def reread(self) -> Config:
        if isinstance(self.written, DaemonError):
            raise self.written
        return self.written

    @asynccontextmanager
    async def http(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.UnixConnector(str(self.config.daemon.socket))
        async with aiohttp.ClientSession("http://pushd", connector=connector) as session:
            yield session

    async def submit(self, source: str, destination: str) -> int:
        """Hand in a job; give the status of the answer."""
        body = {"source": source, "destinations": [destination]}
        async with self.http() as http, http.post("/v1/jobs", json=body) as answer:
            return answer.status


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """What stops the daemon must not stop pytest afterwards, nor be lost to it."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def config(place: Path) -> Config:
    return Config(
        daemon=Daemon(socket=place / "pushd.sock", state_dir=place / "state"),
        credentials=Credentials(docker_config=place / "config.json"),
    )


@asynccontextmanager
async def running(config: Config, place: Path, **environ: str) -> AsyncIterator[Service]:
    """Run a daemon, from its start to its end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place / "notify"))
        manager.setblocking(False)
        service = Service(config, manager, config)
        with listening(config.daemon.socket, {}, {}) as listener:
            task = asyncio.create_task(
                serve(
                    config,
                    listener,
                    emit=service.told.append,
                    environ={"NOTIFY_SOCKET": str(place / "notify"), **environ},
                    reread=service.reread,
                    relevel=service.levels.append,
                )
            )
            assert await service.heard() == ["READY=1", f"STATUS=serving {config.daemon.socket}"]
            yield service
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(20):
                await task
            heard = await service.heard()
            while heard == ["WATCHDOG=1"]:
                heard = await service.heard()
            assert heard == ["STOPPING=1"]


# ------------------------------------------------------------------------------------------------------- reload


async def test_a_reload_is_told_from_its_begin_to_its_end_and_says_what_changed(config: Config, place: Path) -> None:
    async with running(config, place) as service:
        service.written = replace(
            config,
            daemon=replace(config.daemon, log_level=Level.DEBUG, socket=place / "other.sock"),
            limits=Limits(attempts=7, deliveries=3),
            registries={"r.example": Registry(max_uploads=1)},
        )
        heard = await service.reload()
        assert heard[0] == "READY=1"
        (told,) = [event for event in service.told if event.kind is DAEMON_RELOADED]
        assert told.fields["changed"] == (
            "daemon.socket, daemon.log_level, limits.deliveries, limits.attempts, registries.r.example"
        )
        assert told.fields["restart"] == "daemon.socket"
        assert service.levels == [Level.DEBUG]


async def test_a_reload_that_changes_nothing_says_so(config: Config, place: Path) -> None:
    async with running(config, place) as service:
        assert await service.reload() == ["READY=1", f"STATUS=serving {config.daemon.socket}"]
        (told,) = [event for event in service.told if event.kind is DAEMON_RELOADED]
        assert (told.fields["changed"], told.fields["restart"]) == ("nothing", None)


async def test_a_bad_configuration_is_not_taken_and_the_old_one_stays(
    config: Config, place: Path, registry: FakeRegistry
) -> None:
    source = f"oci:{build_layout(place / 'image').path}"
    denying = replace(config, destinations=Destinations(deny=("*",)))
    async with running(denying, place) as service:
        service.written = DaemonError(Code.DAEMON_CONFIG, "/etc/pushd/pushd.toml", "line 3: limits.x: is not known")
        heard = await service.reload()
        assert heard[0] == "READY=1"
        assert "line 3: limits.x" in heard[1]
        (told,) = [event for event in service.told if event.kind is DAEMON_RELOAD_REFUSED]
        assert "/etc/pushd/pushd.toml: line 3: limits.x: is not known" in str(told.fields["error"])
        assert await service.submit(source, f"{registry.address}/app:1") == 403
        service.written = config
        await service.reload()
        assert await service.submit(source, f"{registry.address}/app:1") == 202


async def test_a_proxy_that_is_none_leaves_everything_as_it_was(config: Config, place: Path) -> None:
    async with running(config, place, HTTPS_PROXY="") as service:
        proxies = replace(config, proxy=replace(config.proxy, https="socks5://proxy"), limits=Limits(jobs_per_user=0))
        service.written = proxies
        await service.reload()
        assert [event.kind for event in service.told][-1] is DAEMON_RELOAD_REFUSED
        source = f"oci:{build_layout(place / 'image').path}"
        assert await service.submit(source, "registry.example/app:1") == 202, "the limit is the old one"


async def test_what_moves_is_not_touched_by_a_reload(config: Config, place: Path, registry: FakeRegistry) -> None:
    registry.misbehave(SlowBody(rate=8e6), kind=Kind.CHUNK, times=None)
    source = f"oci:{build_layout(place / 'image', [ImageSpec(layers=[6_000_000])]).path}"
    async with running(config, place) as service:
        body = {"source": source, "destinations": [f"{registry.address}/app:1"]}
        async with service.http() as http:
            async with http.post("/v1/jobs", json=body) as answer:
                job = (await answer.json())["id"]
            async with asyncio.timeout(10):
                while not any(seen.received for seen in registry.seen(Kind.CHUNK)):  # noqa: ASYNC110 (no event)
                    await asyncio.sleep(0.01)
            service.written = replace(
                config,
                limits=Limits(deliveries=1, uploads_per_registry=1),
                registries={registry.address: Registry(chunk_size=1 << 20)},
            )
            await service.reload()
            async with http.get(f"/v1/jobs/{job}/wait?timeout=30") as answer:
                ended = await answer.json()
    assert ended["state"] == "succeeded"
    assert [delivery["attempt"] for delivery in ended["deliveries"]] == [1]
    assert registry.count(Kind.CHUNK) == 1, "the chunk that was on its way is the whole layer"


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        (lambda it: it, ()),
        (lambda it: replace(it, retention=Retention(jobs=1.0)), ("retention.jobs",)),
        (lambda it: replace(it, file=Path("/other")), ()),
        (
            lambda it: replace(it, registries={"a": Registry(ca=Path("/x")), "b": Registry()}),
            ("registries.a", "registries.b"),
        ),
        (lambda it: replace(it, sockets={"ci": Socket(path=Path("/x"))}), ("sockets",)),
        (
            lambda it: replace(it, registries={"a": Registry(addresses=(ip_network("10.0.0.0/8"),))}),
            ("registries.a",),
        ),
    ],
)
def test_what_has_changed_is_named_by_its_key(
    config: Config, change: Callable[[Config], Config], keys: tuple[str, ...]
) -> None:
    assert changed(config, change(config)) == keys


@pytest.mark.parametrize(
    ("key", "restart"),
    [("daemon.socket", True), ("sockets", True), ("daemon.log_level", False), ("registries.daemon.socket", False)],
)
def test_some_keys_need_a_new_start(key: str, *, restart: bool) -> None:
    assert needs_restart(key) is restart


# -------------------------------------------------------------------------------------------------------- alive


async def test_a_daemon_that_is_well_says_so_again_and_again(config: Config, place: Path) -> None:
    async with running(config, place, WATCHDOG_USEC="200000", WATCHDOG_PID=str(os.getpid())) as service:
        assert [await service.heard(1) for _ in range(4)] == [["WATCHDOG=1"]] * 4


async def test_one_whose_loop_is_held_up_says_nothing(config: Config, place: Path) -> None:
    async with running(config, place, WATCHDOG_USEC="200000") as service:
        await service.heard(1)
        while not await service.silent(0):
            pass
        time.sleep(0.5)  # noqa: ASYNC251 (what is tested)
        with pytest.raises(BlockingIOError):
            service.manager.recv(4096)
        assert await service.heard(1) == ["WATCHDOG=1"]


async def test_one_whose_store_does_not_answer_says_nothing(
    config: Config, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores: list[Store] = []

    async def opened(*args: Any, **kwargs: Any) -> Store:
        stores.append(await open_store(*args, **kwargs))
        return stores[-1]

    monkeypatch.setattr("pushd.service.compose.open_store", opened)
    stuck, free = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        stuck.set()
        free.wait(10)

    async with running(config, place, WATCHDOG_USEC="200000") as service:
        await service.heard(1)
        (store,) = stores
        hanging = store._writes.send(hang)
        await asyncio.to_thread(stuck.wait, 5)
        while not await service.silent(0.05):
            pass
        assert await service.silent(0.6)
        free.set()
        await hanging
        assert await service.heard(1) == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_how_often_is_the_managers_to_say(environ: dict[str, str], seconds: float | None) -> None:
    assert watchdog(environ) == seconds
