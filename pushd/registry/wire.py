"""One HTTP exchange with a registry: the boundary at which foreign errors become ours.

Nothing here knows the distribution protocol. What it knows are the traps of the HTTP library: its default total
timeout of five minutes ends any upload, it has no timeout for a peer that stops reading, and it would send a body
again on a connection that turned out to be dead.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp

from pushd import __version__
from pushd.errors import Code, RegistryError
from pushd.registry.addresses import literal, nearness
from pushd.registry.bodies import SLICE, Pulled, as_data
from pushd.registry.certificates import Certificates
from pushd.registry.connector import UNDER_WAY, Connector, Trip
from pushd.registry.endpoint import address
from pushd.registry.faults import NETWORK, no_url, refused_address, refused_by_proxy, translated
from pushd.registry.incoming import Incoming
from pushd.registry.proxies import Proxies
from pushd.registry.watch import Watch
from pushd.telemetry.trace import passed_on

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from aiohttp.abc import AbstractResolver
    from multidict import CIMultiDictProxy
    from yarl import URL

    from pushd.registry.addresses import Rule
    from pushd.registry.bodies import Body
    from pushd.registry.expiring import Expiring
    from pushd.registry.settings import Timeouts

_READ_MAX = 4 << 20
"""Bytes of a reply that are read at most: what registries must accept as a manifest is also the longest thing asked
of them."""
_LEFT_OPEN = frozenset({200, 206})
"""Statuses of answers that carry what was asked for (RFC 9110, 15.3.1 and 15.3.7)."""
_PROXY_AUTHENTICATION = 407
"""Of plain HTTP a proxy answers with its own answers; only this one no registry gives (RFC 9110, 15.5.8)."""


class TooLongError(RegistryError):
    """An answer is longer than anything that was asked for could be: `registry.malformed`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response, read.

    Attributes:
        url: that was asked.
        address: the address that answered; None through a proxy, where it is the proxy's affair.
        incoming: the body, still to be read, where it was to be left open and there is one; whoever has it closes it.
    """

    status: int
    headers: CIMultiDictProxy[str] = field(repr=False)
    content: bytes = field(repr=False)
    url: str = field(repr=False)
    address: str | None = None
    incoming: Incoming | None = field(default=None, repr=False)


class Wire:
    """All HTTP of one daemon, over one connection pool.

    Args:
        timeouts: see `Timeouts`.
        proxies: what requests go through.
        certificates: what TLS is spoken with; None trusts whom the system trusts.
        resolver: of names; None for the system's.
        expiring: is told until when the certificates of servers are good, or None.
    """

    def __init__(
        self,
        timeouts: Timeouts,
        *,
        proxies: Proxies | None = None,
        certificates: Certificates | None = None,
        resolver: AbstractResolver | None = None,
        expiring: Expiring | None = None,
    ) -> None:
        self.expiring = expiring
        self.configure(timeouts, proxies=proxies or Proxies(), certificates=certificates or Certificates())
        self._session = aiohttp.ClientSession(
            connector=Connector(trust=self._system, resolver=resolver, expiring=expiring),
            # Content is hashed and error bodies are read as they are sent, so nobody is to pack them on the way.
            headers={"User-Agent": f"pushd/{__version__}", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    def configure(self, timeouts: Timeouts, *, proxies: Proxies, certificates: Certificates) -> None:
        """Go so from now on; connections that are kept stay."""
        self.proxies = proxies
        self.certificates = certificates
        self._timeouts = timeouts
        # connect, not sock_connect: that one does not cover a resolver that never answers.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=timeouts.connect)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def exchange(  # noqa: PLR0913 (all there is to a request; by keyword)
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        subject: str,
        body: Body | bytes | None = None,
        trust: ssl.SSLContext | None = None,
        rule: Rule | None = None,
        once: bool = False,
        commits: bool = False,
        opens: bool = False,
    ) -> Answer:
        """Send one request and read the answer; redirects are answers.

        Args:
            method: of the request.
            url: absolute, already quoted as it is to be sent.
            headers: of the request, without Content-Length.
            subject: whom and what it is about, for errors.
            body: pulled at most once.
            trust: the TLS context, or None for the system's.
            rule: for the addresses it may go to, or None for any.
            once: whether the request is not to be sent again when a connection that was kept turns out to be dead.
            commits: the answer may take as long as the registry needs to store a blob.
            opens: the body of an answer that is no refusal is not read, but given as `incoming`.

        Raises:
            RegistryError: `registry.unresolved`, `.unreachable`, `.tls` and its kin, `.proxy`, `.address_refused`,
                `.interrupted`, `.stalled`, `.malformed`.
            Exception: whatever `body` raised while it was pulled.
        """
        headers = {**headers, **passed_on()}
        timeouts = self._timeouts
        patience = timeouts.commit if commits else timeouts.request
        watch = Watch(timeouts.connect + patience, least=min(timeouts.stall, timeouts.commit))
        data, paced = as_data(body, watch, once=once, stall=timeouts.stall, commit=timeouts.commit)
        if isinstance(paced, Pulled):
            headers = {**headers, "Content-Length": str(paced.length)}
        target = address(url)
        if target is None:
            raise no_url(subject)
        trip = self._trip(target, rule, subject)
        under_way = UNDER_WAY.set(trip)
        broken: Exception | None = None
        over = False
        try:
            with watch:
                async with AsyncExitStack() as stack:
                    how = self._how(target, trip, headers, trust)
                    asked = self._session.request(method, target, data=data, allow_redirects=False, **how)
                    response = await stack.enter_async_context(asked)
                    where = trip.address if trip.proxy is None else None
                    if opens and response.status in _LEFT_OPEN:
                        stack.pop_all()
                        over = True
                        incoming = Incoming(response, subject=subject, trip=trip, stall=timeouts.stall)
                        return Answer(response.status, response.headers, b"", url, where, incoming)
                    content = await _read(response, method, subject)
                    over = paced is None or paced.finished
                    if response.status == _PROXY_AUTHENTICATION and trip.proxy is not None:
                        raise refused_by_proxy(subject, trip.proxy, response.status)
                    return Answer(response.status, response.headers, content, url, where)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            broken = (paced and paced.error) or translated(error, subject, trip)
        finally:
            UNDER_WAY.reset(under_way)
            if not over:
                trip.hang_up()
            if paced is not None:
                await paced.close()
        if broken is not None:
            raise broken  # out here, where it does not carry the library's error, which quotes the URL
        if paced is not None and not paced.finished:
            detail = f"the registry took less than {SLICE >> 10} KiB in {timeouts.stall:g} s"
        else:
            detail = f"the registry did not answer within {patience if paced is None else timeouts.commit:g} s"
        raise RegistryError(Code.REGISTRY_STALLED, subject, detail, hint=NETWORK)

    def _system(self) -> ssl.SSLContext:
        return self.certificates.system()  # those of now

    def _trip(self, target: URL, rule: Rule | None, subject: str) -> Trip:
        """Say where a request goes. An address in the URL is judged here where a proxy is to go there for us."""
        trip = Trip(target.host_port_subcomponent or "", self.proxies.for_url(target), rule)
        written = None if trip.proxy is None else literal(target.raw_host or "")
        if written is not None and rule is not None and not rule.permits(written):
            raise refused_address(subject, replace(trip, refused=nearness(written)))
        return trip

    def _how(self, target: URL, trip: Trip, headers: Mapping[str, str], trust: ssl.SSLContext | None) -> dict[str, Any]:
        """Give the library's arguments that say with what and through what a request goes."""
        secure = target.scheme == "https"
        # One context for all that needs none: it is a part of what a connection is found by in the pool.
        context = (trust or self.certificates.system()) if secure else True
        how: dict[str, Any] = {"headers": headers, "ssl": context, "timeout": self._timeout}
        if trip.proxy is not None:
            how["proxy"] = trip.proxy.url
            if trip.proxy.authorization is not None:
                own = {"Proxy-Authorization": trip.proxy.authorization}
                # Within the tunnel nobody is to see it; without one there is no other request to put it on.
                how |= {"proxy_headers": own} if secure else {"headers": {**headers, **own}}
        return how


async def _read(response: aiohttp.ClientResponse, method: str, subject: str) -> bytes:
    if method == "HEAD":
        return b""
    content = bytearray()
    async for piece in response.content.iter_chunked(64 << 10):
        content += piece
        if len(content) > _READ_MAX:
            raise TooLongError(
                Code.REGISTRY_MALFORMED, subject, f"the registry's answer is longer than {_READ_MAX >> 20} MiB"
            )
    return bytes(content)
