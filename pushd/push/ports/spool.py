"""What the engine needs of the spool: bytes that the daemon keeps itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from pushd.oci.compression import Encoding
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image
    from pushd.push.ports.source import Source
    from pushd.work import Compressed


class OpenSpooled(Protocol):
    """Open an entry of the spool as a source. Blocks."""

    def __call__(self, entry: str, /, *, root: Descriptor | None = None, referrers: Digest | None = None) -> Source:
        """Open it; `root` is needed only to read its image, and `referrers` what was brought with it, if anything was.

        Raises:
            SourceError: `source.not_found`, the entry is gone.
        """


class Spool(Protocol):
    """Bytes the daemon keeps itself until a job has ended, each entry of one owner."""

    async def keep(self, source: Source, image: Image, *, uid: int) -> str:
        """Copy an image into a fresh entry; give the entry's id. It is durable.

        Raises:
            SourceError: the source cannot be read, or changed.
            StoreError: `store.full`, `store.budget`.
            RequestError: `request.limit`, the owner's quota is used up.
        """

    async def compress(
        self, source: Source, image: Image, encoding: Encoding, *, uid: int, boundary: Callable[[], None]
    ) -> Compressed:
        """Copy an image into a fresh entry with its plain layers compressed. It is durable.

        The plain bytes are hashed on the way, and what is compressed on the way out. Layers that the owner's images
        had before may not be read at all: what they became then is what they become now.

        Args:
            source: where the plain bytes are.
            image: with the plain layers.
            encoding: how they are compressed.
            uid: the owner.
            boundary: called between two pieces; what it raises ends it, and nothing is kept.

        Raises:
            SourceError: the source cannot be read, changed, or a layer is not what its digest says.
            StoreError: `store.full`, `store.budget`.
            RequestError: `request.limit`, the owner's quota is used up.
        """

    async def distrust(self, digests: Iterable[Digest]) -> None:
        """Use nothing under these digests again for an image to come: bytes of theirs were found to be others."""

    def using(self, entry: str, *, uid: int) -> AbstractContextManager[None]:
        """Keep an entry of `uid` from expiring while the context lasts.

        Raises:
            RequestError: `request.not_found`, there is no such entry, or it is somebody else's.
        """

    async def discard(self, entry: str, reason: str) -> None:
        """Remove an entry. Idempotent."""

    async def sweep(self, now: datetime, bound: Collection[str]) -> None:
        """Remove what has expired, but for what is in use and the entries in `bound`, which jobs need."""

    @property
    def entries(self) -> Collection[str]:
        """The ids of all entries."""

    @property
    def size(self) -> int:
        """Bytes of all entries, those reserved and not yet arrived included."""
