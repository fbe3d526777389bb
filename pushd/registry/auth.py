"""Authorisation: what goes into the Authorization header, learned from the registry's challenges.

Basic (RFC 7617) and Docker's token protocol (distribution, "Token Authentication Specification"): a 401 names a
realm, and the realm gives, for our credential or for nobody, a bearer token for a scope.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import anyio
import msgspec

from pushd.errors import Code, RegistryError
from pushd.oci.challenge import parse_challenges
from pushd.oci.reply import refusal
from pushd.registry.replies import to_reply

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from pushd.oci.challenge import Challenge
    from pushd.registry.credentials import Credential
    from pushd.registry.wire import Answer, Wire

_LIFE_DEFAULT = 60.0
"""Seconds a token lives when its issuer does not say (token specification, `expires_in`)."""
_MARGIN = 0.25
"""The last part of a token's life, in which no new request starts with it: a body takes time to arrive."""


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    stale_at: float


class Authorizer:
    """Authorises requests to one registry with one credential, or with none.

    Args:
        registry: `host[:port]`, for errors.
        encrypted: whether the registry is spoken to over TLS; if it is, its realm must be too.
        credential: ours for it, or None.
    """

    def __init__(
        self,
        registry: str,
        *,
        encrypted: bool,
        credential: Credential | None,
        wire: Wire,
        trust: Callable[[], ssl.SSLContext | None],
    ) -> None:
        self._registry = registry
        self._encrypted = encrypted
        self._credential = credential
        self._wire = wire
        self._trust = trust
        self._basic = False
        self._bearer: Challenge | None = None
        self._tokens: dict[str, _Token] = {}
        # One request for a token at a time and repository; who waited finds it here.
        self._fetching: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    async def header(self, repository: str) -> str | None:
        """Give the Authorization header for a request about `repository`, or None while none was asked for.

        Raises:
            RegistryError: a token was needed and could not be had.
        """
        if self._basic and self._credential is not None:
            return self._credential.basic
        if self._bearer is None:
            return None
        async with self._fetching[repository]:
            token = self._tokens.get(repository)
            if token is None or anyio.current_time() >= token.stale_at:
                token = self._tokens[repository] = await self._fetch(self._bearer, repository)
            return token.header

    async def learn(self, answer: Answer, repository: str, used: str | None) -> bool:
        """Take the challenges of a 401 to heart; whether a request with a new header makes sense.

        Args:
            answer: the 401.
            repository: the request was about.
            used: the header it was sent with.

        Raises:
            RegistryError: a token was needed and could not be had.
        """
        for challenge in parse_challenges(answer.headers.getall("WWW-Authenticate", ())):
            if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                self._bearer = challenge
                token = self._tokens.get(repository)
                if token is not None and token.header == used:
                    del self._tokens[repository]
                return await self.header(repository) != used
            if challenge.scheme == "basic" and self._credential is not None:
                self._basic = True
                return used != self._credential.basic
        return False

    async def _fetch(self, challenge: Challenge, repository: str) -> _Token:
        realm = self._realm(challenge)
        # Push first: some registries read only the first action of a scope.
        query = {"service": challenge.parameters.get("service", ""), "scope": f"repository:{repository}:push,pull"}
        url = realm + ("&" if "?" in realm else "?") + urlencode({key: value for key, value in query.items() if value})
        headers = {} if self._credential is None else {"Authorization": self._credential.basic}
        asked_at = anyio.current_time()
        answer = await self._wire.exchange("GET", url, headers=headers, subject=self._registry, trust=self._trust())
        if answer.status != 200:  # noqa: PLR2004 (the one answer that carries a token)
            raise refusal(to_reply(answer), self._registry, f"for a token to push to {repository}")
        return self._read(answer.content, asked_at)

    def _realm(self, challenge: Challenge) -> str:
        realm = challenge.parameters["realm"]
        scheme = urlsplit(realm).scheme
        if scheme != "https" and (self._encrypted or scheme != "http"):
            detail = f"it sends us for a token to {realm.partition('?')[0][:200]!r}, which is not https"
            raise RegistryError(Code.REGISTRY_UNAUTHORIZED, self._registry, detail)
        return realm

    def _read(self, content: bytes, asked_at: float) -> _Token:
        try:
            document: Any = msgspec.json.decode(content)
        except msgspec.DecodeError:
            document = None
        fields = document if isinstance(document, dict) else {}
        token = fields.get("token") or fields.get("access_token")
        if not isinstance(token, str) or not token.isprintable():
            raise RegistryError(Code.REGISTRY_UNAUTHORIZED, self._registry, "its token service gave no token")
        life = fields.get("expires_in")
        seconds = float(life) if isinstance(life, int | float) and life > 0 else _LIFE_DEFAULT
        return _Token(f"Bearer {token}", asked_at + seconds * (1 - _MARGIN))
