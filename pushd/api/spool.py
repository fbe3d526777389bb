"""The routes of the spool: where callers bring bytes that the daemon cannot, or may not, read itself."""

from __future__ import annotations

import re
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import msgspec
from aiohttp import hdrs, web

from pushd.api import parameters
from pushd.api.access import PRINCIPAL
from pushd.api.body import Nothing, read_body, read_small
from pushd.api.documents import reply
from pushd.api.held import connected
from pushd.api.problems import problem
from pushd.errors import Code, PushdError, RequestError, StoreError
from pushd.oci.text import printable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from pushd.api.held import Held
    from pushd.api.patience import Patience
    from pushd.api.ports import Spool
    from pushd.work import SpoolFile

MAX_SIZE: Final = 1 << 60
"""Bytes of an entry: what everybody's numbers can carry. The quota is much lower."""
MAX_DROPPED: Final = 1 << 20
"""Bytes of a body nobody wants that are still read, so that the connection can go on being used."""

_OFFSET: Final = re.compile(r"[0-9]{1,18}")
_COMPLETE: Final = {"?1": True, "?0": False}
_SHOWN: Final = 160
_BUFFER: Final = 1 << 20
"""Bytes of a body that wait in memory while those before them are written; aiohttp's quarter of it costs a tenth of
the throughput, and more gains nothing."""

_T = TypeVar("_T", bound=msgspec.Struct)


class _BodyError(RequestError):
    """The body itself is what is wrong: `request.malformed`. What arrived of it is kept."""

    def __init__(self, detail: str) -> None:
        hint = "what arrived is kept: ask where the file ends, and go on from there"
        super().__init__(Code.REQUEST_MALFORMED, "body", detail, hint=hint)


class _Creation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int
    ttl: float | None = None


class _Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int


class SpoolRoutes:
    """Reserve room, bring bytes, look, take it all away."""

    def __init__(self, spool: Spool, held: Held, patience: Patience) -> None:
        self._spool = spool
        self._held = held
        self._patience = patience

    def routes(self) -> list[web.RouteDef]:
        """Give the table of routes."""
        return [
            web.post("/v1/spool", self.create),
            web.get("/v1/spool/{id}", self.get, allow_head=False),
            web.patch("/v1/spool/{id}", self.resize),
            web.delete("/v1/spool/{id}", self.remove),
            web.patch("/v1/spool/{id}/files/{name}", self.receive),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """201: the entry is there, and its bytes are reserved."""
        parameters.nothing(request.query.items())
        wanted = _decode(await read_body(request, self._patience), _Creation)
        if wanted.ttl is not None and wanted.ttl <= 0:
            raise _malformed("ttl", "must be more than 0 seconds")
        uid = request[PRINCIPAL].uid
        entry = await self._spool.create(uid=uid, size=_size(wanted.size), ttl=wanted.ttl)
        return reply(entry, status=HTTPStatus.CREATED, headers={"Location": f"/v1/spool/{entry.id}"})

    async def get(self, request: web.Request) -> web.Response:
        """Give one entry, with the offsets of its files."""
        parameters.nothing(request.query.items())
        return reply(await self._spool.get(request.match_info["id"], uid=request[PRINCIPAL].uid))

    async def resize(self, request: web.Request) -> web.Response:
        """Change how many bytes are reserved for an entry."""
        parameters.nothing(request.query.items())
        wanted = _decode(await read_body(request, self._patience), _Change)
        uid = request[PRINCIPAL].uid
        return reply(await self._spool.resize(request.match_info["id"], uid=uid, size=_size(wanted.size)))

    async def remove(self, request: web.Request) -> web.Response:
        """204: the entry is gone."""
        parameters.nothing(request.query.items())
        await read_small(request, self._patience, Nothing)
        await self._spool.remove(request.match_info["id"], uid=request[PRINCIPAL].uid)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def receive(self, request: web.Request) -> web.Response:
        """Bring bytes of one file; a body of unknown length (chunked) is as good as any other."""
        try:
            answer = reply(await self._receive(request))
        except (_BodyError, StoreError) as error:  # nothing more will come, or nothing more be taken
            return _last(request, problem(error))
        except PushdError as error:
            answer = problem(error)
        return answer if _droppable(request) else _last(request, answer)

    async def _receive(self, request: web.Request) -> SpoolFile:
        parameters.nothing(request.query.items())
        _check_plain(request)
        offset = _once(request, "Upload-Offset")
        if not _OFFSET.fullmatch(offset):
            raise _malformed("Upload-Offset", "must be a whole number of bytes")
        complete = _COMPLETE.get(_once(request, "Upload-Complete").strip())
        if complete is None:
            raise _malformed("Upload-Complete", "must be ?1 or ?0 (a boolean of RFC 8941)")
        received: list[SpoolFile] = []  # it stays empty when the daemon stops before the end
        with self._held.hold():
            async with aclosing(self._pieces(request)) as pieces:
                file = await self._spool.receive(
                    request.match_info["id"],
                    request.match_info["name"],
                    uid=request[PRINCIPAL].uid,
                    offset=int(offset),
                    pieces=pieces,
                    complete=complete,
                )
                received.append(file)
        if not received:
            hint = "what arrived is kept: go on from there when it is back"
            raise StoreError(Code.STORE_UNAVAILABLE, "spool", "the daemon stops", hint=hint)
        return received[0]

    async def _pieces(self, request: web.Request) -> AsyncGenerator[bytes, None]:
        """Give the body as it comes. There is no limit to its time as long as it does come.

        Raises:
            _BodyError: it stopped, broke off, or is not what its headers say.
        """
        content = request.content
        content.set_read_chunk_size(_BUFFER)
        while True:
            try:
                with anyio.fail_after(self._patience.body):
                    piece = await content.readany()
            except TimeoutError as error:
                raise _BodyError(f"stopped for {self._patience.body:g} seconds") from error
            except web.RequestPayloadError as error:
                raise _BodyError("is not what its headers say it is") from error
            except (ConnectionError, RuntimeError) as error:
                if connected(request):
                    raise
                raise _BodyError("broke off") from error  # nobody hears it: the caller left
            if not piece:
                return
            yield piece


def _droppable(request: web.Request) -> bool:
    """Whether aiohttp may read what is left of the body, and drop it, so that the connection can go on being used.

    It may for a little. Reading ten gigabytes that nobody wants is no kindness, nor is waiting for nobody knows what.
    """
    content = request.content
    if content.exception() is not None:
        return False
    length = request.content_length
    return content.is_eof() or (length is not None and length - content.total_bytes <= MAX_DROPPED)


def _last(request: web.Request, answer: web.Response) -> web.Response:
    """Have the connection closed after this answer, whatever is left of the body.

    A unix socket keeps what was written to it: the caller, whose sending fails, still finds the answer.
    """
    answer.force_close()
    request.content.feed_eof()
    if request.transport is not None:
        request.transport.pause_reading()  # what comes after this end would be a defect to aiohttp
    return answer


def _check_plain(request: web.Request) -> None:
    if hdrs.CONTENT_TYPE in request.headers and request.content_type != "application/octet-stream":
        hint = "with curl: -H 'Content-Type: application/octet-stream'"
        raise _malformed("Content-Type", "must be application/octet-stream", hint=hint)
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        raise _malformed("Content-Encoding", "must be identity: bytes are kept as they come")


def _once(request: web.Request, name: str) -> str:
    values: Sequence[str] = request.headers.getall(name, [])
    if len(values) != 1:
        raise _malformed(name, "must be given once" if values else "is missing")
    return values[0]


def _size(size: int) -> int:
    if not 0 <= size <= MAX_SIZE:
        raise _malformed("size", f"must be from 0 to {MAX_SIZE} bytes")
    return size


def _decode(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        detail = f"must be a JSON object as documented: {error}"
        raise _malformed("body", printable(detail, _SHOWN)) from error


def _malformed(field: str, detail: str, *, hint: str = "") -> RequestError:
    return RequestError(Code.REQUEST_MALFORMED, field, detail, hint=hint)
