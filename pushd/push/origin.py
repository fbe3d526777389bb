"""An image in a registry as a source: read with the rights of whoever submitted the job, as its bytes are sent.

Nothing of it is stored but its manifests, with the job: what a blob needs again after a break is read again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
from anyio import from_thread, to_thread

from pushd.errors import Code, RegistryError, SourceError
from pushd.job import ANONYMOUS, AUTO, DAEMON, HANDED
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.gathering import with_referrers
from pushd.oci.image import read_image
from pushd.oci.media_types import MANIFESTS
from pushd.oci.reference import Reference
from pushd.push import survey
from pushd.push.about import About
from pushd.push.held import Held
from pushd.push.persistence import as_source, persist
from pushd.push.places import SMALL_MAX
from pushd.push.relay import Relay
from pushd.push.renewal import Renewal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from concurrent.futures import Executor

    from pushd.oci.gathering import Found
    from pushd.oci.image import Image
    from pushd.oci.platform import Platform
    from pushd.push.gate import Gates
    from pushd.push.ports.registry import Registries, Registry, Stream
    from pushd.work import Asker

T = TypeVar("T")

_SCHEME: Final = "docker://"
_WORDS: Final = frozenset({AUTO, HANDED, DAEMON, ANONYMOUS})
"""Choices of a credential that mean something at any registry."""
_READ: Final = 16
"""Images whose manifests are read at once."""
_INCOMPLETE: Final = "that registry does not hold all of the image any more: push it there again"
_PART: Final = "if it has only some platforms of several, choose those with --platform"
"""The next steps where a blob, and where an image of an index, is not there."""


def origin_of(source: str) -> Reference | None:
    """Give the reference a source names, as skopeo does, `docker://REF`; None where it is another kind.

    Raises:
        RequestError: `request.invalid_reference`.
    """
    return Reference.parse(source) if source.startswith(_SCHEME) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Opens images in registries.

    Attributes:
        rng: gives numbers in [0, 1).
        reading: how many of them are read at once.
    """

    registries: Registries
    gates: Gates
    rng: Callable[[], float]
    reading: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_READ))

    async def open(self, reference: Reference, *, asker: Asker, beside: Collection[str]) -> Origin:
        """Open the image at `reference` with the credential that is the asker's to use there. No request is made.

        A login that the asker chose by its name is for the destinations, and for a source in the same registry;
        elsewhere the source is read with what is found where nothing is chosen.

        Args:
            reference: of the image.
            asker: who asks.
            beside: the registries of the destinations.

        Raises:
            SourceError: `source.needs_credential`, the asker's cannot be used; `source.unreadable`,
                `source.unavailable`, the daemon's cannot be had.
            RequestError: `request.forbidden`, `request.not_found`; as `Registries.connect` does.
        """
        if asker.choice not in _WORDS and reference.registry not in beside:
            asker = replace(asker, choice=AUTO)
        try:
            registry = await self.gates.connect(self.registries, reference, asker=asker)
        except RegistryError as error:
            raise as_source(error) from error
        return Origin(
            reference, registry, asker=asker, renewal=Renewal(self.registries), rng=self.rng, reading=self.reading
        )


class Origin:
    """One image in a registry."""

    def __init__(
        self,
        reference: Reference,
        registry: Registry,
        *,
        asker: Asker,
        renewal: Renewal,
        rng: Callable[[], float],
        reading: anyio.CapacityLimiter,
    ) -> None:
        self._reference = reference
        self._registry = registry
        self._asker = asker
        self._renewal = renewal
        self._rng = rng
        self._reading = reading

    async def image(self, platforms: Collection[Platform] = (), /) -> Image:
        """Read and check the root and all manifests below it, and that each blob is there with its size.

        Of an index only what is for `platforms`, if there are any; see `pushd.oci.image.read_image`.

        Raises:
            SourceError: with the code of what is wrong and the name of where.
        """
        root, content = await self._root()

        def fetch(document: Descriptor) -> bytes:
            return content if document == root else from_thread.run(self._document, document)

        # In a thread, as those of files are: megabytes of JSON would hold up the loop.
        image = await to_thread.run_sync(read_image, root, fetch, platforms, limiter=self._reading)
        await self._check_there(image.blobs)
        return image

    async def with_referrers(self, image: Image, /) -> Image:
        """Give an image that was read here with all that refers to it, complete as well.

        The registry is asked once about each manifest, for what it lists and for each of cosign's tags.

        Raises:
            SourceError: with the code of what is wrong and the name of where; see `pushd.oci.gathering`.
        """
        about = About(self._registry, self._reference.repository, self._rng)

        def look(subjects: Sequence[Digest]) -> Sequence[Found]:
            return from_thread.run(about.look, subjects)

        def fetch(document: Descriptor) -> bytes:
            known = about.content(document)
            return from_thread.run(self._document, document) if known is None else known

        whole = await to_thread.run_sync(with_referrers, image, look, fetch, limiter=self._reading)
        there = set(image.blobs)
        await self._check_there([blob for blob in whole.blobs if blob not in there])
        return whole

    def mountable(self, registry: Registry, repository: str) -> str | None:
        """Give the repository from which blobs may be mounted into another one; None where they must travel.

        It is one registry, spoken to with one credential: a mount takes nothing that could not be read as well.
        """
        one = (registry.name, registry.credential) == (self._registry.name, self._registry.credential)
        return self._reference.repository if one and repository != self._reference.repository else None

    async def content(self, blob: Descriptor, *, piece_size: int, threads: Executor) -> Relay | Held:
        """Give what is sent of a blob: held in memory when it is small, or else read as it is sent.

        Raises:
            SourceError: a small one cannot be read, or is not what its digest says.
        """
        if blob.size <= SMALL_MAX:
            return Held.checked(blob, await persist(partial(self._whole, blob), rng=self._rng))
        return Relay(blob, partial(self._stream, blob), piece_size=piece_size, threads=threads, rng=self._rng)

    async def judged(self, error: SourceError) -> SourceError:
        """Give the error to wait by, in place of one of a read that was refused and was not before.

        Raises:
            SourceError: the registry did not say which it is, and may later.
        """
        return await self._renewal.to_read(self._registry, self._reference, self._asker, error)

    def close(self) -> None:
        """Do nothing: what is open of a blob is closed with it."""

    def __str__(self) -> str:
        return f"{_SCHEME}{self._reference}"

    async def _root(self) -> tuple[Descriptor, bytes]:
        """Read the root, by its digest where it has one."""
        it = self._reference
        try:
            media_type, content = await self._registry.get_manifest(it.repository, str(it.digest or it.tag))
        except RegistryError as error:
            raise as_source(error) from error  # at once: whoever submits it is there to try again
        algorithm = "sha256" if it.digest is None else it.digest.algorithm
        return Descriptor(media_type, Digest.of(content, algorithm), len(content)), content

    async def _document(self, document: Descriptor) -> bytes:
        if document.media_type not in MANIFESTS:
            return await persist(partial(self._whole, document), rng=self._rng)
        get = partial(self._registry.get_manifest, self._reference.repository, str(document.digest))
        _, content = await persist(partial(self._part, document, get, _PART), rng=self._rng)
        return content

    async def _check_there(self, blobs: Sequence[Descriptor]) -> None:
        absent = await survey.lacking(blobs, self._has)
        if absent:
            detail = "is not there" if len(absent) == 1 else f"and {len(absent) - 1} other blobs are not there"
            raise SourceError(Code.SOURCE_BLOB_MISSING, f"{absent[0].digest} in {self}", detail, hint=_INCOMPLETE)

    async def _has(self, blob: Descriptor) -> bool:
        return await persist(partial(self._registry.has_blob, self._reference.repository, blob), rng=self._rng)

    async def _whole(self, blob: Descriptor) -> bytes:
        """Read all of a blob, or one byte more than it should have at least."""
        stream = await self._stream(blob, 0)
        content = bytearray()
        try:
            while len(content) <= blob.size and (piece := await stream.read()):
                content += piece
        finally:
            stream.close()
        return bytes(content)

    async def _stream(self, blob: Descriptor, offset: int) -> Stream:
        get = partial(self._registry.get_blob, self._reference.repository, blob, offset)
        return await self._part(blob, get, _INCOMPLETE)

    async def _part(self, part: Descriptor, get: Callable[[], Awaitable[T]], hint: str) -> T:
        """Get what a manifest that was read leads to: where it is not found, nothing is wrong with the name."""
        try:
            return await get()
        except RegistryError as error:
            if error.code is not Code.REGISTRY_NOT_FOUND:
                raise
            raise SourceError(
                Code.SOURCE_BLOB_MISSING, f"{part.digest} in {self}", "is not there", hint=hint
            ) from error
