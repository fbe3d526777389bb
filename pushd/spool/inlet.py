"""Between the wire and a file: bytes are gathered while those before them are written.

One hop to a thread writes and hashes about a mebibyte; meanwhile the next comes in. So a file on its way in costs two
of those in memory, and its bytes are copied no second time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import anyio

from pushd.spool.threads import finished

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from pushd.spool.arrival import Arrival

BATCH: Final = 1 << 20
"""Bytes written and hashed at once."""
_PIECES: Final = 1024
"""Pieces written at once: IOV_MAX of Linux."""


class Inlet:
    """The bytes of one request on their way into one file."""

    def __init__(self, arrival: Arrival, threads: Executor) -> None:
        self._arrival = arrival
        self._threads = threads
        self._gathered: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Future[None] | None = None

    async def put(self, piece: bytes) -> None:
        """Take some bytes; wait when those before them are not written yet.

        Raises:
            StoreError: the disk refused those before them.
        """
        self._gathered.append(piece)
        self._size += len(piece)
        if self._size >= BATCH or len(self._gathered) == _PIECES:
            await self._written()
            self._write()

    async def settle(self) -> None:
        """Have all that was taken written, also when the task is cancelled.

        Raises:
            StoreError: the disk refused.
        """
        with anyio.CancelScope(shield=True):
            await self._written()
            if self._gathered:
                self._write()
                await self._written()

    def _write(self) -> None:
        gathered, self._gathered, self._size = self._gathered, [], 0
        self._writing = asyncio.wrap_future(self._threads.submit(self._arrival.append, gathered))

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            await finished(writing)
        except Exception:
            self._gathered.clear()  # what does not follow on what is there is of no use
            raise
