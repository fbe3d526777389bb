"""The bytes of one blob for its transfer: opened when they are first needed, and hashed as they are read."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from pushd.push.held import Held
from pushd.push.origin import Origin
from pushd.push.places import SMALL_MAX
from pushd.push.relay import Relay
from pushd.push.tape import Tape

if TYPE_CHECKING:
    from pushd.oci.descriptor import Descriptor
    from pushd.push.ports.source import BlobReader, Source
    from pushd.push.run import Means
    from pushd.work import FileIdentity


class Content:
    """What is sent of a blob: held in memory when it is small, or else a tape.

    Args:
        means: what all transfers share.
        source: where its bytes come from: files, or another registry.
        blob: what they are to be.
        piece_size: bytes of a large one that are read, hashed and sent at once.
    """

    def __init__(self, means: Means, source: Source | Origin, blob: Descriptor, *, piece_size: int) -> None:
        self._means = means
        self._source = source
        self._blob = blob
        self._piece_size = piece_size
        self._opened: Tape | Relay | Held | None = None
        self._unknown: FileIdentity | None = None  # of the file, where its digest is not known yet

    async def open(self) -> Tape | Relay | Held:
        """Open the blob when it is first needed: one that is there already is never read.

        Raises:
            SourceError: it cannot be read, or a small one is not what its digest says.
        """
        if self._opened is None:
            source, threads = self._source, self._means.threads
            if isinstance(source, Origin):
                self._opened = await source.content(self._blob, piece_size=self._piece_size, threads=threads)
            elif self._blob.size <= SMALL_MAX:
                self._opened = await Held.read(source, self._blob, threads=threads)
            else:
                self._opened = await self._tape_of(await anyio.to_thread.run_sync(source.open, self._blob))
        return self._opened

    async def _tape_of(self, reader: BlobReader) -> Tape:
        identity, digest = reader.identity, self._blob.digest
        try:
            known = await self._means.store.validated(identity)
        except BaseException:
            reader.close()
            raise
        self._unknown = identity if known != digest else None
        hashing = self._means.hashings.of(identity, digest, known=known, now=datetime.now(UTC))
        return Tape(self._blob, reader, piece_size=self._piece_size, threads=self._means.threads, hashing=hashing)

    async def rehash(self, offset: int) -> None:
        """Bring the running hash to exactly the first `offset` bytes; at the end it is compared with the digest.

        Raises:
            SourceError: it cannot be read, or is not what its digest says.
        """
        if offset or self._opened is not None:
            tape = await self.open()
            # Places there are as many as the disk bears; one that waits for a network keeps nobody from it.
            async with nullcontext() if isinstance(tape, Relay) else self._means.rehashing:
                await tape.rehash(offset)
            if offset == self._blob.size:
                tape.check()

    async def remember(self) -> None:
        """Remember what the file was found to be, where that was not known: all of it went through the hash."""
        if self._unknown is not None:
            await self._means.store.validate(self._unknown, self._blob.digest, datetime.now(UTC))

    async def close(self) -> None:
        """Release what is open. Idempotent."""
        if self._opened is not None:
            await self._opened.close()
