"""A container engine, asked for an image over its socket with the daemon's own rights.

The path has no version: an engine takes that as its newest one, and refuses those it finds too old. The image is asked
for by its name, once, and not by the id that it has by then: Docker 25 and newer leave what they were asked for by its
id out of their index (moby/moby#47210, #51389), and it would be another image that is pushed.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import aiohttp
import anyio
from yarl import URL

from pushd.errors import Code, SourceError
from pushd.oci.text import printable
from pushd.source.engine_answer import (
    BEGIN_WITHIN,
    CONNECT_WITHIN,
    END,
    GO_ON_WITHIN,
    MESSAGE,
    broken_off,
    no_engine,
    refused,
    regret,
    silent,
    unopened,
)
from pushd.source.name import SHOWN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_OK: Final = 200
_BUFFER: Final = 1 << 20
"""Bytes that wait in memory while those before them are taken in."""
_START: Final = "start Docker or podman, or name its socket in [engine]"
_LET_IN: Final = (
    "let the daemon's user open it (SupplementaryGroups=docker in its unit: that is as good as root), or have pushctl"
    " push the image, which asks with its caller's rights"
)


class StoppedError(Exception):
    """Nobody wants the rest."""


class Export:
    """An image on its way out of an engine: an archive as `docker save` writes it.

    Attributes:
        engine: what errors call where it comes from.
    """

    def __init__(self, image: str, path: str, response: aiohttp.ClientResponse) -> None:
        self.engine = printable(f"the engine at {path}", SHOWN)
        self._subject = _subject(image, path)
        self._content = response.content
        self._began = False
        self._stopped = False
        self._waiting: anyio.CancelScope | None = None
        self._end = b""

    def stop(self) -> None:
        """Have whoever waits for the next bytes, or asks for them from now on, give up."""
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def piece(self) -> bytes:
        """Give the bytes that are there, waiting for the first of them; nothing at the end.

        Raises:
            SourceError: `source.unreadable`; it broke off, or nothing more comes.
            StoppedError: after `stop`.
        """
        self._check_wanted()
        patience = GO_ON_WITHIN if self._began else BEGIN_WITHIN
        try:
            with anyio.move_on_after(patience) as self._waiting:
                piece = await self._content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise broken_off(self._subject) from error
        if self._waiting.cancelled_caught:
            self._check_wanted()
            raise silent(self._subject, patience)
        self._began = True
        self._end = (self._end + piece[-END:])[-END:]
        return piece

    async def regret(self) -> str:
        """Read to the end, unless that is far, and give what stands there of why it is no whole archive; or nothing.

        Raises:
            SourceError, StoppedError: as `piece` does.
        """
        seen = 0
        while seen < END and (piece := await self.piece()):
            seen += len(piece)
        return regret(self._end)

    def _check_wanted(self) -> None:
        if self._stopped:
            raise StoppedError


@asynccontextmanager
async def exported(image: str, sockets: Sequence[str]) -> AsyncIterator[Export]:
    """Ask the first engine that lets the daemon in at one of `sockets` for `image`, and wait for its answer.

    Args:
        image: as `image_in_engine` gives it.
        sockets: paths, in the order in which they are tried.

    Raises:
        SourceError: `source.not_found`, it has no such image; `source.unreadable`, there is no such engine, or it
            answered with an error, or not in time.
    """
    tried: list[str] = []
    hint = _START
    for path in sockets:
        async with _session(path) as session:
            try:
                response = await _asked(session, image, path)
            except aiohttp.ClientConnectorError as error:
                tried.append(f"{path} {unopened(error.os_error, f'the daemon, uid {os.geteuid()}')}")
                hint = _LET_IN if isinstance(error.os_error, PermissionError) else hint
                continue
            async with response:
                if response.status != _OK:
                    raise refused(_subject(image, path), response.status, await _error(response))
                yield Export(image, path, response)
                return
    detail = printable(f"no engine answers: {', '.join(tried)}", SHOWN)
    raise SourceError(Code.SOURCE_UNREADABLE, printable(image, SHOWN), detail, hint=hint)


def _session(path: str) -> aiohttp.ClientSession:
    """Speak HTTP at a socket: nothing of the environment counts, and no time is set but here."""
    return aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(path, force_close=True),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept-Encoding",),
        read_bufsize=_BUFFER,
    )


async def _asked(session: aiohttp.ClientSession, image: str, path: str) -> aiohttp.ClientResponse:
    """Ask; give the answer when its head is there.

    Raises:
        aiohttp.ClientConnectorError: nobody is there, or nobody is let in.
        SourceError: `source.unreadable`.
    """
    url = URL(f"http://engine/images/{quote(image)}/get", encoded=True)
    subject = _subject(image, path)
    try:
        with anyio.fail_after(BEGIN_WITHIN):
            return await session.get(url, allow_redirects=False)
    except aiohttp.ClientConnectorError:
        raise
    except TimeoutError as error:
        raise silent(subject, BEGIN_WITHIN) from error
    except (aiohttp.ServerConnectionError, aiohttp.ClientOSError) as error:
        raise broken_off(subject) from error
    except aiohttp.ClientError as error:
        raise no_engine(subject, hint="name the socket of Docker or podman in [engine]") from error


async def _error(response: aiohttp.ClientResponse) -> bytes:
    """Read what an engine says of an error, as far as it gets to."""
    content = b""
    with anyio.move_on_after(CONNECT_WITHIN):
        try:
            while len(content) < MESSAGE and (piece := await response.content.readany()):
                content += piece
        except (aiohttp.ClientError, OSError):
            pass
    return content[:MESSAGE]


def _subject(image: str, path: str) -> str:
    return printable(f"{image} in the engine at {path}", SHOWN)
