"""Credentials stored with the daemon under a name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pushd.client import targets
from pushd.client.conversation import TRY_WITHIN, Speaker
from pushd.client.documents import JSON
from pushd.client.exchange import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Logins(Speaker):
    """The part of `Client` that stores credentials, for jobs to come."""

    def login(
        self,
        registry: str,
        *,
        name: str | None = None,
        username: str | None = None,
        password: str | None = None,
        identity_token: str | None = None,
        expires_in: float | None = None,
    ) -> Mapping[str, Any]:
        """Store a credential of the caller's with the daemon, for all their jobs; it is tried at the registry first.

        Deliveries of theirs that wait for one go on with it. What had the same name is replaced.

        Args:
            registry: `host[:port]`, or a part of that registry, `host[:port]/path`.
            name: what jobs may call it; made from the registry when None.
            username: goes with the password; may go with a token.
            password: either that,
            identity_token: or an OAuth2 refresh token.
            expires_in: seconds until it is forgotten; None for as long as the daemon keeps one.

        Returns:
            `name`, `registry`, `created_at`, `expires_at`, whether it is `usable`, whether the registry takes it
            (`verified`; None: that could not be told), and how many deliveries go on (`resumed`).

        Raises:
            RequestError: `request.credential_refused`, the registry does not take it and nothing was stored;
                `request.malformed`, `request.invalid_reference`.
        """
        request = _storing(
            login_name(registry) if name is None else name,
            registry,
            username=username,
            password=password,
            identity_token=identity_token,
            expires_in=expires_in,
        )
        return self._conversation.ask(request, dict)

    def logins(self) -> Sequence[Mapping[str, Any]]:
        """Give what the caller has stored, without what is in it.

        Returns:
            For each `name`, `registry`, `created_at`, `expires_at`, and whether it is `usable` still.
        """
        request = Request(method="GET", target=targets.path("logins"))
        return self._conversation.ask(request, lambda document: [*map(dict, document["logins"])])

    def logout(self, name: str) -> None:
        """Have a stored credential forgotten.

        Raises:
            RequestError: `request.not_found`.
        """
        self._conversation.ask(Request(method="DELETE", target=targets.path("logins", name)), lambda _: None)


def login_name(registry: str) -> str:
    """Give the name a login for a registry, or a part of it, has when nobody gave it one: `host[:port]::path:path`.

    A name holds no slash, and neither a host nor a path two colons: no two places have the same.
    """
    host, slash, path = registry.lower().strip("/").partition("/")
    host = host.replace("[", "").replace("]", "").lstrip(".:")
    return f"{host}::{path.replace('/', ':')}" if slash else host


def _storing(
    name: str,
    registry: str,
    *,
    username: str | None,
    password: str | None,
    identity_token: str | None,
    expires_in: float | None,
) -> Request:
    """Give the request that stores a credential: it says what it was told, and the daemon judges if that will do."""
    given: Mapping[str, Any] = {
        "registry": registry,
        "username": username,
        "password": password,
        "identity_token": identity_token,
        "expires_in": expires_in,
    }
    body = json.dumps({field: value for field, value in given.items() if value is not None}).encode()
    return Request(
        method="PUT",
        target=targets.path("logins", name),
        headers=JSON,
        body=body,
        answer_within=TRY_WITHIN,
        secret=True,
    )
