"""Where the bytes of a job come from: opened for whoever submits it, and for its deliveries later."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from pushd.errors import Code, RequestError
from pushd.job import IN_ENGINE, Compress, Retain, Validate
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.platform import Platform
from pushd.oci.reference import Reference
from pushd.push.origin import origin_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from pushd.job import JobSpec
    from pushd.oci.image import Image
    from pushd.principal import Principal
    from pushd.push.origin import Origin, Origins
    from pushd.push.policy import Policy
    from pushd.push.ports.source import OpenSource, Source
    from pushd.push.ports.spool import OpenSpooled, Spool
    from pushd.push.turns import Turns
    from pushd.work import Asker, Claim

_ALONE: Final = ("docker-archive:", IN_ENGINE, "dir:")
"""How sources are called that have one image each, and no place for what refers to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Opens them.

    Attributes:
        origins: opens those that are in a registry.
        spool: keeps what was brought for as long as it is read.
        policy: says which registries they may be in.
        turns: where those that callers name by a path are opened.
    """

    open_source: OpenSource
    open_spooled: OpenSpooled
    origins: Origins
    spool: Spool
    policy: Policy
    turns: Turns

    @asynccontextmanager
    async def submitted(
        self, spec: JobSpec, asker: Asker, caller: Principal, *, keep: bool
    ) -> AsyncIterator[tuple[Source | Origin, Image]]:
        """Open a source as the caller and read its image, as far as it was chosen.

        With `keep` it stays open for as long as this lasts; a spool entry is kept for as long in any case.

        Raises:
            RequestError: `request.path_refused`; `request.malformed`, what is asked for does not go with the source.
            SourceError: as sources do.
        """
        platforms = tuple(map(Platform.parse, spec.platforms))
        if spec.spooled is not None:
            root = Descriptor(spec.spooled.media_type, Digest.parse(spec.spooled.digest), spec.spooled.size)
            listed = None if spec.spooled.referrers is None else Digest.parse(spec.spooled.referrers)
            with self.spool.using(spec.spooled.entry, uid=caller.uid):
                open_spooled = partial(self.open_spooled, spec.spooled.entry, root=root, referrers=listed)
                async with _reading(self.turns, open_spooled, spec, platforms, keep=keep) as opened:
                    yield opened
            return
        reference = origin_of(spec.source)
        if reference is not None:
            origin = await self._origin(spec, reference, asker)
            image = await origin.image(platforms)
            yield origin, await origin.with_referrers(image) if spec.with_referrers else image
            return
        if not caller.paths:
            raise RequestError(
                Code.REQUEST_PATH_REFUSED,
                "source",
                "names a path, and the caller does not see the daemon's files under the same names",
                hint="bring the bytes to the spool, as pushctl does by itself",
            )
        open_source = partial(self.open_source, spec.source, uid=caller.uid, gids=caller.gids)
        async with _reading(self.turns, open_source, spec, platforms, keep=keep) as opened:
            yield opened

    async def claimed(self, claim: Claim) -> Source | Origin:
        """Open the bytes of a claim, with the rights of who submitted them, or where the spool keeps them.

        Raises:
            SourceError: they are gone, or not theirs to read any more.
            RequestError: `request.forbidden`, the daemon's credential is not theirs to read with any more.
        """
        origin = origin_of(claim.source) if claim.spool is None else None
        if origin is not None:
            return await self.origins.open(origin, asker=claim.asker, beside=[claim.registry])
        return await self.here(claim)

    async def here(self, claim: Claim) -> Source:
        """Open the bytes of a claim that are on this machine; otherwise as `claimed`."""
        if claim.spool is not None:
            return await anyio.to_thread.run_sync(self.open_spooled, claim.spool)
        opened = partial(self.open_source, claim.source, uid=claim.uid, gids=claim.gids)
        return await anyio.to_thread.run_sync(opened)

    async def _origin(self, spec: JobSpec, reference: Reference, asker: Asker) -> Origin:
        """Open a source that is in a registry, which may be any that destinations may be in."""
        self.policy.check_registry(reference.registry)
        _check_streams(spec)
        beside = [Reference.parse(destination).registry for destination in spec.destinations]
        return await self.origins.open(reference, asker=asker, beside=beside)


def _check_streams(spec: JobSpec) -> None:
    """Refuse what cannot be asked of an image in a registry, nothing of which is here before it is sent."""
    asked = {
        "retain": copies(spec),
        "validate": spec.validate is not Validate.DIGEST,
        "compress": spec.compress not in (Compress.AUTO, Compress.NONE),
    }
    for field, is_asked in asked.items():
        if is_asked:
            detail = "does not go with an image in a registry: what is sent of it is read when it is sent"
            hint = "leave it out, or copy the image to a layout first"
            raise RequestError(Code.REQUEST_MALFORMED, field, detail, hint=hint)


def check_refers(spec: JobSpec) -> None:
    """Refuse to take along what refers to an image where there is no place for it, or it was not brought.

    Raises:
        RequestError: `request.malformed`.
    """
    if not spec.with_referrers:
        return
    alone = spec.source.startswith(_ALONE)
    if alone or (spec.spooled is not None and spec.spooled.referrers is None):
        detail = "does not go with this source: " + (
            "nothing lies there but the image itself" if alone else "nothing was brought but the image itself"
        )
        hint = "leave it out, or name an image in a registry (docker://REF) or in a layout (oci:DIR, oci-archive:FILE)"
        raise RequestError(Code.REQUEST_MALFORMED, "with_referrers", detail, hint=hint)


def copies(spec: JobSpec) -> bool:
    """Whether the bytes are copied before the job is accepted. Those that were brought are in the spool already."""
    return spec.spooled is None and spec.retain is Retain.SPOOL


@asynccontextmanager
async def _reading(
    turns: Turns, open_: partial[Source], spec: JobSpec, platforms: Collection[Platform], *, keep: bool
) -> AsyncIterator[tuple[Source, Image]]:
    """Open a source and read its image, in one hop to a thread; with `keep` the source stays open meanwhile."""

    def read() -> tuple[Source, Image]:
        source = open_()
        try:
            image = source.image(platforms)
            if spec.with_referrers:
                image = source.with_referrers(image)
        except BaseException:
            source.close()
            raise
        if not keep:
            source.close()  # a few system calls that need not be the loop's
        return source, image

    source, image = await turns.run(read)
    try:
        yield source, image
    finally:
        source.close()
