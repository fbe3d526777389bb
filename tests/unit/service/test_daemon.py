"""The daemon's life in one process: in which order it becomes ready, what it tells, and what it leaves."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from pushd.config import Config, Daemon
from pushd.errors import Code, StoreError
from pushd.job import JobState
from pushd.push.progress import report
from pushd.service import daemon
from pushd.service.daemon import serve
from pushd.service.listener import listening
from pushd.store import open_store
from pushd.telemetry.events import Level
from pushd.telemetry.lines import as_json
from pushd.telemetry.logging import EventLog
from tests.fakes.faults import Stall
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.lines import Lines
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from pushd.push.ports.emit import Emit
    from pushd.push.progress import Board
    from tests.fakes.registry import FakeRegistry


@dataclass
class Service:
    """A daemon in this process, with a service manager beside it."""

    config: Config
    manager: socket.socket
    task: asyncio.Task[None]
    lines: Lines

    async def heard(self, seconds: float = 5) -> str:
        """Give the next datagram the manager hears."""
        async with asyncio.timeout(seconds):
            return (await asyncio.get_running_loop().sock_recv(self.manager, 4096)).decode()

    async def silent(self, seconds: float = 0.15) -> bool:
        """Whether the manager hears nothing for a while."""
        try:
            await self.heard(seconds)
        except TimeoutError:
            return True
        return False

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        os.kill(os.getpid(), number)
        async with asyncio.timeout(10):
            await self.task

    @asynccontextmanager
    async def http(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.UnixConnector(str(self.config.daemon.socket))
        async with aiohttp.ClientSession("http://pushd", connector=connector) as session:
            yield session

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.lines.taken]
        return [line for line in lines if event in (None, line["event"])]


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """What stops the daemon must not stop pytest afterwards, nor be lost to it."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def config(place: Path) -> Config:
    return Config(daemon=Daemon(socket=place / "pushd.sock", state_dir=place / "state"))


@pytest.fixture
async def service(config: Config, place: Path) -> AsyncIterator[Service]:
    """A daemon that is starting; whoever wants it ready waits for what the manager hears."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place / "notify"))
        manager.setblocking(False)
        lines = Lines()
        with closing(EventLog(Level.INFO, lines, as_json)) as emit, listening(config.daemon.socket, {}, {}) as listener:
            task = asyncio.create_task(
                serve(config, listener, emit=emit, environ={"NOTIFY_SOCKET": str(place / "notify")})
            )
            yield Service(config, manager, task, lines)
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


class Gate:
    """Holds something up until it is opened."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def passed(self) -> None:
        self.reached.set()
        await self.opened.wait()


@pytest.fixture
def recovery(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Holds up the recovery of the store."""
    gate = Gate()

    async def held(*args: Any, **kwargs: Any) -> Any:
        store = await open_store(*args, **kwargs)
        await gate.passed()
        return store

    monkeypatch.setattr("pushd.service.compose.open_store", held)
    return gate


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Holds up the serving of the socket."""
    gate = Gate()
    start = web.SockSite.start

    async def held(self: web.SockSite) -> None:
        await gate.passed()
        await start(self)

    monkeypatch.setattr(web.SockSite, "start", held)
    return gate


# --------------------------------------------------------------------------------------------------------- order


async def test_it_is_not_ready_before_the_store_is_recovered(recovery: Gate, service: Service) -> None:
    await recovery.reached.wait()
    assert await service.silent()
    assert service.log() == []
    recovery.opened.set()
    assert "READY=1" in (await service.heard()).splitlines()


async def test_it_is_not_ready_before_the_socket_answers(site: Gate, service: Service) -> None:
    await site.reached.wait()
    assert await service.silent()
    assert service.log() == []
    site.opened.set()
    assert "READY=1" in (await service.heard()).splitlines()
    async with service.http() as http, http.get("/v1/status") as answer:
        assert answer.status == 200


async def test_it_is_ready_without_any_registry(registry: FakeRegistry, service: Service) -> None:
    await service.heard()
    assert registry.requests == []


async def test_the_manager_is_told_what_is_served(service: Service) -> None:
    assert f"STATUS=serving {service.config.daemon.socket}" in (await service.heard()).splitlines()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stopping_is_told_once_and_after_ready(service: Service, number: signal.Signals) -> None:
    assert (await service.heard()).startswith("READY=1")
    await service.stop(number)
    assert await service.heard() == "STOPPING=1"
    assert await service.silent()
    assert [line["event"] for line in service.log()] == ["daemon.started", "daemon.stopping", "daemon.stopped"]
    assert service.log("daemon.stopping")[0]["reason"] == number.name


async def test_stopping_is_told_before_anything_is_stopped(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    await service.heard()
    gate = Gate()
    cleanup = web.AppRunner.cleanup

    async def held(self: web.AppRunner) -> None:
        await gate.passed()
        await cleanup(self)

    monkeypatch.setattr(web.AppRunner, "cleanup", held)
    stopping = asyncio.create_task(service.stop())
    await gate.reached.wait()
    assert await service.heard() == "STOPPING=1"
    assert [line["event"] for line in service.log()] == ["daemon.started", "daemon.stopping"]
    gate.opened.set()
    await stopping
    assert service.log()[-1]["event"] == "daemon.stopped"


async def test_the_first_line_of_the_log_says_who_serves_what(service: Service) -> None:
    await service.heard()
    (line,) = service.log()
    assert line["event"] == "daemon.started"
    assert line["pid"] == os.getpid()
    assert line["socket"] == str(service.config.daemon.socket)
    assert line["state_dir"] == str(service.config.daemon.state_dir)
    assert (line["epoch"], line["requeued"]) == (1, 0)


# ---------------------------------------------------------------------------------------------------------- work


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads get a moment to reach a boundary."""
    monkeypatch.setattr("pushd.service.daemon._DRAIN", 0.2)


async def submitted(service: Service, registry: FakeRegistry, source: str) -> str:
    body = {"source": source, "destinations": [f"{registry.address}/team/app:1.4"]}
    async with service.http() as http, http.post("/v1/jobs", json=body) as answer:
        assert answer.status == 202
        return str((await answer.json())["id"])


async def test_a_job_that_moves_is_told_in_the_log_now_and_then(
    registry: FakeRegistry, service: Service, hurried: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def often(board: Board, emit: Emit) -> None:
        await report(board, emit, 0.05)

    monkeypatch.setattr("pushd.service.daemon.report", often)
    stalled = registry.misbehave(Stall(), kind=Kind.CHUNK, times=None)
    layout = build_layout(tmp_path / "app", [ImageSpec(layers=[6_000_000])])
    await service.heard()
    job = await submitted(service, registry, f"oci:{layout.path}")
    async with asyncio.timeout(10):
        while not (stalled.acted and service.log("job.progress")):  # noqa: ASYNC110 (what is looked at is no event)
            await asyncio.sleep(0.01)
    await service.stop()
    line = service.log("job.progress")[0]
    assert line["job"] == job
    assert line["size"] == sum(blob.size for blob in layout.image.blobs)
    assert line["level"] == "info"


async def test_what_does_not_end_when_it_stops_is_cut_short_and_queued_for_the_next_life(
    registry: FakeRegistry, service: Service, hurried: None, tmp_path: Path
) -> None:
    registry.misbehave(Stall(), method="HEAD", times=None)
    layout = build_layout(tmp_path / "app")
    await service.heard()
    job = await submitted(service, registry, f"oci:{layout.path}")
    async with asyncio.timeout(10):
        while not registry.requests:  # noqa: ASYNC110 (the same)
            await asyncio.sleep(0.01)
    await service.stop()
    assert service.log("daemon.stopping")[0]["running"] == 1
    assert 0.2 <= service.log("daemon.stopped")[0]["seconds"] < 5
    store = await open_store(service.config.daemon.state_dir, publish=lambda _: None)
    try:
        assert store.epoch == 2
        found = await store.get(job)
    finally:
        await store.close()
    assert found is not None
    assert found.state is JobState.QUEUED


def test_it_has_stopped_before_systemd_loses_its_patience() -> None:
    unit = (Path(__file__).parents[3] / "systemd" / "pushd.service").read_text()
    (patience,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert float(patience) > daemon._DRAIN + daemon._SHUTDOWN


# ------------------------------------------------------------------------------------------------------- the end


@pytest.fixture
def unusable_state(config: Config) -> None:
    config.daemon.state_dir.write_text("no directory")


async def test_when_the_state_cannot_be_used_nobody_is_told_that_it_is_ready(
    unusable_state: None, service: Service
) -> None:
    with pytest.raises(StoreError) as refused:
        await service.task
    assert refused.value.code is Code.STORE_UNAVAILABLE
    assert await service.silent()
    assert service.log() == []


async def test_a_stopped_daemon_leaves_neither_tasks_nor_threads(
    service: Service, running_threads: Callable[[], set[str]]
) -> None:
    before = running_threads()
    await service.heard()
    await service.stop()
    assert running_threads() <= before
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_socket_a_manager_passed_outlives_the_daemon(
    config: Config, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server of Python 3.13 would delete it (python/cpython#133354)."""
    theirs = place / "theirs.sock"
    with socket.socket(socket.AF_UNIX) as kept, closing(EventLog(Level.INFO, Lines(), as_json)) as emit:
        kept.bind(str(theirs))
        kept.listen()
        descriptor = os.dup(kept.fileno())
        monkeypatch.setattr("pushd.service.inherited._FIRST", descriptor)
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        with listening(config.daemon.socket, {}, environ) as listener:
            task = asyncio.create_task(serve(config, listener, emit=emit, environ={}))
            connector = aiohttp.UnixConnector(str(theirs))
            async with aiohttp.ClientSession(connector=connector) as http, http.get("http://pushd/v1/status") as answer:
                assert answer.status == 200
            os.kill(os.getpid(), signal.SIGTERM)
            await task
        assert theirs.is_socket()
        assert not config.daemon.socket.exists()
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(theirs))
            kept.accept()[0].close()


async def test_it_serves_whoever_knows_nothing_of_a_manager(config: Config) -> None:
    lines = Lines()
    with closing(EventLog(Level.INFO, lines, as_json)) as emit, listening(config.daemon.socket, {}, {}) as listener:
        task = asyncio.create_task(serve(config, listener, emit=emit, environ={}))
        connector = aiohttp.UnixConnector(str(config.daemon.socket))
        async with aiohttp.ClientSession(connector=connector) as http, http.get("http://pushd/v1/jobs") as answer:
            assert (await answer.json()) == {"jobs": [], "next": None}
        os.kill(os.getpid(), signal.SIGTERM)
        await task
    assert b"daemon.stopped" in lines.taken[-1]
