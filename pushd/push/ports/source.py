"""What the engine needs of sources on disk: images, and the bytes in them. Those in registries are in `origin`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.image import Image
    from pushd.oci.platform import Platform
    from pushd.work import FileIdentity


class BlobReader(Protocol):
    """Random access into one blob of a source. Its methods block: call them in a thread."""

    @property
    def identity(self) -> FileIdentity:
        """What it can be told by without reading it."""

    def read(self, offset: int, length: int) -> bytes:
        """Read exactly `length` bytes at `offset`, as fresh `bytes` never written to again.

        Raises:
            SourceError: `source.changed`, the file is not what was opened; `source.unreadable`, the disk failed.
        """

    def copy_to(self, fd: int, /) -> None:
        """Write all of it to a file, from its current offset on.

        Raises:
            SourceError: as in `read`.
            OSError: writing failed.
        """

    def close(self) -> None:
        """Release the descriptor. Idempotent."""


class Source(Protocol):
    """One image somewhere on disk. Its methods block: call them in a thread."""

    def image(self, platforms: Collection[Platform] = (), /) -> Image:
        """Read and check the root and all manifests below it, and that each blob is there with its size.

        Of an index only what is for `platforms`, if there are any; see `pushd.oci.image.read_image`.

        Raises:
            SourceError: with the code of what is wrong and the name of where.
        """

    def with_referrers(self, image: Image, /) -> Image:
        """Give an image that was read here with all that refers to it, complete as well.

        Raises:
            SourceError: with the code of what is wrong and the name of where; `source.unsupported`, it can have none.
        """

    def open(self, blob: Descriptor) -> BlobReader:
        """Open one blob for reading.

        Raises:
            SourceError: it is missing, not a regular file, or of another size than `blob.size`.
        """

    def close(self) -> None:
        """Release what is open. Idempotent; readers already given stay usable."""


class OpenSource(Protocol):
    """Open a source by its name with somebody's rights. Blocks.

    Names are `oci:DIR[:REF]`, `oci-archive:FILE[:REF]`, `docker-archive:FILE[:REF]` and `dir:DIR`.
    """

    def __call__(self, name: str, /, *, uid: int, gids: frozenset[int]) -> Source:
        """Open it, as far as the user `uid` in the groups `gids` may read it.

        Raises:
            SourceError: `source.unsupported`, `source.not_found`, `source.unreadable`, `source.forbidden`, ...
        """
