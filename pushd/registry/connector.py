"""Connections, each seen to go where it may.

The rules are applied where a connection is made, to the very address it goes to: a name that resolves to something else
the next time changes nothing. And they are applied to a connection that is used again, which was made by other rules.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp

from pushd.registry.addresses import Nearness, nearness

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.abc import AbstractResolver

    from pushd.registry.addresses import Rule
    from pushd.registry.expiring import Expiring
    from pushd.registry.proxies import Proxy


@dataclass(slots=True)
class Trip:
    """One exchange on its way.

    Attributes:
        host: it goes to.
        proxy: it goes through, or None.
        rule: for the addresses it may go to; None for any, and a proxy's own address is judged by none.
        refused: the nearest address found that it may not go to, or None.
        tried: whether there was one that it may.
        address: the one it went to in the end, or None while it did not; the proxy's where there is one.
        transport: what it went over, likewise.
    """

    host: str
    proxy: Proxy | None = None
    rule: Rule | None = None
    refused: Nearness | None = None
    tried: bool = False
    address: str | None = None
    transport: asyncio.WriteTransport | None = None

    def may_go(self, address: str) -> bool:
        """Whether it may go to this address; if not, that is noted."""
        if self.proxy is not None or self.rule is None or self.rule.permits(address):
            return True
        self.refused = max(nearness(address), self.refused or Nearness.PUBLIC)
        return False

    @property
    def barred(self) -> bool:
        """Whether it may go to none of the addresses there are."""
        return self.refused is not None and not self.tried

    def hang_up(self) -> None:
        """End its connection at once, with whatever still waits to be sent.

        One that is closed in good order waits until the other end has taken that, and keeps it as long: for ever where
        it takes nothing and does not go away.
        """
        if self.transport is not None:
            self.transport.abort()


UNDER_WAY: ContextVar[Trip] = ContextVar("UNDER_WAY")
"""The trip for which a connection is wanted."""


class Connector(aiohttp.TCPConnector):
    """A pool of connections that asks the trip under way.

    Args:
        trust: gives the TLS context for proxies.
        resolver: of names, or None for the system's.
        expiring: is told until when the certificates of servers are good, or None.
    """

    def __init__(
        self,
        *,
        trust: Callable[[], ssl.SSLContext],
        resolver: AbstractResolver | None = None,
        expiring: Expiring | None = None,
    ) -> None:
        # limit=0: how much runs at once is decided where it is known what runs, not in a queue nobody sees.
        super().__init__(limit=0, ttl_dns_cache=30, socket_factory=_socket, resolver=resolver)
        self._trust = trust
        self._expiring = expiring

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        """Give a connection, new or used before, whose other end is one that the trip may go to."""
        trip = UNDER_WAY.get()
        trip.refused, trip.tried = None, False
        while True:
            connection = await super().connect(*args, **kwargs)
            transport = connection.transport
            peer = None if transport is None else transport.get_extra_info("peername")
            if transport is None or peer is None:
                connection.close()
                raise aiohttp.ServerDisconnectedError
            if trip.tried:
                await _heard(connection)
                if self._expiring is not None and args[0].is_ssl():
                    _look(self._expiring, trip.host, transport)
            elif not trip.may_go(peer[0]):
                connection.close()  # one of the pool, which has one fewer now
                continue
            trip.address, trip.transport = peer[0], transport
            return connection

    def _get_ssl_context(self, req: aiohttp.ClientRequest) -> ssl.SSLContext | None:
        """Give the context for a request. Behind the library's door: it would show the proxy what is the registry's."""
        to_proxy = req.proxy is None and UNDER_WAY.get().proxy is not None
        return self._trust() if to_proxy and req.is_ssl() else super()._get_ssl_context(req)


async def _heard(connection: Any) -> None:
    """Hear what a server says that ends a new connection at once, before it is drowned by what we write.

    In TLS 1.3 it looks at our certificate after we are through (RFC 8446, 4.4.2). Where it has hung up, a write fails,
    and what it said is not read any more.
    """
    if connection.transport.get_extra_info("ssl_object") is None:
        return
    # Asked for now: once the connection is lost it is not told any more why. And asked for only here: it is made by
    # being asked for, and one that nobody waits for complains.
    closed = connection.protocol.closed
    if closed is None:
        return
    closed.add_done_callback(lambda it: it.cancelled() or it.exception())  # whoever meets the loss tells of it
    try:
        for _ in range(2):  # one turn of the loop to see that there is something, and one to read it
            await asyncio.sleep(0)
        if connection.protocol.is_connected():
            return
        await asyncio.wait((closed,))
    except BaseException:
        connection.close()
        raise
    connection.close()
    raise aiohttp.ServerDisconnectedError from getattr(closed.exception(), "__cause__", None)


def _look(expiring: Expiring, host: str, transport: asyncio.BaseTransport) -> None:
    """Tell until when the certificate of a server is good; one that was not looked at tells nothing."""
    until = (transport.get_extra_info("peercert") or {}).get("notAfter")
    if until is not None:
        expiring.server(host, datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC))


def _socket(info: tuple[Any, ...]) -> socket.socket:
    """Make a socket for one of the addresses of a name, unless it is none to go to."""
    family, kind, protocol, _, address = info
    trip = UNDER_WAY.get()
    if not trip.may_go(address[0]):
        raise OSError("the address is refused")
    trip.tried = True
    return socket.socket(family=family, type=kind, proto=protocol)
