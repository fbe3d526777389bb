"""A token service: Docker's token protocol, by GET and by POST, with tokens that real registries take.

    with TokenServer(Signer(authority.server("tokens")), accounts={"ci": "secret"}, life=5) as tokens:
        registry(Tokens(realm=tokens.realm, service=tokens.service, issuer=tokens.issuer, bundle=authority.ca))
        push(...)
        assert tokens.issued["repository:team/app:pull,push"] < 5

(distribution, "Token Authentication Specification" and "Oauth2 Token Authentication".)
"""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.threaded import Handler, ThreadedServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from tests.fakes.signer import Signer

ENDLESS = 100 << 20
"""Bytes of an answer that is far too long."""


class Mood(Enum):
    """How it answers when somebody asks for a token to a repository."""

    REFUSES = auto()
    """403, whoever asks."""
    FORGETS = auto()
    """200 without a token."""
    NEGATIVE = auto()
    """A token whose life is negative."""
    ENDLESS = auto()
    """100 MB, unless whoever asked hangs up before."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """One request for a token.

    Attributes:
        grant: by what: `basic`, `refresh_token`, `password`, or empty for nobody's word.
        secret: the password or the identity token.
        account: whose; of an identity token, who that stands for.
        service: the registry it is to be for.
        client: the name of the program that asks, which POST must give.
        scopes: as they were asked for, in order.
        status: what it was answered with.
        sent: bytes of the answer that were taken so far.
        ended: nothing more of the answer will be taken.
    """

    method: str
    grant: str
    account: str
    secret: str = field(repr=False)
    service: str
    client: str
    scopes: tuple[str, ...]
    status: int = 0
    sent: int = 0
    ended: bool = False

    @property
    def repositories(self) -> list[str]:
        """What it is about."""
        return [_repository(scope) for scope in self.scopes if scope.startswith("repository:")]


class TokenServer(ThreadedServer):
    """The token service.

    Args:
        signer: of its tokens.
        accounts: passwords by user.
        identities: users by the identity token (OAuth2 refresh token) that stands for them.
        life: seconds after which registries refuse a token.
        says: seconds it says a token is good for; None for the truth.
        tls: what it speaks TLS with; None for plain HTTP.

    Attributes:
        moods: how it treats who asks for a repository; without one, as it should.
        requests: all, in the order of arrival; whoever has an answer finds its request here.
        issued: the tokens given out, by scope, its actions in alphabetical order.
    """

    service = "registry.test"
    issuer = "tokens.test"

    def __init__(
        self,
        signer: Signer,
        *,
        accounts: Mapping[str, str] | None = None,
        identities: Mapping[str, str] | None = None,
        life: float = 300,
        says: float | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.signer = signer
        self.accounts = dict(accounts or {})
        self.identities = dict(identities or {})
        self.life = life
        self.says = says
        self.moods: dict[str, Mood] = {}
        self.requests: list[Asked] = []
        self.issued: Counter[str] = Counter()
        self.lock = threading.Lock()
        super().__init__(_TokenHandler, self, tls)

    @property
    def realm(self) -> str:
        """The URL registries are to name."""
        return f"{self.url}/token"

    def asked(self, repository: str) -> list[Asked]:
        """Give the requests that were about a repository."""
        return [one for one in self.requests if repository in one.repositories]

    def answer(self, asked: Asked) -> tuple[HTTPStatus, dict[str, Any]]:
        """Decide a request: the status, and the document."""
        if asked.method == "POST" and not (asked.service and asked.client):
            return HTTPStatus.BAD_REQUEST, {"error": "invalid_request"}
        if asked.grant not in ("", "basic", "password", "refresh_token"):
            return HTTPStatus.BAD_REQUEST, {"error": "unsupported_grant_type"}
        if asked.grant == "refresh_token" and not asked.account:
            return HTTPStatus.BAD_REQUEST, {"error": "invalid_grant", "error_description": "it expired, or never was"}
        if asked.grant in ("basic", "password") and self.accounts.get(asked.account) != asked.secret:
            return HTTPStatus.UNAUTHORIZED, _error("UNAUTHORIZED")
        moods = {self.moods.get(repository) for repository in asked.repositories}
        if Mood.REFUSES in moods:
            return HTTPStatus.FORBIDDEN, _error("DENIED")
        life = -self.life if Mood.NEGATIVE in moods else self.life if self.says is None else self.says
        document: dict[str, Any] = {"expires_in": int(life), "issued_at": datetime.now(UTC).isoformat()}
        if Mood.FORGETS not in moods:
            document["access_token" if asked.method == "POST" else "token"] = self._issue(asked)
        return HTTPStatus.OK, document

    def _issue(self, asked: Asked) -> str:
        granted: dict[str, list[str]] = {}
        for scope, repository in zip(asked.scopes, asked.repositories, strict=True):
            actions = scope.rpartition(":")[2].split(",")
            # Whoever names nobody may pull, and no more.
            granted[repository] = [action for action in actions if asked.account or action == "pull"]
        with self.lock:
            self.issued.update(f"repository:{name}:{','.join(sorted(can))}" for name, can in granted.items())
        return self.signer.token(
            issuer=self.issuer, service=self.service, account=asked.account, life=self.life, granted=granted
        )


class _TokenHandler(Handler):
    part: TokenServer

    def answer(self) -> None:
        if self.command == "POST":
            self._by_post()
        else:
            self._by_get()

    def _by_get(self) -> None:
        given = self.headers.get("Authorization", "")
        account = secret = grant = ""
        if given.startswith("Basic "):
            account, _, secret = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
            grant = "basic"
        self._decide(parse_qs(urlsplit(self.path).query), grant, account, secret)

    def _by_post(self) -> None:
        form = parse_qs(self.body().decode())
        grant = _first(form, "grant_type")
        if grant == "refresh_token":
            secret = _first(form, "refresh_token")
            account = self.part.identities.get(secret, "")
        else:
            secret, account = _first(form, "password"), _first(form, "username")
        self._decide(form, grant, account, secret)

    def _decide(self, parameters: Mapping[str, list[str]], grant: str, account: str, secret: str) -> None:
        asked = Asked(
            method=self.command,
            grant=grant,
            account=account,
            secret=secret,
            service=_first(parameters, "service"),
            client=_first(parameters, "client_id"),
            # By GET each has a parameter of its own, by POST one holds them all.
            scopes=tuple(scope for value in parameters.get("scope", ()) for scope in value.split()),
        )
        status, document = self.part.answer(asked)
        asked.status = status
        with self.part.lock:
            self.part.requests.append(asked)
        try:
            if any(self.part.moods.get(it) is Mood.ENDLESS for it in asked.repositories):
                for piece in self.stream(status, ENDLESS):
                    asked.sent += piece
            else:
                content = json.dumps(document).encode()
                challenge = {"WWW-Authenticate": 'Basic realm="tokens"'} if status == HTTPStatus.UNAUTHORIZED else {}
                self.reply(status, content, challenge)
                asked.sent = len(content)
        finally:
            asked.ended = True


def _repository(scope: str) -> str:
    return scope.partition(":")[2].rpartition(":")[0]


def _first(parameters: Mapping[str, list[str]], name: str) -> str:
    return parameters.get(name, [""])[0]


def _error(code: str) -> dict[str, Any]:
    return {"errors": [{"code": code, "message": "the token service says no"}]}
