"""The engine on real rooms: real store, real source, real wire, to a fake registry."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio
import pytest

from pushd.config import Config, Credentials, Daemon, Limits, Timeouts
from pushd.config import Registry as RegistryConfig
from pushd.job import JobSpec
from pushd.service.compose import compose

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from pushd.job import Job
    from pushd.service.compose import House
    from pushd.telemetry.events import Event, Kind
    from tests.fakes.images import Layout


@dataclass
class Pushed:
    """A house that runs, and what it told."""

    house: House
    told: list[Event] = field(default_factory=list)

    async def push(self, source: str, *destinations: str, deadline: float | None = None) -> Job:
        """Submit a job and wait for its end."""
        job = await self.submit(source, *destinations, deadline=deadline)
        return await self.house.engine.wait(job.id, 60)

    async def submit(self, source: str, *destinations: str, deadline: float | None = None) -> Job:
        """Submit a job."""
        spec = JobSpec(source=source, destinations=destinations, deadline=deadline)
        return await self.house.engine.submit(spec, uid=0)

    def events(self, kind: Kind) -> list[Event]:
        """Give the events of one kind told so far."""
        return [event for event in self.told if event.kind is kind]


@dataclass
class Builder:
    """Builds houses on one state directory."""

    config: Config

    def with_registry(self, name: str, **settings: object) -> Builder:
        """Configure one registry."""
        registry = replace(RegistryConfig(), **settings)  # type: ignore[arg-type]  # the test names real fields
        return Builder(replace(self.config, registries={**self.config.registries, name: registry}))

    def with_limits(self, **limits: object) -> Builder:
        """Configure the limits."""
        return Builder(replace(self.config, limits=replace(self.config.limits, **limits)))  # type: ignore[arg-type]  # likewise

    def with_timeouts(self, **timeouts: float) -> Builder:
        """Configure the timeouts."""
        return Builder(replace(self.config, timeouts=replace(self.config.timeouts, **timeouts)))

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[Pushed]:
        told: list[Event] = []
        async with compose(self.config, emit=told.append) as house, anyio.create_task_group() as running:
            running.start_soon(house.scheduler.run)
            yield Pushed(house, told)
            running.cancel_scope.cancel()

    def run(self) -> AbstractAsyncContextManager[Pushed]:
        """Run a house; leaving it ends it as SIGTERM would."""
        return self._run()


@pytest.fixture
def house(tmp_path: Path) -> Builder:
    """Give a house to be run, with a state directory and no credentials."""
    return Builder(
        Config(
            daemon=Daemon(socket=tmp_path / "pushd.sock", state_dir=tmp_path / "state"),
            limits=Limits(attempts=2),
            timeouts=Timeouts(connect=5, stall=5, commit=20, request=5),
            credentials=Credentials(docker_config=tmp_path / "config.json"),
        )
    )


def source_of(layout: Layout, tag: str = "latest") -> str:
    """Name a layout's image as a source."""
    return f"oci:{layout.path}:{tag}"
