"""The end of a delivery: its manifests are put, children before parents and the tag last, and read back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError
from pushd.job import DeliveryState, Verify
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.push import survey
from pushd.push.plan import check_tag
from pushd.push.referrers import Referring, only_tagged
from pushd.push.run import Ready
from pushd.telemetry.events import MANIFEST_PUT, Event
from pushd.telemetry.trace import trace_id
from pushd.work import Outcome, Reach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.oci.document import Document
    from pushd.oci.image import Image
    from pushd.oci.reference import Reference
    from pushd.oci.reply import Stored
    from pushd.push.locks import KeyedLocks
    from pushd.push.ports.registry import Registry
    from pushd.push.run import Means
    from pushd.telemetry.events import Value
    from pushd.work import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """Those of one delivery.

    Attributes:
        tags: one delivery at a time puts and verifies a tag.
    """

    means: Means
    tags: KeyedLocks[str]
    claim: Claim
    registry: Registry
    reference: Reference
    image: Image

    async def put(self, documents: Sequence[Document]) -> Outcome | Ready:
        """Put manifests, the root last, as far as the claim reaches: by its digest alone, or by the tag.

        What refers to the image can be found before its tag names it: who admits only what is signed never finds it
        unsigned. A subject need not be there before what refers to it ("Pushing Manifests with Subject").

        Args:
            documents: what is missing, children before parents.

        Raises:
            RegistryError: `registry.blob_unknown`, something the registry was believed to have is not there;
                `registry.digest_mismatch`; `registry.tag_exists`; or what else it answered.
        """
        *before, root = documents
        tagged, referring = only_tagged(self.image), self._referring()
        by_digest = [document for document in before if document.descriptor.digest not in tagged]
        await referring.listing(
            [document for document in by_digest if await self._put(document, str(document.descriptor.digest))]
        )
        await referring.tagging(self.image, {document.descriptor.digest for document in documents})
        await referring.settle()
        if self.claim.reach is not Reach.READY:
            return await self.tag()
        digest = str(root.descriptor.digest)
        if await self._put(root, digest):
            await self._list_root()
        await self._verify(digest)
        await self._verify_blobs()
        if self.claim.if_tag is not None:
            await self._found()  # now is the time to fail: no tag of the job has moved
        return Ready()

    async def tag(self) -> Outcome:
        """Have the tag name the image, all of which is there, and read it back.

        Raises:
            RegistryError: as `put`.
        """
        root, reference, unlisted = self.image.root, self.reference, False
        async with self.tags.holding(f"{self.registry.name}/{reference.repository}:{reference.target}"):
            if reference.tag is not None and not await self.means.store.tagging(self.claim):
                return Outcome(state=DeliveryState.SUPERSEDED)
            if not await self._names_it():
                unlisted = await self._put(root, reference.target)
                await self._verify(reference.target)
        if unlisted:
            await self._list_root()
        await self._verify_blobs()
        return Outcome(state=DeliveryState.SUCCEEDED, digest=root.descriptor.digest)

    def check_tag(self, found: Digest | None) -> None:
        """Refuse to move a tag that names something else than the job allows.

        Raises:
            RegistryError: `registry.tag_exists`.
        """
        check_tag(self.reference, found, wanted=self.image.root.descriptor.digest, if_tag=self.claim.if_tag)

    async def _names_it(self) -> bool:
        """Ask once more what the tag names, where that matters: registries offer nothing that makes the two steps one.

        It does to a job that puts it only under a condition; and to one whose tags move together: a daemon that died
        while they did may have put this one.
        """
        if self.claim.if_tag is None and self.claim.reach is not Reach.TAG:
            return False
        return await self._found() == self.image.root.descriptor.digest and self.claim.reach is Reach.TAG

    async def _found(self) -> Digest | None:
        """Ask what the tag names, and refuse to move it where the job does not allow that."""
        found = await self.registry.head_manifest(self.reference.repository, self.reference.target)
        self.check_tag(found)
        return found

    def _referring(self) -> Referring:
        async def put(tag: str, content: bytes, media_type: str) -> None:
            await self._put_content(Descriptor(media_type, Digest.of(content), len(content)), content, tag)

        return Referring(self.registry, self.reference.repository, locks=self.tags, put=put, rng=self.means.rng)

    async def _list_root(self) -> None:
        referring = self._referring()
        await referring.listing([self.image.root])
        await referring.settle()

    async def _put(self, document: Document, target: str) -> bool:
        """Put a manifest; give whether it refers to another and is left for us to list."""
        stored = await self._put_content(document.descriptor, document.content, target)
        return document.manifest.subject is not None and not stored.listed

    async def _put_content(self, descriptor: Descriptor, content: bytes, target: str) -> Stored:
        reference, claim = self.reference, self.claim
        stored = await self.registry.put_manifest(reference.repository, target, content, descriptor.media_type)
        if stored.digest != descriptor.digest:
            raise _mismatch(reference, descriptor.digest, f"the registry stored the manifest as {stored.digest}")
        facts: dict[str, Value] = {
            "registry": claim.registry,
            "digest": str(descriptor.digest),
            "destination": claim.destination,
            "media_type": descriptor.media_type,
            "size": descriptor.size,
            "tag": None if ":" in target else target,
        }
        trace = trace_id(claim.traceparent)
        self.means.emit(Event(MANIFEST_PUT, datetime.now(UTC), claim.job_id, claim.delivery_id, facts, trace=trace))
        return stored

    async def _verify(self, target: str) -> None:
        """Read back what is there now under a tag or a digest (a 200 alone has lied: moby#49148, podman#18751)."""
        digest = self.image.root.descriptor.digest
        found = await self.registry.head_manifest(self.reference.repository, target)
        if found is None:
            raise _mismatch(self.reference, digest, "the registry took the manifest and does not have it")
        if found != digest:
            detail = f"read back, it is {found}: somebody else may have pushed there"
            raise _mismatch(self.reference, digest, detail)

    async def _verify_blobs(self) -> None:
        if self.claim.verify is not Verify.BLOBS:
            return
        missing = await survey.missing(self.registry, self.reference, self.image.blobs)
        if missing:
            names = ", ".join(str(blob.digest) for blob in missing[:3])
            detail = f"read back, {len(missing)} of its blobs are not there: {names}"
            raise RegistryError(Code.REGISTRY_BLOB_UNKNOWN, str(self.reference), detail)


def _mismatch(reference: Reference, digest: Digest, detail: str) -> RegistryError:
    return RegistryError(Code.REGISTRY_DIGEST_MISMATCH, f"{digest} at {reference}", detail, hint="push again")
