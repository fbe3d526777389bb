"""Whom a registry lets in, and what it shows of itself: the part of distribution's configuration that says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.authority import Pair

USER = "ci"
PASSWORD = "open sesame"
HTPASSWD = f"{USER}:$2b$04$aHbzX951XBznQ/w2UAHaiuBQa41pCBJVRWFZB5SzaEdMpYM0KZRpS\n"
"""A file of users with the one above, its password hashed with bcrypt, the only hash distribution takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A token service as a registry is told of it.

    Attributes:
        realm: its URL.
        service: the registry's own name there.
        issuer: the service's own name in its tokens.
        bundle: the authority of the certificates it signs with.
    """

    realm: str
    service: str
    issuer: str
    bundle: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A way in. By default it is open.

    Attributes:
        htpasswd: a file of users, who come in by Basic authentication.
        tokens: who gives out the tokens to come in by; a registry takes this or the users.
        pair: certificate and key it shows; None for plain HTTP.
        clients: the authority its clients must have a certificate from.
    """

    htpasswd: Path | None = None
    tokens: Tokens | None = None
    pair: Pair | None = None
    clients: Path | None = None

    @property
    def auth(self) -> dict[str, Any]:
        """The section `auth`."""
        if self.tokens is not None:
            tokens = self.tokens
            token = {
                "realm": tokens.realm,
                "service": tokens.service,
                "issuer": tokens.issuer,
                "rootcertbundle": str(tokens.bundle),
            }
            return {"token": token}
        return {"htpasswd": {"realm": "tests", "path": str(self.htpasswd)}} if self.htpasswd is not None else {}

    @property
    def tls(self) -> dict[str, Any]:
        """The section `http.tls`."""
        if self.pair is None:
            return {}
        clients = {"clientcas": [str(self.clients)]} if self.clients is not None else {}
        return {"certificate": str(self.pair.cert), "key": str(self.pair.key), **clients}


OPEN = Door()
