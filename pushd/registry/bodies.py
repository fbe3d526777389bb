"""Bodies on their way: each slice that is taken pushes the deadline of its exchange forward."""

from __future__ import annotations

import io
import math
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.abc import AbstractStreamWriter

    from pushd.registry.watch import Watch

SLICE = 256 << 10
"""Bytes of a body after which the registry must have shown that it still takes them."""
_QUICK = 0.5
"""Seconds in which a slice was taken by somebody who may be given more at once."""
_AT_ONCE = 1 << 20
"""Bytes of a body that are handed over as they are."""


class Body(Protocol):
    """The bytes of one request, pulled as the wire takes them."""

    @property
    def length(self) -> int:
        """Bytes it will give."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the pieces."""


def as_data(
    body: Body | bytes | None, watch: Watch, *, once: bool, stall: float, commit: float
) -> tuple[Any, Once | Pulled | None]:
    """Give a body as the HTTP library takes it, and what moves the watch while it is sent, if anything does.

    Args:
        body: to send.
        watch: over the exchange.
        once: whether it is not to be sent again when a connection that was kept turns out to be dead.
        stall: seconds in which the registry must take a slice.
        commit: seconds for the answer once it has all of it.
    """
    if body is None:
        return None, None
    if not isinstance(body, bytes):
        pulled = Pulled(body, watch, stall=stall, commit=commit)
        return pulled, pulled
    if once:
        sent = Once(body, watch, stall=stall, commit=commit)
        return sent, sent
    # Above a megabyte the HTTP library warns that bytes hold up the loop.
    return (io.BytesIO(body) if len(body) > _AT_ONCE else body), None


class Once(aiohttp.BytesPayload):
    """A slice of bytes, sent once: what `Pulled` is to more.

    The HTTP library tries an idempotent request again when a kept connection was dead.
    """

    error = None

    def __init__(self, content: bytes, watch: Watch, *, stall: float, commit: float) -> None:
        super().__init__(content)
        self._watch = watch
        self._stall = stall
        self._commit = commit
        self._started = False
        self.finished = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write them."""
        if self._started:
            raise aiohttp.ClientConnectionError("the connection was closed while the body was sent")
        self._started = True
        self._watch.move(self._stall)
        await super().write_with_length(writer, content_length)
        self.finished = True
        self._watch.move(self._commit)


class Pulled:
    """A body whose every slice pushes the deadline of its exchange forward; pulled once and never again.

    Slices, because a piece is chosen for the disk: a megabyte over a slow uplink shared by many takes longer than
    anybody should wait for a sign of life.
    """

    def __init__(self, body: Body, watch: Watch, *, stall: float, commit: float) -> None:
        self._body = body
        self._pieces = aiter(body)
        self._watch = watch
        self._stall = stall
        self._commit = commit
        self._rest = memoryview(b"")
        self._handed = -math.inf
        self._started = False
        self._pulling = False
        self.finished = False
        self.error: Exception | None = None

    @property
    def length(self) -> int:
        """Bytes it gives."""
        return self._body.length

    def __aiter__(self) -> AsyncIterator[memoryview]:
        # The HTTP library tries an idempotent request again when a kept connection was dead. Half of a body that
        # went down with it cannot be had again from here; whoever owns the upload asks where it stands instead.
        if self._started:
            raise aiohttp.ClientConnectionError("the connection was closed while the body was sent")
        self._started = True
        return self

    async def __anext__(self) -> memoryview:
        if not self._rest:
            self._rest = memoryview(await self._pull())
        # Where the last one was taken at once, a whole piece: handing over each slice costs as much as hashing it.
        now = self._watch.now()
        length = len(self._rest) if now - self._handed < _QUICK else SLICE
        following, self._rest = self._rest[:length], self._rest[length:]
        self._handed = now
        self._watch.move(self._stall * -(-len(following) // SLICE))
        return following

    async def _pull(self) -> bytes:
        # The registry has taken what went before; how long our own disk needs is not its fault.
        self._watch.pause()
        self._pulling = True
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            self.finished = True
            self._watch.move(self._commit)
            raise
        except Exception as error:
            self.error = error
            raise
        finally:
            self._pulling = False

    async def close(self) -> None:
        """End the body where it stands, rather than when the garbage is collected.

        One that is just being pulled has been cancelled, and ends by that.
        """
        if isinstance(self._pieces, AsyncGenerator) and not self._pulling:
            await self._pieces.aclose()
