"""Where a registry is reached: the base URL behind the name people use, and the addresses it names itself."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urljoin, urlsplit

from yarl import URL

_ALIASES: Final = {"docker.io": "registry-1.docker.io"}
"""Docker Hub's name in references is not the host that serves its API."""
_ABSOLUTE: Final = re.compile("https?://", re.IGNORECASE)
_SENDABLE: Final = re.compile("[!-~]+")


def base_url(name: str, *, plain_http: bool | None = None) -> str:
    """Give `scheme://host[:port]` for the registry `name` (`host[:port]`).

    Args:
        name: as in references.
        plain_http: what is set up for it; None leaves it to the rule: loopback is spoken to in plain HTTP, and nothing
            else ever is.
    """
    insecure = is_loopback(name) if plain_http is None else plain_http
    return f"{'http' if insecure else 'https'}://{_ALIASES.get(name, name)}"


def is_loopback(name: str) -> bool:
    """Whether `host[:port]` names this machine by its own words, without asking a resolver."""
    host = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address(url: str) -> URL | None:
    """Give a URL as it can be sent, byte for byte; None when it cannot: a signed one breaks when it is mended.

    Refused are other schemes than HTTP's, user information (RFC 9110, 4.2.4), hosts that no resolver takes, and what
    `origin` reads as something else: what is decided about one must be what is done with the other.
    """
    if not _SENDABLE.fullmatch(url):
        return None
    try:
        read = URL(url, encoded=True)
        read.origin()  # only this looks at the port
        host = (read.raw_host or "").encode("idna")
    except (ValueError, IndexError):  # the latter of brackets in what goes before an `@`
        return None
    named = host and read.raw_user is None and read.raw_password is None
    same = origin(url) == (read.scheme, (read.raw_host or "").lower(), read.port)
    return read if named and same and read.scheme in ("http", "https") else None


def resolved(location: str, base: str) -> str | None:
    """Give the URL of a Location header, absolute or relative to `base` (RFC 9110, 10.2.2); None when it is none."""
    try:
        url = location if _ABSOLUTE.match(location) else urljoin(base, location)
    except ValueError:
        return None
    url = url.partition("#")[0]
    return None if address(url) is None else url


def origin(url: str) -> tuple[str, str, int | None]:
    """Give scheme, host and port (RFC 6454): what two URLs must share to be one another's business."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", url, None
