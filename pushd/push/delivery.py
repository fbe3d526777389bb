"""One delivery: ask, plan, transfer, put the manifests, verify.

The order is the promise: no manifest before all its blobs, no tag before all manifests, no success before the
registry was asked what it holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from pushd.errors import Code, PushdError, RegistryError
from pushd.job import DeliveryState
from pushd.oci.media_types import INDEXES
from pushd.oci.reference import Reference
from pushd.push.locks import KeyedLocks
from pushd.push.plan import make_plan
from pushd.push.progress import Progress
from pushd.push.transfer import Run, bring
from pushd.telemetry.events import MANIFEST_PUT, Event
from pushd.work import Outcome

if TYPE_CHECKING:
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.image import Document, Image
    from pushd.push.plan import Plan
    from pushd.push.ports import OpenSource, Registries, Registry
    from pushd.push.transfer import Means, Stop
    from pushd.telemetry.events import Value
    from pushd.work import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliverer:
    """Makes deliveries.

    Attributes:
        tags: one delivery at a time puts and verifies a tag, or two of them would find each other's image there.
    """

    means: Means
    registries: Registries
    open_source: OpenSource
    tags: KeyedLocks[str] = field(default_factory=KeyedLocks)

    async def deliver(self, claim: Claim, stop: Stop) -> Outcome:
        """Bring the job's image to the claim's destination.

        Cancelling it leaves what was begun at the registry as `stop` says.

        Raises:
            PushdError: it could not be done; the tag was not moved, unless the error is about reading it back.
        """
        reference = Reference.parse(claim.destination)
        image = await self.means.store.image(claim.job_id)
        registry = await self.registries.connect(reference.registry)
        plan = make_plan(image, await self._present(registry, reference, image))
        if plan.documents:
            await self._push(claim, stop, registry, reference, plan)
        return Outcome(state=DeliveryState.SUCCEEDED, digest=image.root.descriptor.digest)

    async def _present(self, registry: Registry, reference: Reference, image: Image) -> frozenset[Digest]:
        """Ask which of the image's manifests the repository has: by the tag first, and no further if that differs."""
        root = image.root.descriptor
        if await registry.head_manifest(reference.repository, reference.target) != root.digest:
            return frozenset()
        present = {root.digest}
        if root.media_type in INDEXES:
            for document in image.documents[:-1]:
                digest = document.descriptor.digest
                if await registry.head_manifest(reference.repository, str(digest)) == digest:
                    present.add(digest)
        return frozenset(present)

    async def _push(self, claim: Claim, stop: Stop, registry: Registry, reference: Reference, plan: Plan) -> None:
        await self.means.store.plan(
            claim,
            credential=registry.credential,
            repository=reference.repository,
            blobs=plan.blobs,
            manifests=len(plan.documents),
        )
        if plan.blobs:
            await self._transfer(claim, stop, registry, reference, plan.blobs)
        *children, root = plan.documents
        for document in children:
            await self._put(claim, registry, reference, document, str(document.descriptor.digest))
        async with self.tags.holding(str(reference)):
            await self._put(claim, registry, reference, root, reference.target)
            await self._verify(registry, reference, root.descriptor.digest)

    async def _transfer(
        self, claim: Claim, stop: Stop, registry: Registry, reference: Reference, blobs: tuple[Descriptor, ...]
    ) -> None:
        board = self.means.board
        entries = [
            board.enter(Progress(claim.job_id, claim.delivery_id, claim.destination, str(blob.digest), size=blob.size))
            for blob in blobs
        ]
        source = await anyio.to_thread.run_sync(self.open_source, claim.source)
        run = Run(claim, registry, reference.repository, source, stop)
        try:
            async with anyio.create_task_group() as transfers:
                for blob, progress in zip(blobs, entries, strict=True):
                    transfers.start_soon(bring, self.means, run, blob, progress)
        except BaseExceptionGroup as group:
            # The first failure ended the others; it alone is what happened.
            raise _first(group) from None
        finally:
            source.close()

    async def _put(
        self, claim: Claim, registry: Registry, reference: Reference, document: Document, target: str
    ) -> None:
        descriptor = document.descriptor
        answered = await registry.put_manifest(reference.repository, target, document.content, descriptor.media_type)
        if answered != descriptor.digest:
            raise _mismatch(reference, descriptor.digest, f"the registry stored the manifest as {answered}")
        fields: dict[str, Value] = {
            "digest": str(descriptor.digest),
            "destination": claim.destination,
            "media_type": descriptor.media_type,
            "size": descriptor.size,
            "tag": reference.tag if target == reference.tag else None,
        }
        self.means.emit(Event(MANIFEST_PUT, datetime.now(UTC), claim.job_id, claim.delivery_id, fields))

    @staticmethod
    async def _verify(registry: Registry, reference: Reference, digest: Digest) -> None:
        """Read back what the tag names now (a 200 alone has lied: moby#49148, podman#18751)."""
        found = await registry.head_manifest(reference.repository, reference.target)
        if found is None:
            raise _mismatch(reference, digest, "the registry took the manifest and does not have it")
        if found != digest:
            raise _mismatch(reference, digest, f"read back, it is {found}: somebody else may have pushed there")


def _mismatch(reference: Reference, digest: Digest, detail: str) -> RegistryError:
    return RegistryError(Code.REGISTRY_DIGEST_MISMATCH, f"{digest} at {reference}", detail, hint="push again")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the error that ended a group: one of ours if there is one."""
    leaves = list(_leaves(group))
    return next((leaf for leaf in leaves if isinstance(leaf, PushdError)), leaves[0])


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]
