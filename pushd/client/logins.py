"""Credentials stored with the daemon under a name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pushd.client import targets
from pushd.client.exchange import Request

if TYPE_CHECKING:
    from collections.abc import Mapping


def login_name(registry: str) -> str:
    """Give the name a login for `host[:port]` or `host[:port]/path` has when nobody gave it one: `host[:port].path`."""
    return registry.lower().strip("/").replace("/", ".").replace("[", "").replace("]", "").lstrip(".:")


def storing(
    name: str,
    registry: str,
    *,
    username: str | None,
    password: str | None,
    identity_token: str | None,
    expires_in: float | None,
    answer_within: float,
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
        headers={"Content-Type": "application/json"},
        body=body,
        answer_within=answer_within,
    )
