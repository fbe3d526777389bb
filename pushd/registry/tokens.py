"""Tokens from a token service (distribution, "Token Authentication Specification" and "OAuth2 Token Authentication").

With a user name and password, or as nobody, a token is asked for by GET; with an identity token by POST, which is the
only way such a one is taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

import anyio
import msgspec

from pushd.errors import Code, RegistryError
from pushd.oci.reply import refusal
from pushd.registry.endpoint import address, is_loopback, origin
from pushd.registry.replies import to_reply
from pushd.registry.wire import TooLongError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushd.credentials.credential import Credential
    from pushd.oci.challenge import Challenge
    from pushd.oci.scope import Scopes
    from pushd.registry.way import Way

_LIFE_DEFAULT: Final = 60.0
"""Seconds a token lives when its issuer does not say (token specification, `expires_in`)."""
_LIFE_MAX: Final = 1e9
"""Thirty years: more is a figure no clock can hold."""
_MARGIN: Final = 0.25
"""The last part of a token's life, in which no new request starts with it: a body takes time to arrive."""
_SIZE_MAX: Final = 1 << 20
"""Bytes of a service's answer: a token must fit into a header, and headers end at some 64 KiB."""
_SENDABLE: Final = re.compile("[!-~]+")
_CLIENT: Final = "pushd"
"""Whom a service that was asked by POST is to show as having asked (`client_id`)."""
_HINT: Final = "check the registry's configuration of its token service"
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token.

    Attributes:
        header: the value of an Authorization header.
        stale_at: from when on no request is begun with it, on anyio's clock.
        came_at: when it came, on the same.
        identity_token: the one to ask with the next time, where the service gave another; else empty.
    """

    header: str = field(repr=False)
    stale_at: float
    came_at: float
    identity_token: str = field(default="", repr=False)


async def fetch_token(way: Way, challenge: Challenge, scopes: Scopes, credential: Credential | None) -> Token:
    """Ask the token service that a challenge names.

    Args:
        way: to the registry.
        challenge: Bearer, with a realm.
        scopes: what the token is for.
        credential: who asks; None for nobody.

    Raises:
        RegistryError: `registry.realm_refused`, the service is not to be asked; `registry.unauthorized`, it does not
            take the credential; `registry.token_missing`, `.token_life`, `.token_too_long`, its answer is of no use; or
            it did not answer.
    """
    realm = _realm(way, challenge, credential)
    asked_at = anyio.current_time()
    subject = f"{way.registry} (token service {urlsplit(realm).netloc})"
    wanted = _Wanted(realm, challenge.parameters.get("service", ""), scopes)
    posting = credential is not None and bool(credential.identity_token)
    request = wanted.by_post(credential) if credential is not None and posting else wanted.by_get(credential)
    try:
        answer = await way.exchange(
            request.method, request.url, headers=request.headers, subject=subject, body=request.body, realm=True
        )
    except TooLongError as error:
        raise RegistryError(
            Code.REGISTRY_TOKEN_TOO_LONG, subject, "its answer is longer than any token could be", hint=_HINT
        ) from error
    reply = to_reply(answer, secrets=() if credential is None else credential.secrets)
    if posting and reply.status == 400:  # noqa: PLR2004 (RFC 6749, 5.2: invalid_grant, among others)
        reply = replace(reply, status=401)
    if reply.status != 200:  # noqa: PLR2004 (the one answer that carries a token)
        raise refusal(reply, subject, f"for a token{f' for {scopes[0]}' if scopes else ''}")
    return _read(answer.content, asked_at, subject)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A token that is wanted, and the two ways to ask for it."""

    realm: str = field(repr=False)
    service: str
    scopes: Scopes

    def by_get(self, credential: Credential | None) -> _Request:
        """Ask with a user name and password, or as nobody."""
        query = [("service", self.service)] if self.service else []
        basic = None if credential is None else credential.basic
        if credential is not None and basic is not None:
            query.append(("account", credential.username))
        query.extend(("scope", scope) for scope in self.scopes)
        url = f"{self.realm}{'&' if '?' in self.realm else '?'}{urlencode(query)}" if query else self.realm
        return _Request("GET", url, {} if basic is None else {"Authorization": basic})

    def by_post(self, credential: Credential) -> _Request:
        """Ask with an identity token, which is a refresh token of OAuth2 (RFC 6749, 6)."""
        form = {
            "grant_type": "refresh_token",
            "service": self.service,
            "client_id": _CLIENT,
            "scope": " ".join(self.scopes),
            "refresh_token": credential.identity_token,
        }
        return _Request("POST", self.realm, _FORM, urlencode(form).encode())


def _realm(way: Way, challenge: Challenge, credential: Credential | None) -> str:
    realm = challenge.parameters["realm"].partition("#")[0]
    if address(realm) is None:
        detail = "it sends us for a token to an address that is no URL"
        raise RegistryError(Code.REGISTRY_REALM_REFUSED, way.registry, detail, hint=_HINT)
    if not _may_go(realm, way.base, open_=credential is None):
        detail = f"it sends us for a token to {realm.partition('?')[0][:200]}, which is not https"
        raise RegistryError(Code.REGISTRY_REALM_REFUSED, way.registry, detail, hint=_HINT)
    return realm


def _may_go(realm: str, base: str, *, open_: bool) -> bool:
    """Whether a realm may be asked, with our secret: over TLS, or no farther than the secret goes anyway."""
    (scheme, host, _), (base_scheme, base_host, _) = origin(realm), origin(base)
    if scheme == "https":
        return True
    return base_scheme == "http" and (open_ or host == base_host or is_loopback(urlsplit(realm).netloc))


def _read(content: bytes, asked_at: float, subject: str) -> Token:
    if len(content) > _SIZE_MAX:
        detail = f"its answer is longer than {_SIZE_MAX >> 20} MiB, which no token is"
        raise RegistryError(Code.REGISTRY_TOKEN_TOO_LONG, subject, detail, hint=_HINT)
    try:
        document: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    fields = document if isinstance(document, dict) else {}
    token = fields.get("token") or fields.get("access_token")
    if not isinstance(token, str) or not _SENDABLE.fullmatch(token):
        raise RegistryError(Code.REGISTRY_TOKEN_MISSING, subject, "its answer holds no token", hint=_HINT)
    life = _life(fields.get("expires_in"))
    if life < 0:
        detail = f"it gave a token that ended {-life:.16g} s before it was given"
        raise RegistryError(Code.REGISTRY_TOKEN_LIFE, subject, detail, hint=_HINT)
    following = fields.get("refresh_token")
    return Token(
        f"Bearer {token}",
        asked_at + life * (1 - _MARGIN),
        anyio.current_time(),
        following if isinstance(following, str) and _SENDABLE.fullmatch(following) else "",
    )


def _life(expires_in: object) -> float:
    """Read the seconds a token lives; what makes no sense is taken for nothing said."""
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float) or expires_in == 0:
        return _LIFE_DEFAULT
    return float(max(min(expires_in, _LIFE_MAX), -_LIFE_MAX))
