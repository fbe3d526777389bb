"""Bodies of requests, as the engine would hand them over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Pieces:
    """Pieces of bytes, one after another.

    Args:
        pieces: the bytes; an exception among them is raised in its turn.
        pause: seconds before each piece.

    Attributes:
        length: bytes announced.
        pulled: how many pieces were asked for and given.
        begun: how often iteration began.
        over: set when it ended, in whatever way.
    """

    def __init__(self, *pieces: bytes | Exception, pause: float = 0.0) -> None:
        self._pieces = pieces
        self._pause = pause
        self.length = sum(len(piece) for piece in pieces if isinstance(piece, bytes))
        self.pulled = 0
        self.begun = 0
        self.over = anyio.Event()

    def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun += 1
        return self._give()

    async def _give(self) -> AsyncIterator[bytes]:
        try:
            for piece in self._pieces:
                if self._pause:
                    await anyio.sleep(self._pause)
                if isinstance(piece, Exception):
                    raise piece
                self.pulled += 1
                yield piece
        finally:
            self.over.set()


def large(megabytes: int) -> Pieces:
    """Give more than any kernel takes unread: pieces of a megabyte."""
    piece = bytes(1 << 20)
    return Pieces(*[piece] * megabytes)
