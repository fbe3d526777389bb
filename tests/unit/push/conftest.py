"""The engine on real rooms: real store, real source, real wire, to a fake registry."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from pushd.config import Config, Credentials, Daemon, Limits, Timeouts
from pushd.config import Registry as RegistryConfig
from pushd.job import JobSpec
from pushd.service.compose import compose
from tests.fakes.callers import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    from pushd.job import Job
    from pushd.principal import Principal
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
        return await self.ended(job)

    async def submit(self, source: str, *destinations: str, deadline: float | None = None) -> Job:
        """Submit a job."""
        return await self.take(JobSpec(source=source, destinations=destinations, deadline=deadline))

    async def take(self, spec: JobSpec, *, caller: Principal = ROOT) -> Job:
        """Submit a job as it is."""
        return await self.house.engine.submit(spec, caller=caller)

    async def ended(self, job: Job) -> Job:
        """Wait for the end of a job."""
        return await self.house.engine.wait(job.id, 60, caller=ROOT)

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
            running.start_soon(house.housekeeping.run)
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


@pytest.fixture
def commons() -> Iterator[Path]:
    """Give a directory that everybody may search: pytest's own are their maker's alone."""
    with tempfile.TemporaryDirectory(prefix="pushd-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def source_of(layout: Layout, tag: str = "latest") -> str:
    """Name a layout's image as a source."""
    return f"oci:{layout.path}:{tag}"
