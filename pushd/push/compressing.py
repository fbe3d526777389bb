"""Plain layers compressed before anything is pushed: once for a job, by whichever of its deliveries comes first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import anyio

from pushd.job import IN_ENGINE, Compress
from pushd.oci.compression import Encoding, plain_layers
from pushd.push.locks import KeyedLocks
from pushd.push.run import DrainedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pushd.job import JobSpec
    from pushd.oci.compression import Plain
    from pushd.oci.image import Image
    from pushd.push.ports.source import Source
    from pushd.push.ports.spool import Spool
    from pushd.push.ports.store import JobStore
    from pushd.push.run import Stop
    from pushd.work import Claim, Compressed


_SAVED: Final = ("docker-archive:", IN_ENGINE)
"""How sources are called, wherever their bytes are, whose layers are plain because Docker keeps them so."""


def decided(spec: JobSpec, configured: Compress) -> Compress:
    """Give what becomes of a job's plain layers, where it was left to its source or to what is configured as well."""
    compress = spec.compress
    if compress is Compress.AUTO:
        compress = Compress.DEFAULT if spec.source.startswith(_SAVED) else Compress.NONE
    return configured if compress is Compress.DEFAULT else compress


def layers_to_compress(image: Image, compress: Compress) -> Sequence[Plain]:
    """Give the layers of an image that are to be compressed."""
    return () if compress is Compress.NONE else plain_layers(image, Encoding(compress))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressing:
    """Has the layers of jobs compressed.

    Attributes:
        jobs: one delivery of a job compresses, the others wait for it.
    """

    store: JobStore
    spool: Spool
    jobs: KeyedLocks[str] = field(default_factory=KeyedLocks)

    async def compressed(
        self, claim: Claim, encoding: Encoding, stop: Stop, open_: Callable[[Claim], Awaitable[Source]]
    ) -> Claim:
        """Give the claim as it is when the plain layers of its job are compressed.

        Cancelled, stopped or failed, nothing is kept of it: the next delivery of the job begins anew.

        Args:
            claim: as it was taken.
            encoding: how they are to be.
            stop: what it means for the delivery to be cut short.
            open_: opens the bytes of a claim.

        Raises:
            SourceError: they cannot be read, changed, or are not what their digests say.
            StoreError: `store.full`, `store.budget`, and what the store has to say.
            RequestError: `request.limit`, the submitter's quota of the spool is used up.
            DrainedError: the daemon is to stop, or the delivery to be paused.
        """
        async with self.jobs.holding(claim.job_id):
            entry = await self.store.compressed(claim.job_id)
            if entry is None:
                entry = await self._compress(claim, encoding, stop, open_)
        return replace(claim, spool=entry, encoding=None)

    async def distrust(self, image: Image) -> None:
        """Have nothing of an image used for another: bytes that the spool has of it are not what they should be."""
        await self.spool.distrust(blob.digest for blob in image.blobs)

    async def _compress(
        self, claim: Claim, encoding: Encoding, stop: Stop, open_: Callable[[Claim], Awaitable[Source]]
    ) -> str:
        def boundary() -> None:
            if stop.draining:
                raise DrainedError

        boundary()
        image = await self.store.image(claim.job_id)
        source = await open_(claim)
        try:
            made = await self.spool.compress(source, image, encoding, uid=claim.uid, boundary=boundary)
        finally:
            source.close()
        # What was made takes minutes to make again, and what it replaces is in nobody's way for a moment longer.
        with anyio.CancelScope(shield=True):
            await self._keep(claim, made)
        return made.spool

    async def _keep(self, claim: Claim, made: Compressed) -> None:
        """Make it the job's; the plain bytes go, if the spool has them."""
        with self.spool.using(made.spool, uid=claim.uid):
            try:
                await self.store.compress(claim, made)
            except Exception:
                await self.spool.discard(made.spool, "its job could not take it")
                raise
        if claim.spool is not None:
            await self.spool.discard(claim.spool, "its layers are compressed in another")
