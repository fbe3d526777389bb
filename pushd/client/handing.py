"""Credentials on their way to the daemon, as its JSON has them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushd.work import Handed

_SHORTEST: Final = 1.0
"""Seconds. What has expired is handed over as well: whoever sees it refused knows what to renew."""
_LONGEST: Final = 366 * 86_400.0
"""Seconds, the most the daemon takes."""
_NO_USER: Final = frozenset({"", "<token>"})
"""What stands for a user where a credential helper gave a token."""


def handed_over(handed: Iterable[Handed]) -> dict[str, Any]:
    """Give the field of a body that hands credentials over; none for none, which an older daemon takes as well."""
    now = datetime.now(UTC)
    documents = [_document(one, now) for one in handed]
    return {"credentials": documents} if documents else {}


def _document(handed: Handed, now: datetime) -> dict[str, Any]:
    it = handed.credential
    document: dict[str, Any] = {"registry": handed.scope}
    if it.identity_token:
        document["identity_token"] = it.identity_token
        if it.username not in _NO_USER:
            document["username"] = it.username
    elif it.registry_token:
        document["registry_token"] = it.registry_token
    else:
        document |= {"username": it.username, "password": it.password}
    if handed.expires_at is not None:
        left = (handed.expires_at - now).total_seconds()
        document["expires_in"] = min(max(left, _SHORTEST), _LONGEST)
    return document
