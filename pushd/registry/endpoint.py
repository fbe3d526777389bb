"""Where a registry is reached: the base URL behind the name people use, and the addresses it names itself."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final
from urllib.parse import urljoin, urlsplit

from yarl import URL

_ALIASES: Final = {"docker.io": "registry-1.docker.io"}
"""Docker Hub's name in references is not the host that serves its API."""
_ABSOLUTE: Final = re.compile("https?://", re.IGNORECASE)
_BEFORE_PATH: Final = re.compile("[a-z][a-z0-9+.-]*://[^/?#]*", re.IGNORECASE)
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
    if not (_SENDABLE.fullmatch(url) and _leads_somewhere(_before_path(url))):
        return None
    try:
        return URL(url, encoded=True)
    except ValueError:
        return None


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
    return _origin(_before_path(url)) or ("", url, None)


def _before_path(url: str) -> str:
    """Give what says where a URL leads, without what is asked for there, which may be a secret."""
    match = _BEFORE_PATH.match(url)
    return url if match is None else match[0]


# A registry's URLs all begin alike, and each is looked at several times on its way.
@lru_cache(maxsize=256)
def _origin(before_path: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(before_path)
        return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _leads_somewhere(before_path: str) -> bool:
    try:
        read = URL(before_path, encoded=True)
        read.origin()  # only this looks at the port
        host = (read.raw_host or "").encode("idna")
    except (ValueError, IndexError):  # the latter of brackets in what goes before an `@`
        return False
    named = bool(host) and read.raw_user is None and read.raw_password is None
    same = _origin(before_path) == (read.scheme, (read.raw_host or "").lower(), read.port)
    return named and same and read.scheme in ("http", "https")
