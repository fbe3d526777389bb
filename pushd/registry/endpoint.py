"""Where a registry is reached: the base URL behind the name people use."""

from __future__ import annotations

import ipaddress
from typing import Final

_ALIASES: Final = {"docker.io": "registry-1.docker.io"}
"""Docker Hub's name in references is not the host that serves its API."""


def base_url(name: str, *, plain_http: bool | None = None) -> str:
    """Give `scheme://host[:port]` for the registry `name` (`host[:port]`).

    Args:
        name: as in references.
        plain_http: what the configuration says; None leaves it to the rule: loopback is spoken to in plain HTTP,
            and nothing else ever is.
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
