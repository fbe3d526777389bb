"""One delivery: ask, plan, transfer, put the manifests, verify.

The order is the promise: no manifest before all its blobs, no tag before all manifests, no success before the
registry was asked what it holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import anyio

from pushd.errors import Code, RegistryError, SourceError
from pushd.job import DeliveryState, TransferState, Validate, Verify
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.reference import Reference
from pushd.push import survey
from pushd.push.bringing import bring
from pushd.push.landings import Landings
from pushd.push.locks import KeyedLocks
from pushd.push.manifests import Manifests
from pushd.push.origin import Origin
from pushd.push.plan import Plan, make_plan
from pushd.push.progress import Progress
from pushd.push.renewal import Renewal
from pushd.push.run import DrainedError, Ready, Run
from pushd.telemetry.events import DELIVERY_HEALING, Event
from pushd.telemetry.trace import TRACEPARENT, trace_id
from pushd.work import Outcome, Reach

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image
    from pushd.oci.upload import Checkpoint
    from pushd.push.compressing import Compressing
    from pushd.push.gate import Gates
    from pushd.push.inspecting import Inspector
    from pushd.push.ports.registry import Registries, Registry
    from pushd.push.run import Means, Stop
    from pushd.push.sources import Sources
    from pushd.telemetry.events import Kind, Value
    from pushd.work import Claim

_SPOILT: Final = frozenset({Code.SOURCE_BLOB_DIGEST, Code.REGISTRY_DIGEST_MISMATCH})
"""What shows that bytes are not those of their digest: to us, or, where they were hashed long ago, to the registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliverer:
    """Makes deliveries.

    Attributes:
        gates: the doors of the registries.
        tags: one delivery at a time puts and verifies a tag, or two of them would find each other's image there.
    """

    means: Means
    compressing: Compressing
    registries: Registries
    gates: Gates
    inspector: Inspector
    sources: Sources
    tags: KeyedLocks[str] = field(default_factory=KeyedLocks)

    async def deliver(self, claim: Claim, stop: Stop) -> Outcome | Ready:
        """Bring the job's image to the claim's destination, as far as the claim reaches.

        Cancelling it leaves what was begun at the registry as `stop` says.

        Raises:
            PushdError: it could not be done; the tag was not moved, unless the error is about reading it back.
            DrainedError: the daemon is to stop, and it is not done.
        """
        TRACEPARENT.set(claim.traceparent)  # of this task, and those it starts
        reference = Reference.parse(claim.destination)
        image = await self.means.store.image(claim.job_id)
        if claim.validate is Validate.FULL:
            await self.inspector.ensure(claim, image, self.sources.here, stop)
        registry = await self.gates.connect(self.registries, reference, asker=claim.asker)
        if claim.encoding is not None:
            claim = await self.compressing.compressed(claim, claim.encoding, stop, self.sources.here)
            image = await self.means.store.image(claim.job_id)
        try:
            manifests = Manifests(
                means=self.means, tags=self.tags, claim=claim, registry=registry, reference=reference, image=image
            )
            return await _Delivery(self, claim, stop, reference, image, registry, manifests).run()
        except (SourceError, RegistryError) as error:
            if error.code in _SPOILT and claim.spool is not None:
                await self.compressing.distrust(image)
            if isinstance(error, SourceError):
                raise
            raise await Renewal(self.registries).to_push(registry, reference, claim, error) from error


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One delivery under way."""

    deliverer: Deliverer
    claim: Claim
    stop: Stop
    reference: Reference
    image: Image
    registry: Registry
    manifests: Manifests

    async def run(self) -> Outcome | Ready:
        """Ask, plan, transfer, put, verify; where only the tag is left, no more than that."""
        if self.claim.reach is Reach.TAG and (moved := await self._move()) is not None:
            return moved
        found, present = await survey.manifests(self.registry, self.reference, self.image)
        self.manifests.check_tag(found)
        plan = make_plan(self.image, present)
        if not plan.documents and self.claim.verify is Verify.BLOBS:
            missing = await survey.missing(self.registry, self.reference, self.image.blobs)
            plan = Plan(missing, self.image.documents) if missing else plan
        if plan.documents:
            landed = await self._bring(plan.blobs, await self._plan(plan))
            return await self._put_healing(plan, landed)
        if self.claim.reach is Reach.READY:
            return Ready()
        await self.deliverer.means.store.tagging(self.claim)
        return Outcome(state=DeliveryState.SUCCEEDED, digest=self.image.root.descriptor.digest)

    async def _move(self) -> Outcome | None:
        """Move the tag to what was brought before; None where some of that is gone, and is to be brought again."""
        checks = self.registry.limits.checks
        if not checks and not await survey.all_manifests(self.registry, self.reference, self.image):
            return None
        try:
            return await self.manifests.tag()
        except RegistryError as error:
            if error.code is not Code.REGISTRY_BLOB_UNKNOWN:
                raise
        return None

    async def _plan(self, plan: Plan) -> Mapping[Digest, Checkpoint | str]:
        return await self.deliverer.means.store.plan(
            self.claim,
            credential=self.registry.credential,
            repository=self.reference.repository,
            blobs=plan.blobs,
            manifests=len(plan.documents),
        )

    async def _bring(
        self, blobs: Sequence[Descriptor], known: Mapping[Digest, Checkpoint | str], *, insist: bool = False
    ) -> dict[Digest, TransferState]:
        """Bring blobs to the repository, side by side; give how each landed."""
        claim, means = self.claim, self.deliverer.means
        landed: dict[Digest, TransferState] = {}
        if not blobs:
            return landed
        entries = [
            means.board.enter(
                Progress(
                    claim.job_id,
                    claim.delivery_id,
                    claim.destination,
                    str(blob.digest),
                    size=blob.size,
                    registry=claim.registry,
                    uid=claim.uid,
                    trace=trace_id(claim.traceparent),
                )
            )
            for blob in blobs
        ]
        source = await self.deliverer.sources.claimed(claim)
        repository = self.reference.repository
        mount_from = source.mountable(self.registry, repository) if isinstance(source, Origin) else None
        run = Run(claim, self.registry, repository, source, known, self.stop, mount_from)
        landings = Landings(means.store, claim, expected=len(blobs))

        async def one(blob: Descriptor, progress: Progress) -> None:
            state = await bring(means, run, blob, progress, landings, insist=insist)
            if state is not None:
                landed[blob.digest] = state

        try:
            async with anyio.create_task_group() as transfers:
                for blob, progress in zip(blobs, entries, strict=True):
                    transfers.start_soon(one, blob, progress)
        except BaseExceptionGroup as group:
            # The first failure ended the others; it alone is what happened.
            error = survey.first(group)
            if isinstance(source, Origin) and isinstance(error, SourceError):
                error = await source.judged(error)
            raise error from None
        finally:
            source.close()
        if len(landed) < len(blobs):
            raise DrainedError
        return landed

    async def _put_healing(self, plan: Plan, landed: dict[Digest, TransferState]) -> Outcome | Ready:
        """Put the manifests; where the registry calls blobs unknown that it had, bring them and put once more.

        What was not even asked for is asked for first. Then the PUT is believed, and not the HEAD.
        """
        for insist in (False, True) if self.registry.limits.checks else (True,):
            try:
                return await self.manifests.put(plan.documents)
            except RegistryError as error:
                if error.code is not Code.REGISTRY_BLOB_UNKNOWN:
                    raise
            landed |= await self._heal(plan, landed, insist=insist)
        return await self.manifests.put(plan.documents)

    async def _heal(
        self, plan: Plan, landed: Mapping[Digest, TransferState], *, insist: bool
    ) -> Mapping[Digest, TransferState]:
        believed = [blob for blob in plan.blobs if landed[blob.digest] is not TransferState.UPLOADED]
        doubtful = believed or plan.blobs
        self._tell(DELIVERY_HEALING, destination=self.claim.destination, blobs=len(doubtful))
        await self.deliverer.means.store.forget(
            self.claim,
            credential=self.registry.credential,
            repository=self.reference.repository,
            digests=[blob.digest for blob in doubtful],
        )
        return await self._bring(doubtful, {}, insist=insist)

    def _tell(self, kind: Kind, **fields: Value) -> None:
        claim = self.claim
        facts = {"registry": claim.registry, **fields}
        self.deliverer.means.emit(
            Event(kind, datetime.now(UTC), claim.job_id, claim.delivery_id, facts, trace=trace_id(claim.traceparent))
        )
