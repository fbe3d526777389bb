"""What a credential helper answers: JSON with `Username` and `Secret` (docker-credential-helpers). Pure."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pushd.credentials.credential import Credential
from pushd.credentials.entry import TOKEN_USER, is_text

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Answer:
    """What a helper keeps for a registry.

    Attributes:
        username: of the user; empty when the secret is a token.
        secret: a password, or an identity token.
        expires_at: until when it is good, where the helper says so.
    """

    username: str
    secret: str = field(repr=False)
    expires_at: datetime | None = None

    def credential(self, source: str, where: str = "") -> Credential:
        """Give it as a credential that was found in `source`."""
        if not self.username:
            return Credential(source, identity_token=self.secret, where=where)
        return Credential(source, self.username, self.secret, where=where)


def read_answer(said: bytes, now: datetime) -> Answer | None:
    """Read an answer; None when it is an empty one, which is how some helpers say that they have no credential.

    The names of its fields are taken in any letter case. Some helpers tell besides how long it is good for:
    `ExpiresAt`, a time (RFC 3339), or `ExpiresIn`, seconds.

    Args:
        said: what the helper wrote to standard output.
        now: when, in UTC.

    Raises:
        ValueError: it is none; the text says why, and nothing of what was said.
    """
    try:
        answer: Any = json.loads(said)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ValueError("does not answer with a JSON object")  # noqa: TRY004 (the one error there is here)
    fields = {name.lower(): value for name, value in answer.items()}
    username, secret = fields.get("username") or "", fields.get("secret") or ""
    if not is_text(username) or not is_text(secret):
        raise ValueError("answers with a Username or a Secret that is no text")
    if not username and not secret:
        return None
    if not username or not secret:
        raise ValueError(f"answers without a {'Secret' if username else 'Username'}")
    return Answer("" if username == TOKEN_USER else username, secret, _expiry(fields, now))


def _expiry(fields: Mapping[str, Any], now: datetime) -> datetime | None:
    """Give until when an answer is good. What makes no sense, or is over already, was not said."""
    said, life = fields.get("expiresat"), fields.get("expiresin")
    expiry = None
    if isinstance(said, str):
        with suppress(ValueError):
            expiry = datetime.fromisoformat(said.upper())
    elif isinstance(life, int | float) and not isinstance(life, bool):
        with suppress(ValueError, OverflowError):
            expiry = now + timedelta(seconds=life)
    return expiry if expiry is not None and expiry.tzinfo is not None and expiry > now else None
