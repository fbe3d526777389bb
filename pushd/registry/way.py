"""The way to one registry, and to wherever it leads: which addresses are its own, and how each is spoken to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError
from pushd.registry.addresses import Nearness, Rule, is_link_local, nearness
from pushd.registry.endpoint import address, base_url, origin
from pushd.registry.faults import no_url
from pushd.registry.tls import Host, names_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from pushd.registry.bodies import Body
    from pushd.registry.proxies import Proxy
    from pushd.registry.settings import Settings
    from pushd.registry.wire import Answer, Wire


class Way:
    """Sends requests on behalf of one registry.

    Where it leads, by a Location, a redirect or a realm, is its own choice, and it is followed no nearer home than the
    registry lies itself.

    Args:
        registry: `host[:port]`, as in references.
        settings: how it is spoken to.
        wire: the HTTP below.

    Attributes:
        base: the registry's base URL, `scheme://host[:port]`.
        rule: for its own addresses; None for a link-local one that is its name: such a destination was let through
            because the configuration names it.
    """

    def __init__(self, registry: str, settings: Settings, wire: Wire) -> None:
        self.registry = registry
        plain_http = settings.plain_http
        if plain_http is None and wire.certificates.has_some_for(Host((registry,), settings.tls)):
            plain_http = False
        self.base = base_url(registry, plain_http=plain_http)
        self._wire = wire
        self._origin = origin(self.base)
        plain = self._origin[0] == "http"
        self._authorised = frozenset(
            {self._origin, *(origin(base_url(name, plain_http=plain)) for name in settings.credential_hosts)}
        )
        self._host = Host(tuple(dict.fromkeys((registry, *names_of(self.base)))), settings.tls)
        self._allowed = settings.addresses
        self.rule = None if is_link_local(self._origin[1]) else Rule(Nearness.LOOPBACK, settings.addresses)
        self._nearness: Nearness | None = None

    def ours(self, url: str) -> bool:
        """Whether a URL is of the registry's own origin."""
        return origin(url) == self._origin

    def authorised(self, url: str) -> bool:
        """Whether our authorisation may go to a URL: it is the registry's own, or of a host configured for that."""
        return origin(url) in self._authorised

    @property
    def proxy(self) -> Proxy | None:
        """The proxy it is spoken to through."""
        base = address(self.base)
        return None if base is None else self._wire.proxies.for_url(base)

    def trust(self) -> ssl.SSLContext:
        """Give the TLS context of the registry.

        Raises:
            RegistryError: a file it is made of cannot be used.
        """
        return self._wire.certificates.context(self._host)

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        subject: str,
        body: Body | bytes | None = None,
        once: bool = False,
        commits: bool = False,
        opens: bool = False,
        realm: bool = False,
    ) -> Answer:
        """Send one request to the registry, or to where it led us; redirects are answers. As `Wire.exchange` does.

        Args:
            method: as there, and so are the others, but for:
            url: absolute, already quoted as it is to be sent.
            headers: of the request; our authorisation among them only where it is `authorised`.
            subject: whom and what it is about, for errors.
            body: pulled at most once.
            once: whether the request is not to be sent again by itself.
            commits: the answer may take as long as the registry needs to store a blob.
            opens: the body of the answer is left open.
            realm: it goes to the token service, for which the registry's authorities vouch as well.

        Raises:
            RegistryError: no answer came, or the way there is refused: `registry.downgrade_refused`,
                `registry.address_refused`.
        """
        own = self.ours(url)
        answer = await self._wire.exchange(
            method,
            url,
            headers=headers,
            subject=subject,
            body=body,
            trust=self._trust(url, own=own, realm=realm),
            rule=self.rule if own else await self._led(url, subject),
            once=once,
            commits=commits,
            opens=opens,
        )
        if own:
            self._nearness = Nearness.PUBLIC if answer.address is None else nearness(answer.address)
        return answer

    def _trust(self, url: str, *, own: bool, realm: bool) -> ssl.SSLContext | None:
        if origin(url)[0] != "https":
            return None
        if own:
            return self.trust()
        # What authorises us goes no farther: our certificate for another host would have it believe that we mean what
        # this registry makes us ask.
        certificates, shown = self._wire.certificates, self.authorised(url)
        return certificates.context(certificates.host(url), vouching=self._host if realm else None, shown=shown)

    async def _led(self, url: str, subject: str) -> Rule:
        """Give the rule for where the registry leads us.

        Raises:
            RegistryError: it leads nowhere, or from TLS to plain text, or is not reached itself.
        """
        if self._origin[0] == "https" and origin(url)[0] == "http":
            detail = "the registry leads from https to an http address"
            hint = "tell the registry its external address, or let the proxy before it send X-Forwarded-Proto"
            raise RegistryError(Code.REGISTRY_DOWNGRADE_REFUSED, subject, detail, hint=hint)
        if address(url) is None:
            raise no_url(subject)
        if self._nearness is None:
            # An upload that goes on after a restart begins with a Location. Any answer says where the registry is.
            await self.exchange("GET", f"{self.base}/v2/", headers={}, subject=subject)
        return Rule(self._nearness or Nearness.PUBLIC, self._allowed)
