"""Authorisation: what goes into the Authorization header, learned from the registry's challenges.

Basic (RFC 7617) and Docker's token protocol (distribution, "Token Authentication Specification"): a 401 names a
realm, and the realm gives, for our credential or for nobody, a bearer token for a scope.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import anyio
import msgspec

from pushd.errors import Code, RegistryError
from pushd.oci.challenge import parse_challenges
from pushd.oci.reply import refusal
from pushd.registry.endpoint import address, is_loopback, origin
from pushd.registry.replies import to_reply

if TYPE_CHECKING:
    from pushd.credentials.credential import Credential
    from pushd.oci.challenge import Challenge
    from pushd.registry.way import Way
    from pushd.registry.wire import Answer

_LIFE_DEFAULT = 60.0
"""Seconds a token lives when its issuer does not say (token specification, `expires_in`)."""
_LIFE_MAX = 1e9
"""Thirty years: more is a figure no clock can hold."""
_MARGIN = 0.25
"""The last part of a token's life, in which no new request starts with it: a body takes time to arrive."""
_SENDABLE = re.compile("[!-~]+")
_HINT = "check the registry's configuration of its token service"


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    stale_at: float


@dataclass(frozen=True, slots=True)
class _Failure:
    error: RegistryError
    at: float


class Authorizer:
    """Authorises requests to one registry with one credential, or with none.

    Args:
        way: to the registry; where that is over TLS, its realm must be too.
        credential: ours for it, or None.
    """

    def __init__(self, way: Way, credential: Credential | None) -> None:
        self._way = way
        self._registry = way.registry
        self._base = way.base
        self._credential = credential
        self._challenge: Challenge | None = None
        self._tokens: dict[str, _Token] = {}
        self._failures: dict[str, _Failure] = {}
        # One request for a token at a time and repository; who waited finds it here.
        self._fetching: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    async def header(self, repository: str) -> str | None:
        """Give the Authorization header for a request about `repository`, or None while none was asked for.

        Raises:
            RegistryError: a token was needed and could not be had.
        """
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge.scheme == "basic" and self._credential is not None:
            return self._credential.basic
        arrived = anyio.current_time()
        async with self._fetching[repository]:
            token = self._tokens.get(repository)
            if token is not None and anyio.current_time() < token.stale_at:
                return token.header
            failure = self._failures.get(repository)
            if failure is not None and failure.at >= arrived:
                raise failure.error  # of the request we waited for: no crowd for a service that is in trouble
            try:
                token = self._tokens[repository] = await self._fetch(challenge, repository)
            except RegistryError as error:
                self._failures[repository] = _Failure(error, anyio.current_time())
                raise
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
                token = self._tokens.get(repository)
                if token is not None and token.header == used:
                    del self._tokens[repository]
            elif challenge.scheme != "basic" or self._credential is None:
                continue
            self._challenge = challenge
            return await self.header(repository) != used
        return False

    async def _fetch(self, challenge: Challenge, repository: str) -> _Token:
        realm = self._realm(challenge)
        # Push first: some registries read only the first action of a scope.
        query = {"service": challenge.parameters.get("service", ""), "scope": f"repository:{repository}:push,pull"}
        url = realm + ("&" if "?" in realm else "?") + urlencode({key: value for key, value in query.items() if value})
        basic = None if self._credential is None else self._credential.basic
        headers = {} if basic is None else {"Authorization": basic}
        asked_at = anyio.current_time()
        subject = f"{self._registry} (token service {urlsplit(realm).netloc})"
        answer = await self._way.exchange("GET", url, headers=headers, subject=subject, realm=True)
        if answer.status != 200:  # noqa: PLR2004 (the one answer that carries a token)
            raise refusal(to_reply(answer), subject, f"for a token to push to {repository}")
        return _read(answer.content, asked_at, subject)

    def _realm(self, challenge: Challenge) -> str:
        realm = challenge.parameters["realm"].partition("#")[0]
        if address(realm) is None:
            detail = "it sends us for a token to an address that is no URL"
            raise RegistryError(Code.REGISTRY_UNAUTHORIZED, self._registry, detail, hint=_HINT)
        if not self._may_go(realm):
            detail = f"it sends us for a token to {realm.partition('?')[0][:200]}, which is not https"
            raise RegistryError(Code.REGISTRY_UNAUTHORIZED, self._registry, detail, hint=_HINT)
        return realm

    def _may_go(self, realm: str) -> bool:
        """Whether a realm may be asked, with our password: over TLS, or no farther than the password goes anyway."""
        (scheme, host, _), (base_scheme, base_host, _) = origin(realm), origin(self._base)
        if scheme == "https":
            return True
        return base_scheme == "http" and (
            self._credential is None or host == base_host or is_loopback(urlsplit(realm).netloc)
        )


def _read(content: bytes, asked_at: float, subject: str) -> _Token:
    try:
        document: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    fields = document if isinstance(document, dict) else {}
    token = fields.get("token") or fields.get("access_token")
    if not isinstance(token, str) or not _SENDABLE.fullmatch(token):
        raise RegistryError(Code.REGISTRY_UNAUTHORIZED, subject, "its answer holds no token", hint=_HINT)
    return _Token(f"Bearer {token}", asked_at + _life(fields.get("expires_in")) * (1 - _MARGIN))


def _life(expires_in: object) -> float:
    """Read the seconds a token lives; what makes no sense is taken for nothing said."""
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float):
        return _LIFE_DEFAULT
    return float(min(expires_in, _LIFE_MAX)) if expires_in > 0 else _LIFE_DEFAULT
