"""Who may do what at the fake registry: Basic, and Bearer with a token endpoint (distribution spec, token auth)."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from tests.fakes.behaviour import Basic
from tests.fakes.faults import error_body
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.fakes.behaviour import Bearer
    from tests.fakes.traffic import Seen

SERVICE = "fake-registry"


@dataclass(frozen=True, slots=True)
class Token:
    """What a bearer was granted, and until when in seconds of the monotonic clock."""

    scopes: frozenset[tuple[str, str]]
    expires: float


class Guard:
    """Lets requests in, or says what they lack."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}

    def forget_tokens(self) -> None:
        """Let every token given out so far be invalid from now on."""
        self._tokens.clear()

    def refuse(self, auth: Basic | Bearer | None, seen: Seen, realm: str) -> web.Response | None:
        """Give the 401 for a request, or None when it may pass.

        Args:
            realm: the URL of the token endpoint.
        """
        given = seen.headers.get("Authorization", "")
        if auth is None:
            return None
        if isinstance(auth, Basic):
            return None if given == basic(auth) else _unauthorized('Basic realm="fake"')
        challenge = f'Bearer realm="{realm}",service="{SERVICE}"'
        needed = frozenset(_needed(seen))
        if needed:
            challenge += f',scope="{" ".join(_say(needed))}"'
        if not given.startswith("Bearer "):
            return _unauthorized(challenge)
        token = self._tokens.get(given.removeprefix("Bearer "))
        if token is None or token.expires <= time.monotonic():
            return _unauthorized(challenge + ',error="invalid_token"')
        if not needed <= token.scopes:
            return _unauthorized(challenge + ',error="insufficient_scope"')
        return None

    def issue(self, auth: Bearer, seen: Seen, scopes: Iterable[str]) -> web.Response:
        """Answer a request to the token endpoint: `GET /token?service=&scope=repository:<name>:<action>,...`."""
        given = seen.headers.get("Authorization")
        if seen.query.get("service") != SERVICE:
            return web.Response(status=400, body=error_body("UNSUPPORTED", "unknown service"))
        if given is not None and (auth.account is None or given != basic(auth.account)):
            return _unauthorized('Basic realm="fake"')
        granted = frozenset(_parse(scopes))
        if auth.account is not None and given is None:
            granted = frozenset(scope for scope in granted if scope[1] == "pull")
        value = secrets.token_urlsafe()
        self._tokens[value] = Token(granted, time.monotonic() + auth.life)
        document = {"token": value, "expires_in": int(auth.life)}
        return web.Response(body=json.dumps(document).encode(), content_type="application/json")


def basic(account: Basic) -> str:
    """Give the Authorization header of an account (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{account.username}:{account.password}".encode()).decode()


def _needed(seen: Seen) -> Iterator[tuple[str, str]]:
    """Name what a request needs, as (repository, action)."""
    if not seen.repository:
        return
    if seen.method == "DELETE":
        yield seen.repository, "delete"
        return
    yield seen.repository, "pull"
    if seen.method in ("POST", "PATCH", "PUT") or seen.kind is Kind.STATUS:
        yield seen.repository, "push"
    if seen.kind is Kind.MOUNT and "from" in seen.query:
        yield seen.query["from"], "pull"


def _parse(scopes: Iterable[str]) -> Iterator[tuple[str, str]]:
    for scope in scopes:
        for one in scope.split():
            kind, _, rest = one.partition(":")
            name, _, actions = rest.rpartition(":")
            if kind == "repository":
                yield from ((name, action) for action in actions.split(","))


def _say(scopes: Iterable[tuple[str, str]]) -> list[str]:
    by_name: dict[str, set[str]] = {}
    for name, action in scopes:
        by_name.setdefault(name, set()).add(action)
    return [f"repository:{name}:{','.join(sorted(actions))}" for name, actions in sorted(by_name.items())]


def _unauthorized(challenge: str) -> web.Response:
    return web.Response(
        status=401,
        headers={"WWW-Authenticate": challenge},
        body=error_body("UNAUTHORIZED", "authentication required"),
        content_type="application/json",
    )
