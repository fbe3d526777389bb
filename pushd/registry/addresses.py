"""How near home an address lies, and how near a registry may lead us: pure.

A registry names addresses: Locations, redirects, realms. One on the internet that names an address in our own network
would have this daemon ask, from inside, what it cannot ask from outside.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import IntEnum, unique
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network
_Address = IPv4Address | IPv6Address


@unique
class Nearness(IntEnum):
    """How near an address is, the nearer the greater."""

    PUBLIC = 0
    """The same for everybody: global unicast."""
    PRIVATE = 1
    """Of our networks: RFC 1918, RFC 4193, RFC 6598, and whatever else is not global."""
    LOOPBACK = 2
    """This machine, by what it calls itself."""
    LINK_LOCAL = 3
    """What shares a wire with this machine: the metadata service of a cloud answers there, or at an address like it."""

    @property
    def word(self) -> str:
        """As it is said."""
        return self.name.lower().replace("_", "-")


_THIS_HOST: Final = ip_network("0.0.0.0/8")
"""RFC 1122, 3.2.1.3: a connection to one of these is one to this machine."""
_TRANSLATED: Final = ip_network("64:ff9b::/96")
"""RFC 6052, 2.1: NAT64, the last 32 bits are an IPv4 address."""
_COMPATIBLE: Final = ip_network("::/96")
"""RFC 4291, 2.5.5.1: the same, given up long ago."""
_LOCAL: Final = tuple(map(ip_network, ("64:ff9b:1::/48", "fec0::/10", "192.0.0.0/24")))
"""RFC 8215, RFC 3879 and RFC 6890: not global, though not every version of the standard library says so."""
_METADATA: Final = tuple(
    map(
        ip_address,
        (
            "fd00:ec2::254",  # AWS, in IPv6; and its pods' identity
            "fd00:ec2::23",
            "fd20:ce::254",  # Google, in IPv6
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure
            "192.0.0.192",  # Oracle
        ),
    )
)
"""Where clouds answer what only the machine may ask, and not at a link-local address."""


@lru_cache(maxsize=4096)
def nearness(address: str) -> Nearness:
    """Give how near an address is, or the IPv4 address inside it.

    Args:
        address: as a resolver or a socket gives it; an IPv6 one may name its zone.

    Raises:
        ValueError: it is none.
    """
    it = _inner(ip_address(address))
    if it.is_link_local or it in _METADATA:
        return Nearness.LINK_LOCAL
    if it.is_loopback or it.is_unspecified or it in _THIS_HOST:
        return Nearness.LOOPBACK
    if not it.is_global or any(it in network for network in _LOCAL):
        return Nearness.PRIVATE
    return Nearness.PUBLIC


def _inner(address: _Address) -> _Address:
    """Give the address that is meant: what a kernel, a relay or a translator makes of one in IPv6."""
    if isinstance(address, IPv4Address) or address.is_unspecified or address.is_loopback:
        return address
    inside = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
    if inside is None and (address in _TRANSLATED or address in _COMPATIBLE):
        inside = IPv4Address(address.packed[12:])
    return address if inside is None else inside


def literal(host: str) -> str | None:
    """Give the address a host is, as written in a URL without brackets; None when it is a name.

    The old ways to write an IPv4 address, such as `0x7f.1` and `2130706433`, are ways to write one: a proxy may take
    them for what they are.
    """
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
    except (OSError, UnicodeError):
        return None


def is_link_local(host: str) -> bool:
    """Whether a host is a link-local address in so many words, as it must be named to be allowed as a destination."""
    try:
        return ip_address(host).is_link_local
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Rule:
    """Which addresses a connection may go to.

    Attributes:
        nearest: no address nearer than this,
        allowed: but for those in one of these networks.
    """

    nearest: Nearness
    allowed: tuple[Network, ...] = ()

    def permits(self, address: str) -> bool:
        """Whether a connection may go to this address."""
        if nearness(address) <= self.nearest:
            return True
        it = ip_address(address)
        inside = _inner(it)
        return any(it in network or inside in network for network in self.allowed)
