"""What the manager hears of the work is told when it changes, and looked for only while it may."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import anyio
import pytest

from pushd.errors import Code, StoreError
from pushd.push.hub import Hub
from pushd.push.progress import Board
from pushd.service import pulse
from pushd.service.pulse import tell_status
from pushd.telemetry.events import JOB_SUBMITTED, Event

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pushd.service.compose import House


@dataclass
class Store:
    """A store with a queue, and how often it was asked for it."""

    states: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    broken: bool = False

    async def queue(self) -> Mapping[str, Mapping[str, int]]:
        self.asked += 1
        if self.broken:
            raise StoreError(Code.STORE_UNAVAILABLE, "pushd.db", "is away")
        return {"r": {"running": 0, "queued": 0, "held": 0, **self.states}} if self.states else {}


@dataclass
class Manager:
    """The service manager's end, and the daemon's rooms."""

    channel: socket.socket
    environ: Mapping[str, str]
    store: Store = field(default_factory=Store)
    hub: Hub = field(default_factory=lambda: Hub(lambda _: None))

    @property
    def house(self) -> House:
        house = SimpleNamespace(store=self.store, engine=SimpleNamespace(hub=self.hub), board=Board())
        return cast("House", house)

    def tell_news(self) -> None:
        self.hub.publish([Event(JOB_SUBMITTED, datetime.now(UTC), "a")])

    async def asked(self, times: int) -> None:
        with anyio.fail_after(5):
            while self.store.asked < times:  # noqa: ASYNC110 (what is looked at is no event)
                await anyio.sleep(0.001)

    def heard(self) -> list[str]:
        lines = []
        while True:
            try:
                lines.append(self.channel.recv(4096).decode())
            except BlockingIOError:
                return lines


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    monkeypatch.setattr(pulse, "_STATUS", 0.001)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.setblocking(False)
        yield Manager(channel, {"NOTIFY_SOCKET": str(tmp_path / "notify")})


async def test_while_nothing_runs_the_queue_is_looked_at_after_news_alone(manager: Manager) -> None:
    async with anyio.create_task_group() as telling:
        telling.start_soon(tell_status, manager.environ, manager.house, "serving")
        await manager.asked(1)
        await anyio.sleep(0.02)
        assert manager.store.asked == 1
        manager.store.states = {"held": 2}
        manager.tell_news()
        await manager.asked(2)
        await anyio.sleep(0.02)
        assert manager.store.asked == 2
        telling.cancel_scope.cancel()
    assert manager.heard() == ["STATUS=serving; deliveries: 2 held; 0.0 MB/s"]


async def test_while_something_runs_it_is_looked_at_again_and_again(manager: Manager) -> None:
    manager.store.states = {"running": 1}
    async with anyio.create_task_group() as telling:
        telling.start_soon(tell_status, manager.environ, manager.house, "serving")
        await manager.asked(3)
        manager.store.states = {}
        await anyio.sleep(0.02)
        telling.cancel_scope.cancel()
    assert manager.heard() == ["STATUS=serving; deliveries: 1 running; 0.0 MB/s", "STATUS=serving"]


async def test_a_database_that_does_not_answer_is_told_and_asked_again(manager: Manager) -> None:
    manager.store.broken = True
    async with anyio.create_task_group() as telling:
        telling.start_soon(tell_status, manager.environ, manager.house, "serving")
        await manager.asked(3)
        telling.cancel_scope.cancel()
    assert manager.heard() == ["STATUS=serving; its database does not answer"]


async def test_where_there_is_no_manager_nobody_looks(manager: Manager) -> None:
    with anyio.fail_after(5):
        await tell_status({}, manager.house, "serving")
    assert manager.store.asked == 0
