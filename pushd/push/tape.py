"""A blob read in order, hashed as it is read, and given to the wire piece by piece.

One hop to a thread reads a piece and hashes it; while the wire takes one piece the next is already on its way (read
ahead by one). What another reader of the same file has just had hashed is in the page cache, and read without a hop
when it is needed: a tenth of the CPU of a push to four registries. The piece that ends the blob is withheld until the
digest is known to match, in every form of upload: a source that lies never commits anything.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import anyio

from pushd.push.hashing import compare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from concurrent.futures import Executor, Future

    from pushd.oci.descriptor import Descriptor
    from pushd.push.hashing import Hashing
    from pushd.push.ports.source import BlobReader


class Tape:
    """One blob on its way out.

    Args:
        blob: what it is to be.
        reader: gives its bytes; closed with it.
        piece_size: bytes read, hashed and sent at once.
        threads: where reading and hashing happens.
        hashing: what its bytes go through.

    Attributes:
        position: bytes that have gone through the hash.
    """

    def __init__(
        self,
        blob: Descriptor,
        reader: BlobReader,
        *,
        piece_size: int,
        threads: Executor,
        hashing: Hashing,
    ) -> None:
        self._blob = blob
        self._reader = reader
        self._piece_size = piece_size
        self._threads = threads
        self._hashing = hashing
        self._ahead: Future[bytes] | None = None
        self.position = 0

    def body(self, start: int, stop: int) -> TapeBody:
        """Give bytes `start` to `stop` (exclusive) as the body of one request. The hash must stand at `start`.

        Pulling it raises SourceError: `source.blob_digest` instead of the last piece of a blob that is not what its
        digest says, `source.changed`, `source.unreadable`.
        """
        if start != self.position:
            raise ValueError(f"the hash stands at {self.position}, the body starts at {start}")
        self._hashing.mark(start)
        return TapeBody(self, start, stop)

    async def rehash(self, offset: int) -> None:
        """Bring the hash to exactly the first `offset` bytes, from the nearest place it can go back to.

        Raises:
            SourceError: the source cannot be read, or changed.
        """
        await self.settle()
        self.position = self._hashing.rewind(offset)
        while self.position < offset:
            await asyncio.wrap_future(self._read(min(self._piece_size, offset - self.position)))
            await self.settle()

    def check(self) -> None:
        """Compare what went through the hash with the digest; the whole blob must have.

        Raises:
            SourceError: `source.blob_digest`.
        """
        compare(self._hashing, self._blob, self.position)

    async def close(self) -> None:
        """Close the reader, when nobody reads from it any more."""
        await self.settle()
        self._reader.close()

    async def settle(self) -> None:
        """Wait for the read under way, so that nothing touches the hash or the descriptor any more."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and not ahead.cancel():
            with anyio.CancelScope(shield=True):  # one read of one piece: as long as the disk takes
                settled = asyncio.wrap_future(ahead)
                await asyncio.wait([settled])
                settled.exception()  # whoever wants the piece hears of it; asyncio is not to tell of it as well

    async def pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Give the pieces from `start` to `stop`, reading ahead by one."""
        offset = start
        self._read_ahead(stop)
        while offset < stop:
            piece = await self._following(stop)
            offset += len(piece)
            if offset == self._blob.size:
                self.check()
            self._read_ahead(stop)
            yield piece

    def _read_ahead(self, stop: int) -> None:
        length = min(self._piece_size, stop - self.position)
        if length and not self._hashing.passed(self.position + length):
            self._read(length)

    async def _following(self, stop: int) -> bytes:
        if self._ahead is not None:
            piece = await asyncio.wrap_future(self._ahead)
            self._ahead = None
            return piece
        await asyncio.sleep(0)  # a wire that takes whatever it is given would leave nobody else a turn
        offset = self.position
        self.position = min(stop, offset + self._piece_size)
        return self._reader.read(offset, self.position - offset)

    def _read(self, length: int) -> Future[bytes]:
        offset, hashing, reader = self.position, self._hashing, self._reader

        def read() -> bytes:
            piece = reader.read(offset, length)
            hashing.take(offset, piece)
            return piece

        self.position += length
        self._ahead = self._threads.submit(read)
        return self._ahead


class Pieces(Protocol):
    """What gives a blob piece by piece."""

    def pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Give the pieces from `start` to `stop`."""


class TapeBody:
    """A part of a tape as the body of one request."""

    def __init__(self, tape: Pieces, start: int, stop: int) -> None:
        self._tape = tape
        self._start = start
        self._stop = stop

    @property
    def length(self) -> int:
        """Bytes it will give."""
        return self._stop - self._start

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._tape.pieces(self._start, self._stop)
