"""The stream of events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import anyio
from aiohttp import web

from pushd.api import parameters
from pushd.api.accept import preferred
from pushd.api.access import PRINCIPAL
from pushd.api.lines import FORMS, PIECE, Lines
from pushd.api.seats import Seats
from pushd.telemetry.faults import fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from aiohttp.abc import AbstractStreamWriter

    from pushd.api.held import Held
    from pushd.api.parameters import Subscription
    from pushd.api.patience import Patience
    from pushd.api.ports import Jobs
    from pushd.push.ports.emit import Emit
    from pushd.telemetry.events import Event

_HIGH_WATER: Final = PIECE
"""Bytes a reader has not taken after which nothing more is written until it does."""


class EventRoutes:
    """Watch what happens.

    What a reader has not taken is bounded, by `_HIGH_WATER` and one piece (and the kernel's own buffer): one that
    falls behind is waited for briefly, then disconnected, and comes back with the last number it saw.
    """

    def __init__(self, jobs: Jobs, held: Held, emit: Emit, *, per_user: int, patience: Patience) -> None:
        self._jobs = jobs
        self._held = held
        self._emit = emit
        self._seats = Seats(per_user)
        self._lines = {media_type: Lines(form) for media_type, form in FORMS.items()}
        self._patience = patience

    def routes(self) -> list[web.RouteDef]:
        """Give the table of routes."""
        return [web.get("/v1/events", self.events, allow_head=False)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Stream events, as NDJSON or as server-sent events. Whatever is refused is refused before the 200."""
        wanted = parameters.subscription(request.query.items(), request.headers.getall("Last-Event-ID", []))
        media_type = preferred(request.headers.getall("Accept", []), tuple(FORMS))
        with self._seats.taken(request[PRINCIPAL].uid):
            if wanted.job_id is not None:
                await self._jobs.get(wanted.job_id, caller=request[PRINCIPAL])  # unknown: a 404, no empty stream
            await self._jobs.position(wanted.after, stream=wanted.stream)
            return await self._stream(request, wanted, media_type)

    async def _stream(self, request: web.Request, wanted: Subscription, media_type: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": media_type, "Cache-Control": "no-store"})
        stream = self._jobs.events(
            after=wanted.after, job_id=wanted.job_id, follow=wanted.follow, caller=request[PRINCIPAL]
        )
        try:
            async with _closing(stream):
                with self._reader_in_time():
                    writer = await _begun(request, response)
                with self._held.hold(request):
                    async for batch in stream:
                        await self._write(writer, media_type, batch)
            with self._reader_in_time():
                await response.write_eof()
        except _ReaderGoneError:
            _disconnect(request)
        except Exception as error:  # noqa: BLE001 (the 200 is out: what is left is to tell it, and to cut the stream)
            self._emit(fault(error, where=f"{request.method} {request.path}"))
            _disconnect(request)
        return response

    async def _write(self, writer: AbstractStreamWriter, media_type: str, batch: Sequence[Event]) -> None:
        for piece in self._lines[media_type].pieces(batch):
            with self._reader_in_time():
                await writer.write(piece)
                await writer.drain()

    @contextmanager
    def _reader_in_time(self) -> Iterator[None]:
        """Give up on a reader that left, or does not take its bytes in time."""
        with anyio.move_on_after(self._patience.reader) as scope:
            try:
                yield
            except ConnectionError as error:
                raise _ReaderGoneError from error
        if scope.cancelled_caught:
            raise _ReaderGoneError


class _ReaderGoneError(Exception):
    """A reader left, or is too slow to be waited for."""


async def _begun(request: web.Request, response: web.StreamResponse) -> AbstractStreamWriter:
    """Send the head; give what the rest is written with."""
    writer = await response.prepare(request)
    if writer is None or request.transport is None:
        raise _ReaderGoneError
    request.transport.set_write_buffer_limits(high=_HIGH_WATER)
    return writer


@asynccontextmanager
async def _closing(stream: AsyncIterator[Sequence[Event]]) -> AsyncIterator[None]:
    """Let the stream clean up now, not when the garbage collector finds it."""
    try:
        yield
    finally:
        if isinstance(stream, AsyncGenerator):
            with anyio.CancelScope(shield=True):
                await stream.aclose()


def _disconnect(request: web.Request) -> None:
    """Drop the connection with what is buffered: an end without the last chunk tells the reader it is no end."""
    if request.transport is not None:
        request.transport.abort()
