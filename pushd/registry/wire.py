"""One HTTP exchange with a registry: the boundary at which foreign errors become ours.

Nothing here knows the distribution protocol. What it knows are the traps of the HTTP library: its default total
timeout of five minutes ends any upload, it has no timeout for a peer that stops reading, and it would send a body
again on a connection that turned out to be dead.
"""

from __future__ import annotations

import io
import os
import socket
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio

from pushd import __version__
from pushd.errors import Code, RegistryError
from pushd.registry.endpoint import address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from typing import Protocol

    from multidict import CIMultiDictProxy

    from pushd.registry.settings import Timeouts

    class Body(Protocol):
        """The bytes of one request, pulled as the wire takes them."""

        @property
        def length(self) -> int:
            """Bytes it will give."""

        def __aiter__(self) -> AsyncIterator[bytes]:
            """Give the pieces."""


_READ_MAX = 4 << 20
"""Bytes of a reply that are read at most: what registries must accept as a manifest is also the longest thing asked
of them."""
_SLICE = 256 << 10
"""Bytes of a body after which the registry must have shown that it still takes them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response, read."""

    status: int
    headers: CIMultiDictProxy[str]
    content: bytes
    url: str


class Wire:
    """All HTTP of one daemon, over one connection pool.

    Args:
        timeouts: see `Timeouts`.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._session = aiohttp.ClientSession(
            # limit=0: how much runs at once is decided where it is known what runs, not in a queue nobody sees.
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=30),
            # connect, not sock_connect: that one does not cover a resolver that never answers.
            timeout=aiohttp.ClientTimeout(total=None, connect=timeouts.connect),
            # Content is hashed and error bodies are read as they are sent, so nobody is to pack them on the way.
            headers={"User-Agent": f"pushd/{__version__}", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        subject: str,
        body: Body | bytes | None = None,
        trust: ssl.SSLContext | None = None,
        commits: bool = False,
    ) -> Answer:
        """Send one request and read the answer; redirects are answers.

        Args:
            method: of the request.
            url: absolute, already quoted as it is to be sent.
            headers: of the request, without Content-Length.
            subject: whom and what it is about, for errors.
            body: pulled at most once.
            trust: the TLS context, or None for the system's.
            commits: the answer may take as long as the registry needs to store a blob.

        Raises:
            RegistryError: `registry.unresolved`, `.unreachable`, `.tls`, `.interrupted`, `.stalled`, `.malformed`.
            Exception: whatever `body` raised while it was pulled.
        """
        timeouts = self._timeouts
        patience = timeouts.commit if commits else timeouts.request
        # Not the bytes themselves: above a megabyte the HTTP library warns that they hold up the loop.
        data: Any = io.BytesIO(body) if isinstance(body, bytes) else None
        paced: _Paced | None = None
        scope = anyio.CancelScope(deadline=anyio.current_time() + timeouts.connect + patience)
        if body is not None and not isinstance(body, bytes):
            paced = data = _Paced(body, scope, stall=timeouts.stall, commit=timeouts.commit)
            headers = {**headers, "Content-Length": str(body.length)}
        target = address(url)
        if target is None:
            detail = "the registry named an address that is no URL"
            raise RegistryError(Code.REGISTRY_MALFORMED, subject, detail, hint=_HINTS[Code.REGISTRY_MALFORMED])
        try:
            with scope:
                async with self._session.request(
                    method,
                    target,
                    data=data,
                    headers=headers,
                    allow_redirects=False,
                    ssl=trust if trust is not None else True,
                ) as response:
                    content = await _read(response, method, subject)
                    return Answer(response.status, response.headers, content, url)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if paced is not None and paced.error is not None:
                raise paced.error from None
            raise _translate(error, subject) from error
        finally:
            if paced is not None:
                await paced.close()
        if paced is not None and not paced.finished:
            detail = f"the registry took less than {_SLICE >> 10} KiB in {timeouts.stall:g} s"
        else:
            detail = f"the registry did not answer within {patience if paced is None else timeouts.commit:g} s"
        raise RegistryError(Code.REGISTRY_STALLED, subject, detail, hint=_NETWORK)


class _Paced:
    """A body whose every slice pushes the deadline of its exchange forward; pulled once and never again.

    Slices, because a piece is chosen for the disk: a megabyte over a slow uplink shared by many takes longer than
    anybody should wait for a sign of life.
    """

    def __init__(self, body: Body, scope: anyio.CancelScope, *, stall: float, commit: float) -> None:
        self._pieces = aiter(body)
        self._scope = scope
        self._stall = stall
        self._commit = commit
        self._rest = memoryview(b"")
        self._started = False
        self._pulling = False
        self.finished = False
        self.error: Exception | None = None

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
        following, self._rest = self._rest[:_SLICE], self._rest[_SLICE:]
        self._scope.deadline = anyio.current_time() + self._stall
        return following

    async def _pull(self) -> bytes:
        # The registry has taken what went before; how long our own disk needs is not its fault.
        self._scope.deadline = float("inf")
        self._pulling = True
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            self.finished = True
            self._scope.deadline = anyio.current_time() + self._commit
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


_NETWORK = "check the registry and the network on the way to it"


async def _read(response: aiohttp.ClientResponse, method: str, subject: str) -> bytes:
    if method == "HEAD":
        return b""
    content = bytearray()
    async for piece in response.content.iter_chunked(64 << 10):
        content += piece
        if len(content) > _READ_MAX:
            raise RegistryError(
                Code.REGISTRY_MALFORMED, subject, f"the registry's answer is longer than {_READ_MAX >> 20} MiB"
            )
    return bytes(content)


_TRANSLATIONS: tuple[tuple[tuple[type[BaseException], ...], Code, str], ...] = (
    ((aiohttp.ClientConnectorDNSError,), Code.REGISTRY_UNRESOLVED, "its name does not resolve"),
    (
        (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError, ssl.SSLError),
        Code.REGISTRY_TLS,
        "no trusted TLS connection",
    ),
    ((aiohttp.ConnectionTimeoutError,), Code.REGISTRY_UNREACHABLE, "no connection in time"),
    ((aiohttp.ClientConnectorError,), Code.REGISTRY_UNREACHABLE, "no connection"),
    ((aiohttp.ClientResponseError,), Code.REGISTRY_MALFORMED, "the answer is not HTTP as a registry speaks it"),
)
_HINTS = {
    Code.REGISTRY_UNRESOLVED: "check the name in the reference, and the resolver",
    Code.REGISTRY_UNREACHABLE: _NETWORK,
    Code.REGISTRY_TLS: "for a private authority set `ca` for this registry, for a registry without TLS `plain_http`",
    Code.REGISTRY_MALFORMED: "check that this address is a registry, and whether it speaks TLS (`plain_http`)",
}


def _translate(error: BaseException, subject: str) -> RegistryError:
    for kinds, code, detail in _TRANSLATIONS:
        if isinstance(error, kinds):
            return RegistryError(code, subject, f"{detail}{_reason(error)}", hint=_HINTS[code])
    return RegistryError(Code.REGISTRY_INTERRUPTED, subject, f"the connection broke{_reason(error)}")


def _reason(error: BaseException) -> str:
    """Say why in the system's words, and in none that could carry a URL with a secret in its query."""
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f" ({cause.verify_message})"
    if isinstance(cause, ssl.SSLError):
        return f" ({cause.reason or 'handshake failed'})"
    if isinstance(cause, socket.gaierror):
        return f" ({cause.strerror})"
    if isinstance(cause, OSError) and cause.errno:
        # Not its strerror: there the HTTP library writes what it was about to do, and to which URL.
        return f" ({os.strerror(cause.errno)})"
    return ""


def trusting(ca: str | None, registry: str) -> Callable[[], ssl.SSLContext | None]:
    """Give a function that makes, once, the TLS context of a registry with an authority of its own."""
    context: ssl.SSLContext | None = None

    def make() -> ssl.SSLContext | None:
        nonlocal context
        if ca is not None and context is None:
            trusted = ssl.create_default_context()
            try:
                trusted.load_verify_locations(ca)
            except OSError as error:
                detail = f"its `ca` {ca} cannot be used{_reason(error)}"
                raise RegistryError(Code.REGISTRY_TLS, registry, detail, hint="name a PEM file") from error
            context = trusted
        return context

    return make
