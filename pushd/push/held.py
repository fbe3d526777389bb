"""A small blob: read and hashed in one hop to a thread, and held in memory while it travels."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushd.oci.digest import Digest
from pushd.push.hashing import mismatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from concurrent.futures import Executor

    from pushd.oci.descriptor import Descriptor
    from pushd.push.ports.source import Source


class Held:
    """A blob in memory; what a `Tape` is to large ones. It exists only if it is what its digest says."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @classmethod
    async def read(cls, source: Source, blob: Descriptor, *, threads: Executor) -> Held:
        """Read it.

        Raises:
            SourceError: `source.blob_digest`, it is not what its digest says; `source.changed`, `source.unreadable`.
        """

        def read() -> Held:
            reader = source.open(blob)
            try:
                content = reader.read(0, blob.size)
            finally:
                reader.close()
            return cls.checked(blob, content)

        return await asyncio.wrap_future(threads.submit(read))

    @classmethod
    def checked(cls, blob: Descriptor, content: bytes) -> Held:
        """Take it as it was read.

        Raises:
            SourceError: `source.blob_digest`, it is not what its digest says.
        """
        found = Digest.of(content, blob.digest.algorithm)
        if found != blob.digest:
            raise mismatch(blob.digest, found.encoded)
        return cls(content)

    def body(self, start: int, stop: int) -> HeldBody:
        """Give bytes `start` to `stop` (exclusive) as the body of one request."""
        return HeldBody(self._content[start:stop])

    async def rehash(self, offset: int) -> None:
        """Do nothing: all of it has been hashed."""

    def check(self) -> None:
        """Do nothing: it has been compared with its digest."""

    async def close(self) -> None:
        """Do nothing: nothing is open."""


class HeldBody:
    """A part of it as the body of one request.

    Attributes:
        content: all of the part.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content

    @property
    def length(self) -> int:
        """Bytes it will give."""
        return len(self.content)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content
