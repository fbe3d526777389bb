"""Which proxy a request goes through: pure.

The variables are those of curl, and `NO_PROXY` is read as Go reads it (`golang.org/x/net/http/httpproxy`): what people
have set for the tools beside this one means the same here.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from yarl import URL

from pushd.errors import Code, DaemonError
from pushd.registry.endpoint import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PLACE: Final = re.compile(r"(?:\[(?P<literal>[^\]]*)\]|(?P<name>[^:]*))(?::(?P<port>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy.

    Attributes:
        url: where it is, without user information.
        authorization: the value of Proxy-Authorization (RFC 9110, 11.7.2), or None.
    """

    url: URL
    authorization: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """`host:port`, for people."""
        return f"{self.url.host_subcomponent}:{self.url.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bypass:
    """One entry of `NO_PROXY`: what is spoken to without.

    Attributes:
        network: the addresses it is for; None when it is for names.
        below: the end of the names it is for, with the dot before it,
        itself: and whether it is for the name without the dot as well.
        port: the only one it is for; None for any.
    """

    network: IPv4Network | IPv6Network | None = None
    below: str = ""
    itself: bool = False
    port: int | None = None

    def fits(self, host: str, address: IPv4Address | IPv6Address | None, port: int | None) -> bool:
        """Whether it is for a host, given in lower case and, where that is one, as an address."""
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return address is not None and address in self.network
        return address is None and (host.endswith(self.below) or (self.itself and host == self.below[1:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """What requests go through.

    Attributes:
        http: the proxy for plain HTTP, or None.
        https: the one for HTTPS, or None.
        bypasses: what is spoken to without.
    """

    http: Proxy | None = None
    https: Proxy | None = None
    bypasses: tuple[Bypass, ...] = ()

    def for_url(self, url: URL) -> Proxy | None:
        """Give the proxy a URL is asked for through; None for none, as for everything on this machine."""
        proxy = self.https if url.scheme == "https" else self.http
        if proxy is None:
            return None
        host = (url.raw_host or "").lower().rstrip(".")
        try:
            address = ip_address(host)
        except ValueError:
            address = None
        if is_loopback(f"[{host}]" if ":" in host else host):
            return None
        return None if any(bypass.fits(host, address, url.port) for bypass in self.bypasses) else proxy


def read_proxies(
    *, http: str | None, https: str | None, no_proxy: Iterable[str] | None, environ: Mapping[str, str]
) -> Proxies:
    """Read what is configured, and where nothing is, the environment.

    Args:
        http: the URL of the proxy for plain HTTP; empty for none, None for what the environment says.
        https: the same for HTTPS.
        no_proxy: what is spoken to without; None for what the environment says.
        environ: the environment.

    Raises:
        DaemonError: `daemon.config`, a proxy is none that can be used. Its URL is not repeated: it may hold a password.
    """
    bypasses = tuple(_bypasses(_variable(environ, "no_proxy")[1] if no_proxy is None else ",".join(no_proxy)))
    if any(bypass == _EVERYTHING for bypass in bypasses):
        return Proxies()
    return Proxies(
        http=_proxy("http", http, environ),
        https=_proxy("https", https, environ),
        bypasses=bypasses,
    )


def _proxy(scheme: str, configured: str | None, environ: Mapping[str, str]) -> Proxy | None:
    if configured is not None:
        return _read(f"proxy.{scheme}", configured)
    for name in (f"{scheme}_proxy", "all_proxy"):
        # A request's header `Proxy` becomes HTTP_PROXY where requests are served by CGI (CVE-2016-5385).
        upper = not (name == "http_proxy" and "REQUEST_METHOD" in environ)
        found, value = _variable(environ, name, upper=upper)
        if value:
            return _read(found, value)
    return None


def _variable(environ: Mapping[str, str], name: str, *, upper: bool = True) -> tuple[str, str]:
    """Give the name and value of a variable that has one, in lower case first."""
    for each in (name, name.upper()) if upper else (name,):
        if value := environ.get(each, "").strip():
            return each, value
    return name, ""


def _read(subject: str, value: str) -> Proxy | None:
    if not value:
        return None
    try:
        url = URL(value if _SCHEME.match(value) else f"http://{value}")
        url.origin()  # only this looks at the port
        usable = bool(url.raw_host) and url.scheme in ("http", "https")
    except ValueError:
        usable = False
    if not usable:
        detail = "is not the URL of a proxy for HTTP"
        hint = "name one as in http://proxy.example.com:3128: other kinds, SOCKS among them, are not spoken"
        raise DaemonError(Code.DAEMON_CONFIG, subject, detail, hint=hint) from None
    authorization = None
    if url.user is not None:
        secret = f"{url.user}:{url.password or ''}".encode()
        authorization = f"Basic {base64.b64encode(secret).decode()}"
    return Proxy(url.origin(), authorization)


_EVERYTHING: Final = Bypass(itself=True)
"""What `*` is read as."""


def _bypasses(text: str) -> Iterable[Bypass]:
    """Read a list of hosts; what is no host is not there, as with Go."""
    for entry in re.split(r"[,\s]+", text.lower()):
        if entry == "*":
            yield _EVERYTHING
        elif (bypass := _bypass(entry)) is not None:
            yield bypass


def _bypass(entry: str) -> Bypass | None:
    try:
        return Bypass(network=ip_network(entry, strict=False))
    except ValueError:
        pass
    place = _PLACE.fullmatch(entry)
    if place is None:
        return None
    host, port = place["literal"] or place["name"] or "", place["port"] and int(place["port"])
    try:
        return Bypass(network=ip_network(host, strict=False), port=port or None)
    except ValueError:
        pass
    name = host.removeprefix("*").rstrip(".")
    if not name:
        return None
    bypass = Bypass(below=f".{name.lstrip('.')}", port=port or None)
    return bypass if name.startswith(".") else replace(bypass, itself=True)
