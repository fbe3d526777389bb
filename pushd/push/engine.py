"""The engine as the API sees it: jobs in, jobs and events out, each caller in their own circle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from pushd.errors import Code, PushdError, RequestError
from pushd.job import AUTO
from pushd.oci.reference import Reference
from pushd.oci.text import printable
from pushd.push.choosing import asker_of, check_handed
from pushd.work import Asker, Check

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from pushd.job import Delivery, Job, JobSpec
    from pushd.principal import Principal
    from pushd.push.feed import Feed
    from pushd.push.gate import Gates
    from pushd.push.hub import Hub
    from pushd.push.intake import Intake
    from pushd.push.policy import Policy
    from pushd.push.ports.registry import Registries
    from pushd.push.ports.store import JobStore
    from pushd.push.ports.vault import Keyring
    from pushd.push.progress import Board
    from pushd.push.scheduler import Scheduler
    from pushd.push.status import Overview
    from pushd.telemetry.events import Event
    from pushd.work import Asker, Handed, JobQuery

_TRIAL = "pushd/doctor"
"""Stands for the repository where only the registry is asked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Takes jobs, and answers questions about them: what `api.ports.Jobs` asks for."""

    store: JobStore
    intake: Intake
    scheduler: Scheduler
    registries: Registries
    keyring: Keyring
    gates: Gates
    policy: Policy
    board: Board
    hub: Hub
    feed: Feed
    overview: Overview

    # ------------------------------------------------------------------------------------------------- taking in

    async def submit(
        self,
        spec: JobSpec,
        *,
        handed: Sequence[Handed] = (),
        caller: Principal,
        idempotency_key: str | None = None,
        fingerprint: bytes = b"",
        brings: bool = False,
    ) -> Job:
        """Take a job: check it to the last blob's size, store it, and have it run.

        Returns only once it is on the disk. From then on exactly this image, by digest, will be delivered.
        """
        job = await self.intake.submit(
            spec,
            handed=handed,
            caller=caller,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            brings=brings,
        )
        self.scheduler.wake()
        return job

    async def plan(
        self, spec: JobSpec, *, handed: Sequence[Handed] = (), caller: Principal, brings: bool = False
    ) -> Mapping[str, object]:
        """Tell what submitting this would do, without changing anything anywhere."""
        return await self.intake.plan(spec, handed=handed, caller=caller, brings=brings)

    # --------------------------------------------------------------------------------------------------- looking

    async def get(self, job_id: str, *, caller: Principal) -> Job:
        """Give a job, with what moves as it stands now."""
        job = await self.store.get(job_id)
        if job is None or caller.sees not in (None, job.uid):
            raise RequestError(Code.REQUEST_NOT_FOUND, job_id, "there is no such job", hint="`pushctl jobs` lists them")
        return replace(job, deliveries=tuple(self._live(delivery) for delivery in job.deliveries))

    def _live(self, delivery: Delivery) -> Delivery:
        transfers = []
        for transfer in delivery.transfers:
            now = self.board.find(delivery.id, transfer.digest)
            if now is not None and not transfer.state.landed:
                transfers.append(replace(transfer, state=now.state, done=now.done, sent=now.sent))
            else:
                transfers.append(transfer)
        return replace(delivery, transfers=tuple(transfers))

    async def list(self, query: JobQuery, *, caller: Principal) -> Sequence[Job]:
        """Give jobs, newest first, of those the caller may see."""
        return await self.store.list(replace(query, uid=caller.sees))

    async def wait(self, job_id: str, seconds: float, /, *, caller: Principal) -> Job:
        """Give the job when it is finished, or as it is after `seconds`."""
        finished = self.hub.finish_of(job_id)
        job = await self.get(job_id, caller=caller)
        if not job.state.terminal and seconds > 0:
            with anyio.move_on_after(seconds):
                await finished.wait()
            job = await self.get(job_id, caller=caller)
        return job

    async def position(self, after: int, *, stream: str | None) -> None:
        """Check that a reader may go on after an event."""
        await self.feed.check_position(after, stream=stream)

    def events(
        self, *, after: int, job_id: str | None, follow: bool, caller: Principal
    ) -> AsyncIterator[Sequence[Event]]:
        """Give the events after a number, a few at a time, and between them what moves."""

        async def ended() -> bool:
            job = None if job_id is None else await self.store.get(job_id)
            return job is None or job.state.terminal

        return self.feed.read(after=after, job_id=job_id, uid=caller.sees, follow=follow, ended=ended)

    async def status(self, *, caller: Principal) -> Mapping[str, object]:
        """Give what the daemon is doing, as far as it concerns the caller."""
        return await self.overview.document(caller)

    # ---------------------------------------------------------------------------------------------------- control

    async def cancel(self, job_id: str, *, caller: Principal) -> Job:
        """End what is not ended of a job; give it as it is then. What runs ends within seconds."""
        await self.get(job_id, caller=caller)
        for delivery_id in await self.store.cancel(job_id, datetime.now(UTC)):
            self.scheduler.cancel(delivery_id)
        return await self.get(job_id, caller=caller)

    async def pause(self, job_id: str, *, caller: Principal) -> Job:
        """Begin nothing more of a job; what runs of it stops at its next boundary."""
        await self.get(job_id, caller=caller)
        for delivery_id in await self.store.pause(job_id, datetime.now(UTC), by=caller.uid):
            self.scheduler.interrupt(delivery_id)
        return await self.get(job_id, caller=caller)

    async def resume(self, job_id: str, *, caller: Principal) -> Job:
        """Let a paused job go on, where it stood."""
        await self.get(job_id, caller=caller)
        await self.store.resume(job_id, datetime.now(UTC), by=caller.uid)
        self.scheduler.wake()
        return await self.get(job_id, caller=caller)

    async def retry(self, job_id: str, *, handed: Sequence[Handed] = (), caller: Principal) -> Job:
        """Try again what failed or was cancelled of a job, and what waits for a credential that is handed over."""
        job = await self.get(job_id, caller=caller)
        check_handed(handed, [Reference.parse(delivery.destination) for delivery in job.deliveries], job.source)
        now = datetime.now(UTC)
        sealed = [await self.keyring.seal(one, caller.uid, now) for one in handed]
        await self.store.retry(job_id, now, by=caller.uid, handed=sealed)
        self.scheduler.wake()
        return await self.get(job_id, caller=caller)

    async def pause_registry(self, registry: str, *, caller: Principal) -> Mapping[str, object]:
        """Send nothing more to a registry; what runs to it stops at its next boundary and waits in the queue."""
        name = _registry_for(registry, caller)
        for delivery_id in await self.store.pause_registry(name, datetime.now(UTC), by=caller.uid):
            self.scheduler.interrupt(delivery_id)
        return await self._pausing(name)

    async def resume_registry(self, registry: str, *, caller: Principal) -> Mapping[str, object]:
        """Serve a registry again."""
        name = _registry_for(registry, caller)
        await self.store.resume_registry(name, datetime.now(UTC), by=caller.uid)
        self.scheduler.wake()
        return await self._pausing(name)

    async def cancel_registry(self, registry: str, *, caller: Principal) -> Mapping[str, object]:
        """End everything that is not ended and goes to a registry, whosever it is."""
        name = _registry_for(registry, caller)
        cancelled, running, more = 0, frozenset[int](), True
        while more:
            ended, now_running, in_vain = await self.store.cancel_registry(name, datetime.now(UTC))
            for delivery_id in in_vain:
                self.scheduler.interrupt(delivery_id)
            cancelled, running, more = cancelled + ended, running | frozenset(now_running), ended > 0
        for delivery_id in running:
            self.scheduler.cancel(delivery_id)
        return {"registry": name, "cancelled": cancelled, "stopping": len(running)}

    async def _pausing(self, name: str) -> Mapping[str, object]:
        return {"registry": name, "paused_since": (await self.store.paused_registries()).get(name)}

    # -------------------------------------------------------------------------------------------------- diagnosis

    async def diagnose(
        self, target: str, *, handed: Sequence[Handed] = (), credential: str = AUTO, caller: Principal
    ) -> Mapping[str, object]:
        """Try how a registry is spoken to, with the rights of the caller."""
        registry, _, repository = target.partition("/")
        reference = Reference.parse(f"{target}:latest") if repository else _anywhere_at(registry)
        asker = asker_of(caller, credential, handed)
        checks = await self._diagnosed(reference, repository or None, asker)
        return {"target": target, "checks": checks}

    async def _diagnosed(self, reference: Reference, repository: str | None, asker: Asker) -> Sequence[Check]:
        try:
            self.policy.check(reference)
        except PushdError as error:
            return [Check(check="destination", ok=False, detail=error.detail, hint=error.hint)]
        taken = Check(check="destination", ok=True, detail="jobs may go there")
        try:
            registry = await self.gates.connect(self.registries, reference, asker=asker)
        except PushdError as error:
            return [taken, Check(check="credential", ok=False, detail=str(error), hint=error.hint)]
        return [taken, *await registry.diagnose(repository)]


def _registry_for(registry: str, caller: Principal) -> str:
    """Give the registry's name as references have it, for an administrator.

    Raises:
        RequestError: `request.forbidden`, `request.invalid_reference`.
    """
    if not caller.administrator:
        detail = "may only be held back, or let go on, by an administrator"
        raise RequestError(Code.REQUEST_FORBIDDEN, registry, detail, hint="pause your own jobs instead")
    return _anywhere_at(registry).registry


def _anywhere_at(registry: str) -> Reference:
    """Give a reference that is at the registry `host[:port]`.

    Raises:
        RequestError: `request.invalid_reference`; it is no registry. A bare word would be a name on Docker Hub.
    """
    reference = Reference.parse(f"{registry}/{_TRIAL}:latest")
    if reference.repository != _TRIAL:
        hint = "write host or host:port, as in references"
        raise RequestError(Code.REQUEST_INVALID_REFERENCE, printable(registry, 100), "is no registry", hint=hint)
    return reference
