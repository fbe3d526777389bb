"""An image copied into the spool, for callers who delete their files after they handed in a job."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Protocol

import anyio.lowlevel

from pushd.spool.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Executor

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image


class Reader(Protocol):
    """What of a blob's reader is needed. Blocks."""

    def read(self, offset: int, length: int, /) -> bytes:
        """Read exactly `length` bytes at `offset`.

        Raises:
            SourceError: it cannot be read, or changed.
        """

    def copy_to(self, fd: int, /) -> None:
        """Copy all of it to a file, at its current offset.

        Raises:
            SourceError: it cannot be read, or changed.
            OSError: it cannot be written.
        """

    def close(self) -> None:
        """Release it."""


class Source(Protocol):
    """What of a source is needed. Blocks."""

    def open(self, blob: Descriptor, /) -> Reader:
        """Open one blob for reading.

        Raises:
            SourceError: it cannot be.
        """


async def copy_image(
    source: Source,
    image: Image,
    create: Callable[[Digest], int],
    threads: Executor,
    *,
    there: Collection[Digest] = (),
    boundary: Callable[[], None] = lambda: None,
) -> None:
    """Copy each document and each blob of an image once.

    Args:
        source: where its blobs are.
        image: its documents are copied from here: these bytes were checked.
        create: gives the descriptor of a new, empty file for a digest; blocks.
        threads: where it is done.
        there: blobs that are not copied: they have their files.
        boundary: called before each blob; what it raises ends it.

    Raises:
        SourceError: a blob cannot be read, or changed.
        StoreError: `store.full`, `store.unavailable`.
        OSError: the disk refused in the middle of a file.
    """
    documents = {document.descriptor.digest: document.content for document in image.documents}

    def write_documents() -> None:
        for digest, content in documents.items():
            with os.fdopen(create(digest), "wb") as file:
                file.write(content)

    def copy(blob: Descriptor) -> None:
        reader = source.open(blob)
        try:
            with os.fdopen(create(blob.digest), "wb") as file:
                reader.copy_to(file.fileno())
        finally:
            reader.close()

    await in_thread(threads, write_documents)
    for blob in image.blobs:
        if blob.digest not in documents and blob.digest not in there:
            # A thread that nobody walks away from hides that they were cancelled.
            await anyio.lowlevel.checkpoint_if_cancelled()
            boundary()
            await in_thread(threads, partial(copy, blob))
