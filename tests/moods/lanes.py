"""Where the cases run: a lane is one house and one registry, with one case after another; lanes run side by side.

A case is mostly waiting: for a second that a registry asked for, for an answer that never comes. Each has a repository
and an image of its own.
"""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from pushd.config import Config, Credentials, Daemon, Timeouts
from pushd.config import Registry as RegistryConfig
from pushd.job import JobSpec, JobState, TransferState
from pushd.service.compose import compose
from tests.fakes.callers import ROOT
from tests.fakes.faults import CutBody
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.registry import FakeRegistry
from tests.fakes.traffic import Kind
from tests.moods.matrix import LAYER, MIDST, SCALE, SMALL, Step

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from pushd.job import Job
    from pushd.service.compose import House
    from pushd.telemetry.events import Event
    from tests.fakes.behaviour import Behaviour
    from tests.fakes.images import BuiltImage
    from tests.moods.matrix import Case

PATIENCE = 4.0
"""Seconds until a registry counts as stalled: more than a busy machine takes for an answer."""


@dataclass
class Lane:
    """A house that runs, and the registry it pushes to."""

    house: House
    registry: FakeRegistry
    directory: Path
    told: list[Event]

    async def push(self, layout: Path, repository: str) -> Job:
        """Push an image and wait for the end."""
        spec = JobSpec(source=f"oci:{layout}", destinations=(f"{self.registry.address}/{repository}:1",))
        job = await self.house.engine.submit(spec, caller=ROOT)
        return await self.house.engine.wait(job.id, 60, caller=ROOT)

    def image(self, name: str, *, size: int = LAYER) -> tuple[Path, BuiltImage]:
        """Build an image of one layer that no other has; its config is at the registry, in the repository `name`."""
        layout = build_layout(self.directory / name, [ImageSpec(layers=[size], seed=name)])
        config = layout.image.config
        self.registry.add_blob(name, layout.blob_path(config.digest).read_bytes())
        return layout.path, layout.image


@asynccontextmanager
async def lane(directory: Path, behaviour: Behaviour, profile: str) -> AsyncIterator[Lane]:
    """Run a house for a registry of this behaviour, `SCALE` times smaller, that is taken for one of this profile."""
    async with FakeRegistry(behaviour.scaled(SCALE)) as registry:
        auth = base64.b64encode(b"alice:correct horse").decode()
        docker_config = directory / "config.json"
        docker_config.write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
        config = Config(
            daemon=Daemon(socket=directory / "pushd.sock", state_dir=directory / "state"),
            timeouts=Timeouts(connect=PATIENCE, stall=PATIENCE, commit=PATIENCE, request=PATIENCE),
            credentials=Credentials(docker_config=docker_config),
            registries={registry.address: RegistryConfig(profile=profile)},
        )
        told: list[Event] = []
        composed = compose(config, emit=told.append, profiles=SMALL)
        async with composed as house, anyio.create_task_group() as running:
            running.start_soon(house.scheduler.run)
            yield Lane(house, registry, directory, told)
            running.cancel_scope.cancel()


async def run_lane(directory: Path, outcomes: dict[Case, asyncio.Future[None]], cases: Sequence[Case]) -> None:
    """Run the cases of one lane, and say of each what came of it."""
    try:
        async with lane(directory, cases[0].behaviour, cases[0].profile.name) as there:
            for number, case in enumerate(cases):
                try:
                    await check(there, case, f"case/{number}")
                except Exception as error:  # noqa: BLE001 (it is the case's, and raised in its test)
                    outcomes[case].set_exception(error)
                else:
                    outcomes[case].set_result(None)
    except Exception as error:  # noqa: BLE001 (likewise)
        for case in cases:
            if not outcomes[case].done():
                outcomes[case].set_exception(error)


async def check(there: Lane, case: Case, repository: str) -> None:
    """Push one image with one fault, and hold the push to what is promised."""
    registry = there.registry
    layout, image = there.image(repository)
    if case.step is Step.MOUNT:
        registry.repository(f"base/{repository}")  # where none comes into being by itself
        base = await there.push(layout, f"base/{repository}")
        assert base.state is JobState.SUCCEEDED
    if case.step is Step.STATUS:
        nth = 2 if case.profile.limits.chunk_size < LAYER else 1
        registry.misbehave(CutBody(after=MIDST), kind=Kind.CHUNK, repository=repository, nth=nth)
    kind, method, nth = case.step.picked
    where = "" if kind is Kind.TOKEN else repository
    fault = registry.misbehave(
        case.fault.make(registry), kind=kind, method=method, repository=where, nth=nth, times=case.fault.times
    )
    job = await there.push(layout, repository)
    assert fault.acted, "the fault never happened"
    shelf = registry.repository(repository)
    sent = sum(seen.received for seen in registry.seen(repository=repository) if seen.kind is not Kind.MANIFEST)
    failure = job.deliveries[0].failure
    if case.fails is not None:
        assert job.state is JobState.FAILED, job
        assert failure is not None
        assert failure.code == case.fails, failure
        assert not shelf.tags, "what failed tags nothing"
    else:
        assert job.state is JobState.SUCCEEDED, failure
        assert shelf.tags == {"1": str(image.digest)}
        layer = shelf.blobs[str(image.layers[0].digest)]
        assert layer.content == (layout / "blobs/sha256" / image.layers[0].digest.encoded).read_bytes()
        states = {transfer.state for transfer in job.deliveries[0].transfers}
        assert states <= {TransferState.UPLOADED, TransferState.PRESENT, TransferState.MOUNTED}
    puts = [seen for seen in registry.seen(Kind.MANIFEST, method="PUT", repository=repository) if seen.status == 400]
    assert not puts or case.fault.lies, "a manifest was put before its blobs"
    assert sent <= case.bytes_max, f"{sent} bytes were sent, of at most {case.bytes_max}"
    assert len(shelf.sessions) <= case.orphans, f"{len(shelf.sessions)} sessions were left"
