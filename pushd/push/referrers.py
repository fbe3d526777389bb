"""What refers to an image, at its destination: whether it can be found there, and what is done so that it can.

Two deliveries of this daemon never write the same list or tag at once. Of others who write it nothing keeps them apart:
registries offer no write that depends on what was read. So what was written is read back, at once and again when
whoever had read what was there before has written theirs, and written again where it was lost; what others have
written stays.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from pushd.errors import Code, RegistryError, SourceError
from pushd.oci.manifest import MAX_SIZE
from pushd.oci.media_types import OCI_INDEX
from pushd.oci.referrers import listing_with, listing_without, read_listing, referrers_tag, tagged_with

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.document import Document
    from pushd.oci.image import Image
    from pushd.push.locks import KeyedLocks
    from pushd.push.ports.registry import Registry

    Wanted = Callable[[], Awaitable[bytes | None]]
    """Gives what a tag is to name; None where it names that."""
    Put = Callable[[str, bytes], Awaitable[None]]
    """Puts it under the tag."""

_TRIES: Final = 6
_PAUSE: Final = 0.2
"""Seconds before what was written is written once more; as many more each time."""
_SETTLED: Final = 1.0
"""Seconds, more or less, in which somebody else who has read a tag writes it: then ours is looked for again. Of three
daemons that wrote one list at once, 75 times, 10 entries were lost when nobody waited."""


async def listed(registry: Registry, repository: str, subject: Digest) -> tuple[Descriptor, ...]:
    """Ask what a repository lists as referrers of a manifest: by its API, or else under the referrers tag.

    Raises:
        RegistryError: the registry did not answer that; `registry.malformed`.
        SourceError: what it lists is no list of referrers.
    """
    pages = await registry.get_referrers(repository, subject)
    try:
        if pages is None:
            found = await registry.find_manifest(repository, referrers_tag(subject))
            pages = () if found is None else (found[1],)
        return tuple(referrer for page in pages for referrer in read_listing(page))
    except SourceError as error:
        where = f"the referrers of {subject} in {registry.name}/{repository}, {error.subject}"
        raise SourceError(error.code, where, error.detail, hint="have the list mended, or removed") from error


async def lost(registry: Registry, repository: str, image: Image) -> frozenset[Digest]:
    """Ask which referrers of an image cannot be found in a repository, be they there or not.

    Raises:
        RegistryError: the registry did not answer that; `registry.malformed`, what it lists is no list;
            `registry.tag_exists`, a tag of cosign's names something else, and they cannot be joined.
    """
    missing: set[Digest] = set()
    for subject, referrers in _by_subject(image.referrers).items():
        try:
            there = {referrer.digest for referrer in await listed(registry, repository, subject)}
        except SourceError as error:
            raise _malformed(error.subject, error) from error
        missing.update(referrer.descriptor.digest for referrer in referrers if referrer.descriptor.digest not in there)
    for tag, document in _tagged(image):
        if await _wanted(registry, repository, tag, document) is not None:
            missing.add(document.descriptor.digest)
    return frozenset(missing)


def only_tagged(image: Image) -> frozenset[Digest]:
    """Give the referrers that are found by their tag alone: nobody asks for them by their digest."""
    tagged = {digest for _, digest in image.tags}
    return frozenset(
        document.descriptor.digest
        for document in image.referrers
        if document.descriptor.digest in tagged and document.manifest.subject is None
    )


class Referring:
    """Sees to it that the referrers of one delivery are found.

    Args:
        registry: the destination's.
        repository: the destination's.
        locks: one at a time writes a tag.
        put: puts a manifest under a tag: the tag, its content, its media type.
        rng: gives numbers in [0, 1).
    """

    def __init__(
        self,
        registry: Registry,
        repository: str,
        *,
        locks: KeyedLocks[str],
        put: Callable[[str, bytes, str], Awaitable[None]],
        rng: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._repository = repository
        self._locks = locks
        self._put = put
        self._rng = rng
        self._fresh: list[tuple[str, Wanted, Put]] = []

    async def listing(self, referrers: Iterable[Document]) -> None:
        """List referrers that the registry does not list by itself ("Pushing Manifests with Subject").

        Raises:
            RegistryError: the registry refused; `registry.malformed`, what is under a referrers tag is no list, or
                there is no room in it; `registry.unavailable`, others overwrite it all the time.
        """
        for subject, documents in _by_subject(referrers).items():
            tag = referrers_tag(subject)
            await self._see_to(tag, partial(self._listing, tag, documents), self._put_listing)

    async def tagging(self, image: Image, wanted: Collection[Digest]) -> None:
        """Put those of an image's documents that are `wanted` under their tags of cosign's.

        Raises:
            RegistryError: the registry refused; `registry.tag_exists`, there is something else already, and they
                cannot be joined; `registry.unavailable`, others overwrite it all the time.
        """
        for tag, document in _tagged(image):
            if document.descriptor.digest in wanted:
                named = partial(_wanted, self._registry, self._repository, tag, document)
                await self._see_to(tag, named, partial(self._put_tagged, document.descriptor.media_type))

    async def settle(self) -> None:
        """Wait until what was put here stays; nothing was put, and there is no wait.

        Raises:
            RegistryError: as when it was put; `registry.unavailable`, others overwrite it all the time.
        """
        for _ in range(_TRIES):
            if not self._fresh:
                return
            await anyio.sleep(_SETTLED * (0.5 + self._rng()))
            put, self._fresh = self._fresh, []
            for one in put:
                await self._see_to(*one)
        if self._fresh:
            raise self._overwritten(self._fresh[0][0])

    async def _see_to(self, tag: str, wanted: Wanted, put: Put) -> None:
        """Put under a tag what is wanted, which is asked again, with what is there then, until nothing more is."""
        async with self._locks.holding(self._where(tag)):
            for tried in range(_TRIES):
                content = await wanted()
                if content is None:
                    break
                if tried:
                    await anyio.sleep(_PAUSE * tried)  # so that whoever else writes it comes to an end
                await put(tag, content)
            else:
                if await wanted() is not None:
                    raise self._overwritten(tag)
        if tried:  # so it was put, once at least
            self._fresh.append((tag, wanted, put))

    async def _listing(self, tag: str, documents: Sequence[Document]) -> bytes | None:
        """Give the list that is to be under a referrers tag; None where it is as it should be."""
        where = self._where(tag)
        try:
            found = await self._registry.find_manifest(self._repository, tag)
            content = listing_with(None if found is None else found[1], documents)
        except SourceError as error:
            raise _malformed(f"{where}, {error.subject}", error) from error
        if content is not None and len(content) > MAX_SIZE:
            detail = "lists so many referrers that there is no room for another"
            raise RegistryError(Code.REGISTRY_MALFORMED, where, detail, hint="remove those that nobody needs")
        return content

    async def _put_tagged(self, media_type: str, tag: str, content: bytes) -> None:
        await self._put(tag, content, media_type)

    async def _put_listing(self, tag: str, content: bytes) -> None:
        """Put a list; without what others have listed and removed since, where a registry takes no such list."""
        try:
            await self._put(tag, content, OCI_INDEX)
        except RegistryError as error:
            if error.code is not Code.REGISTRY_BLOB_UNKNOWN:
                raise
            gone = [
                one.digest
                for one in read_listing(content)
                if await self._registry.head_manifest(self._repository, str(one.digest)) is None
            ]
            if not gone:
                raise
            await self._put(tag, listing_without(content, gone), OCI_INDEX)

    def _where(self, tag: str) -> str:
        return f"{self._registry.name}/{self._repository}:{tag}"

    def _overwritten(self, tag: str) -> RegistryError:
        detail = "was put again and again, and is not there when it is read back: others overwrite it"
        return RegistryError(Code.REGISTRY_UNAVAILABLE, self._where(tag), detail)


async def _wanted(registry: Registry, repository: str, tag: str, document: Document) -> bytes | None:
    """Give the manifest that a tag of cosign's is to name; None where it names the right one."""
    named = await registry.head_manifest(repository, tag)
    if named == document.descriptor.digest:
        return None
    if named is None:
        return document.content
    with suppress(ValueError, SourceError):
        media_type, theirs = await registry.get_manifest(repository, str(named))
        if media_type == document.descriptor.media_type:
            return tagged_with(tag, theirs, document.content)
    where = f"{registry.name}/{repository}:{tag}"
    detail = f"names {named} already, with which {document.descriptor.digest} cannot be joined"
    hint = "nothing was overwritten; remove it there, or push the image without what refers to it"
    raise RegistryError(Code.REGISTRY_TAG_EXISTS, where, detail, hint=hint)


def _by_subject(referrers: Iterable[Document]) -> Mapping[Digest, list[Document]]:
    by_subject: dict[Digest, list[Document]] = {}
    for document in referrers:
        if document.manifest.subject is not None:
            by_subject.setdefault(document.manifest.subject.digest, []).append(document)
    return by_subject


def _tagged(image: Image) -> Iterator[tuple[str, Document]]:
    documents = {document.descriptor.digest: document for document in image.documents}
    return ((tag, documents[digest]) for tag, digest in image.tags)


def _malformed(where: str, error: SourceError) -> RegistryError:
    hint = "have the list mended, or remove it"
    return RegistryError(Code.REGISTRY_MALFORMED, where, f"is no list of referrers: it {error.detail}", hint=hint)
