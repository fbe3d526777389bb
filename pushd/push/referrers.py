"""What refers to an image, at its destination: whether it can be found there, and what is done so that it can.

Two deliveries of this daemon never write the same list or tag at once. Of others who write it nothing keeps them apart:
registries offer no write that depends on what was read. So what was written is read back, at once and when all else
is done, and written again where it was lost; what others have written stays.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from pushd.errors import Code, RegistryError, SourceError
from pushd.oci.manifest import MAX_SIZE
from pushd.oci.media_types import OCI_INDEX
from pushd.oci.referrers import listing_with, read_listing, referrers_tag, tagged_with

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

_TRIES: Final = 6
_PAUSE: Final = 0.2
"""Seconds before what was written is written once more; as many more each time."""


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


@dataclass(frozen=True, slots=True)
class Referring:
    """Sees to it that the referrers of one delivery are found.

    Attributes:
        locks: one at a time writes a tag.
        put: puts a manifest under a tag: the tag, its content, its media type.
        duties: the tags that were seen to, what each is to name, and its media type.
    """

    registry: Registry
    repository: str
    locks: KeyedLocks[str]
    put: Callable[[str, bytes, str], Awaitable[None]]
    duties: list[tuple[str, Wanted, str]] = field(default_factory=list)

    async def listing(self, referrers: Iterable[Document]) -> None:
        """List referrers that the registry does not list by itself ("Pushing Manifests with Subject").

        Raises:
            RegistryError: the registry refused; `registry.malformed`, what is under a referrers tag is no list, or
                there is no room in it; `registry.unavailable`, others overwrite it all the time.
        """
        for subject, documents in _by_subject(referrers).items():
            tag = referrers_tag(subject)
            await self._see_to(tag, partial(self._listing, tag, documents), OCI_INDEX)

    async def tagging(self, image: Image, wanted: Collection[Digest]) -> None:
        """Put those of an image's documents that are `wanted` under their tags of cosign's.

        Raises:
            RegistryError: the registry refused; `registry.tag_exists`, there is something else already, and they
                cannot be joined; `registry.unavailable`, others overwrite it all the time.
        """
        for tag, document in _tagged(image):
            if document.descriptor.digest in wanted:
                named = partial(_wanted, self.registry, self.repository, tag, document)
                await self._see_to(tag, named, document.descriptor.media_type)

    async def check(self) -> None:
        """Look once more whether all that was seen to is as it should be; raises as that does."""
        for duty in self.duties:
            await self._write(*duty)

    async def _see_to(self, tag: str, wanted: Wanted, media_type: str) -> None:
        self.duties.append((tag, wanted, media_type))
        await self._write(tag, wanted, media_type)

    async def _listing(self, tag: str, documents: Sequence[Document]) -> bytes | None:
        """Give the list that is to be under a referrers tag; None where it is as it should be."""
        where = f"{self.registry.name}/{self.repository}:{tag}"
        try:
            found = await self.registry.find_manifest(self.repository, tag)
            content = listing_with(None if found is None else found[1], documents)
        except SourceError as error:
            raise _malformed(f"{where}, {error.subject}", error) from error
        if content is not None and len(content) > MAX_SIZE:
            detail = "lists so many referrers that there is no room for another"
            raise RegistryError(Code.REGISTRY_MALFORMED, where, detail, hint="remove those that nobody needs")
        return content

    async def _write(self, tag: str, wanted: Wanted, media_type: str) -> None:
        """Put under a tag what is wanted, which is asked again, with what is there then, until nothing more is."""
        where = f"{self.registry.name}/{self.repository}:{tag}"
        async with self.locks.holding(where):
            for tried in range(_TRIES):
                content = await wanted()
                if content is None:
                    return
                if tried:
                    await anyio.sleep(_PAUSE * tried)  # so that whoever else writes it comes to an end
                await self.put(tag, content, media_type)
            if await wanted() is None:
                return
        detail = f"was put {_TRIES} times, and is not there when it is read back: others overwrite it"
        raise RegistryError(Code.REGISTRY_UNAVAILABLE, where, detail)


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
