"""Entries that are filled by the daemon itself, from a source: whole images, as they are or compressed."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

import anyio

from pushd.oci.compression import plain_layers, with_packed
from pushd.spool.compressing import compress_layers, room_for
from pushd.spool.copying import copy_image
from pushd.spool.threads import in_thread
from pushd.work import Compressed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from pushd.oci.compression import Encoding, Packed, Plain
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image
    from pushd.spool.copying import Source
    from pushd.spool.kept import Kept
    from pushd.spool.shelf import Shelf


class Filler:
    """Fills entries that are there and empty, as far as the disk goes; what they weigh is for others to count.

    Args:
        shelf: where entries are.
        kept: what layers of images before became.
        threads: where files are read and written.
    """

    def __init__(self, shelf: Shelf, kept: Kept, threads: Executor) -> None:
        self._shelf = shelf
        self._kept = kept
        self._threads = threads
        self._places = anyio.CapacityLimiter(os.cpu_count() or 1)

    async def copy(self, source: Source, image: Image, entry: str) -> None:
        """Copy an image into an entry. It is durable, and not hashed: the push does that.

        Raises:
            SourceError, StoreError, OSError: as `copy_image` does.
        """
        await copy_image(source, image, partial(self._shelf.new_blob, entry), self._threads)
        await in_thread(self._threads, partial(self._shelf.sync_blobs, entry, files_of(image)))

    async def compress(
        self, source: Source, image: Image, encoding: Encoding, entry: str, *, uid: int, boundary: Callable[[], None]
    ) -> Compressed:
        """Copy an image into an entry of `uid` with its plain layers compressed. It is durable.

        Raises:
            SourceError, StoreError, OSError: as `compress_layers`, `with_packed` and `copy_image` do; and whatever
                `boundary` does, which is called again and again.
        """
        began = time.monotonic()
        layers = plain_layers(image, encoding)
        reused = await in_thread(self._threads, partial(self._take, layers, entry, uid))
        made = await compress_layers(
            source,
            [layer for layer in layers if layer not in reused],
            self._shelf,
            entry,
            threads=self._threads,
            places=self._places,
            boundary=boundary,
            done=partial(self._keep, entry, uid),
        )
        packed = {**reused, **made}
        after = with_packed(image, encoding, packed)
        there = frozenset(one.digest for one in packed.values())
        create = partial(self._shelf.new_blob, entry)
        await copy_image(source, after, create, self._threads, there=there, boundary=boundary)
        await in_thread(self._threads, partial(self._shelf.sync_blobs, entry, files_of(after)))
        return Compressed(
            image=after,
            spool=entry,
            layers=len(layers),
            reused=len(reused),
            before=sum(layer.size for layer in layers),
            after=sum(one.size for one in packed.values()),
            seconds=time.monotonic() - began,
        )

    def _take(self, layers: Sequence[Plain], entry: str, uid: int) -> dict[Plain, Packed]:
        """Put into an entry what is kept of these layers of its user; give what it is."""
        taken: dict[Plain, Packed] = {}
        for number, plain in enumerate(layers):
            name = f"kept-{number}"
            packed = self._kept.take(uid, plain, self._shelf.incoming(entry, name))
            if packed is not None:
                self._shelf.shelve(entry, name, packed.digest)
                taken[plain] = packed
        return taken

    def _keep(self, entry: str, uid: int, plain: Plain, packed: Packed) -> None:
        """Keep what a layer became for the next image of its user, whatever becomes of the job."""
        self._kept.keep(uid, plain, packed, self._shelf.blob(entry, packed.digest))


def files_of(image: Image) -> Mapping[Digest, int]:
    """Give the sizes in bytes of the files an image has in an entry."""
    files = {document.descriptor.digest: len(document.content) for document in image.documents}
    return files | {blob.digest: blob.size for blob in image.blobs}


def most(image: Image, encoding: Encoding) -> int:
    """Give the bytes to be reserved for an image whose layers are to be compressed: more than it can come to."""
    return image.size + room_for(plain_layers(image, encoding))
