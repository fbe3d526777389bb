"""What a registry that is read from has about manifests: referrers, and what cosign's tags name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from pushd.errors import Code, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.gathering import Found
from pushd.oci.image import MAX_TOTAL
from pushd.oci.referrers import cosign_tags
from pushd.push import referrers, survey
from pushd.push.persistence import persist

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pushd.push.ports.registry import Registry

_ASKED: Final = 8
"""Manifests about which a registry is asked at once."""


class About:
    """Asks one repository.

    Args:
        registry: where it is.
        repository: its name there.
        rng: gives numbers in [0, 1).
    """

    def __init__(self, registry: Registry, repository: str, rng: Callable[[], float]) -> None:
        self._registry = registry
        self._repository = repository
        self._rng = rng
        self._contents: dict[Digest, bytes] = {}
        self._read = 0

    async def look(self, subjects: Sequence[Digest]) -> Sequence[Found]:
        """Give what was found about some manifests, in their order.

        Raises:
            SourceError: the registry did not say, or what it lists is no list; `source.manifest_too_large`, there is
                more under tags than an image may have.
        """
        found: dict[Digest, Found] = {}
        places = anyio.CapacityLimiter(_ASKED)

        async def ask(subject: Digest) -> None:
            async with places:
                found[subject] = await self._found(subject)

        try:
            async with anyio.create_task_group() as asking:
                for subject in subjects:
                    asking.start_soon(ask, subject)
        except BaseExceptionGroup as group:
            raise survey.first(group) from None
        return [found[subject] for subject in subjects]

    def content(self, document: Descriptor) -> bytes | None:
        """Give the bytes of what was read of it already, under a tag."""
        return self._contents.get(document.digest)

    async def _found(self, subject: Digest) -> Found:
        listed = await persist(partial(referrers.listed, self._registry, self._repository, subject), rng=self._rng)
        tagged = [(tag, named) for tag in cosign_tags(subject) if (named := await self._named(tag)) is not None]
        return Found(listed, tuple(tagged))

    async def _named(self, tag: str) -> Descriptor | None:
        there = await persist(partial(self._registry.find_manifest, self._repository, tag), rng=self._rng)
        if there is None:
            return None
        media_type, content = there
        digest = Digest.of(content)
        if digest not in self._contents:
            self._read += len(content)
            if self._read > MAX_TOTAL:
                detail = f"is too much: all documents of an image have at most {MAX_TOTAL} bytes"
                where = f"{self._registry.name}/{self._repository}:{tag}"
                raise SourceError(Code.SOURCE_MANIFEST_TOO_LARGE, where, detail)
            self._contents[digest] = content
        return Descriptor(media_type, digest, len(content))
