"""The stream of events, as NDJSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import anyio
from aiohttp import web

from pushd.api import parameters
from pushd.api.documents import event_line
from pushd.telemetry.faults import fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pushd.api.held import Held
    from pushd.api.patience import Patience
    from pushd.api.ports import Jobs
    from pushd.push.ports import Emit
    from pushd.telemetry.events import Event

_KEEP_ALIVE: Final = b"\n"


class EventRoutes:
    """Watch what happens.

    What a reader has not taken is bounded by the connection's buffer (64 KiB, and as much in the kernel): one
    that falls behind is waited for briefly, then disconnected, and comes back with the last number it saw.
    """

    def __init__(self, jobs: Jobs, held: Held, emit: Emit, patience: Patience) -> None:
        self._jobs = jobs
        self._held = held
        self._emit = emit
        self._patience = patience

    def routes(self) -> list[web.RouteDef]:
        """Give the table of routes."""
        return [web.get("/v1/events", self.events, allow_head=False)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Stream events, one JSON object a line; an empty line is a keep-alive."""
        wanted = parameters.subscription(request.query.items())
        if wanted.job_id is not None:
            await self._jobs.get(wanted.job_id)  # an unknown job is a 404, not an empty stream
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        await response.prepare(request)
        stream = self._jobs.events(after=wanted.after, job_id=wanted.job_id, follow=wanted.follow)
        try:
            async with _closing(stream):
                with self._held.hold():
                    async for event in stream:
                        with self._reader_in_time():
                            await response.write(_KEEP_ALIVE if event is None else event_line(event))
            with self._reader_in_time():
                await response.write_eof()
        except _ReaderGoneError:
            _disconnect(request)
        except Exception as error:  # noqa: BLE001 (the 200 is out: what is left is to tell it, and to cut the stream)
            self._emit(fault(error, where=f"{request.method} {request.path}"))
            _disconnect(request)
        return response

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


@asynccontextmanager
async def _closing(stream: AsyncIterator[Event | None]) -> AsyncIterator[None]:
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
