"""The way to one registry, and to wherever it leads: which addresses are its own, and how each is spoken to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.registry.endpoint import base_url, origin
from pushd.registry.wire import trusting

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from pushd.registry.settings import Settings
    from pushd.registry.wire import Answer, Body, Wire


class Way:
    """Sends requests on behalf of one registry.

    Args:
        registry: `host[:port]`, as in references.
        settings: how it is spoken to.
        wire: the HTTP below.

    Attributes:
        base: the registry's base URL, `scheme://host[:port]`.
    """

    def __init__(self, registry: str, settings: Settings, wire: Wire) -> None:
        self.registry = registry
        self.base = base_url(registry, plain_http=settings.plain_http)
        self._wire = wire
        self._trust = trusting(settings.ca, registry)

    def ours(self, url: str) -> bool:
        """Whether a URL is the registry's own: our credential goes there, and nowhere else."""
        return origin(url) == origin(self.base)

    def trust(self) -> ssl.SSLContext | None:
        """Give the TLS context of the registry, or None for the system's.

        Raises:
            RegistryError: a file it is made of cannot be used.
        """
        return self._trust()

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        subject: str,
        body: Body | bytes | None = None,
        commits: bool = False,
        realm: bool = False,
    ) -> Answer:
        """Send one request to the registry, or to where it led us; redirects are answers. As `Wire.exchange` does.

        Args:
            method: as there, and so are the others, but for:
            url: absolute, already quoted as it is to be sent.
            headers: of the request; our authorisation among them only where it is `ours`.
            subject: whom and what it is about, for errors.
            body: pulled at most once.
            commits: the answer may take as long as the registry needs to store a blob.
            realm: it goes to the token service, for which the registry's authority vouches as well.

        Raises:
            RegistryError: no answer came, or the way there is refused.
        """
        return await self._wire.exchange(
            method,
            url,
            headers=headers,
            subject=subject,
            body=body,
            trust=self._trust() if realm or self.ours(url) else None,
            commits=commits,
        )
