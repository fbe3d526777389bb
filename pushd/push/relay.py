"""A blob on its way from one registry to another: read no faster than it is sent, and hashed on the way.

What a `Tape` is to a file. A stream that breaks is opened again where it broke; one that is needed from elsewhere,
because the upload lost some of it, is opened there. The piece that ends the blob is withheld until the digest is known
to match.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from pushd.errors import Code, RegistryError
from pushd.push.hashing import Own, compare
from pushd.push.persistence import persist
from pushd.push.tape import TapeBody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from concurrent.futures import Executor, Future

    from pushd.oci.descriptor import Descriptor
    from pushd.push.ports.registry import Stream

_MARK: Final = 8 << 20
"""Bytes between two places the hash can go back to: so much, at most, is read again only to be hashed."""


class Relay:
    """One blob on its way through.

    Args:
        blob: what it is to be.
        open_: gives its bytes from an offset on.
        piece_size: bytes hashed and sent at once; no more are in memory, but for what the transport has.
        threads: where hashing happens; nobody waits for the network there.
        rng: gives numbers in [0, 1).

    Attributes:
        position: bytes that have gone through the hash.
    """

    def __init__(
        self,
        blob: Descriptor,
        open_: Callable[[int], Awaitable[Stream]],
        *,
        piece_size: int,
        threads: Executor,
        rng: Callable[[], float],
    ) -> None:
        self._blob = blob
        self._open = open_
        self._piece_size = piece_size
        self._threads = threads
        self._rng = rng
        self._hashing = Own(blob.digest)
        self._marked = 0
        self._stream: Stream | None = None
        self._read = bytearray()  # what has come and was not given yet, from `position` on
        self._taking: Future[None] | None = None
        self.position = 0

    def body(self, start: int, stop: int) -> TapeBody:
        """Give bytes `start` to `stop` (exclusive) as the body of one request. The hash must stand at `start`.

        Pulling it raises SourceError: `source.blob_digest` instead of the last piece of a blob that is not what its
        digest says; `source.interrupted` and its kind.
        """
        if start != self.position:
            raise ValueError(f"the hash stands at {self.position}, the body starts at {start}")
        self._mark()
        return TapeBody(self, start, stop)

    async def rehash(self, offset: int) -> None:
        """Bring the hash to exactly the first `offset` bytes, from the nearest place it can go back to.

        After a restart of the daemon that is the first byte: all before `offset` is read again.

        Raises:
            SourceError: it cannot be read.
        """
        await self.settle()
        position = self._hashing.rewind(offset)
        if position != self.position:
            self._let_go()
            self._read.clear()
        self.position = self._marked = position
        while self.position < offset:
            await self._piece(min(self._piece_size, offset - self.position))

    def check(self) -> None:
        """Compare what went through the hash with the digest; the whole blob must have.

        Raises:
            SourceError: `source.blob_digest`.
        """
        compare(self._hashing, self._blob, self.position)

    async def close(self) -> None:
        """Let go of the stream, and wait until nothing touches the hash any more."""
        self._let_go()
        await self.settle()

    async def settle(self) -> None:
        """Wait for the piece that is being hashed, if there is one."""
        taking, self._taking = self._taking, None
        if taking is not None and not taking.cancel():
            with anyio.CancelScope(shield=True):  # a millisecond
                settled = asyncio.wrap_future(taking)
                await asyncio.wait([settled])
                settled.exception()  # whoever wants the piece hears of it; asyncio is not to tell of it as well

    async def pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Give the pieces from `start` to `stop`. Meanwhile the kernel reads ahead, as far as its buffers go."""
        while start < stop:
            piece = await self._piece(min(self._piece_size, stop - start))
            start += len(piece)
            if start == self._blob.size:
                self.check()
                self._let_go()
            yield piece

    async def _piece(self, length: int) -> bytes:
        """Read the next bytes, and have them hashed."""
        await persist(partial(self._fill, length), rng=self._rng)
        piece = bytes(self._read[:length])
        del self._read[:length]
        self._taking = self._threads.submit(self._hashing.take, self.position, piece)
        self.position += length
        await asyncio.wrap_future(self._taking)
        if self.position - self._marked >= _MARK:
            self._mark()
        return piece

    async def _fill(self, length: int) -> None:
        """Have so many bytes in memory. What has come before a break stays."""
        while len(self._read) < length:
            wanted = self.position + len(self._read)
            if self._stream is None:
                self._stream = await self._open(wanted)
            try:
                piece = await self._stream.read()
            except BaseException:
                self._let_go()
                raise
            if not piece:
                self._let_go()
                detail = f"the registry ended it after {wanted} of {self._blob.size} bytes"
                raise RegistryError(Code.REGISTRY_INTERRUPTED, str(self._blob.digest), detail)
            # It may begin before: a registry that knows no ranges sends all of it.
            before = wanted - (self._stream.offset - len(piece))
            self._read += piece[before:] if before else piece

    def _mark(self) -> None:
        self._marked = self.position
        self._hashing.mark(self.position)

    def _let_go(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
