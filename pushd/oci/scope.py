"""Scopes of the token protocol: what a token is asked for (distribution, "Token Scope Documentation").

A scope is written `repository:<name>:<action>,<action>`. Several of them make a token's rights, in an order: some
registries read only the first one, and only its first action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

Scopes = tuple[str, ...]
"""Scopes, the most important first. None at all ask for a token that only tells who somebody is."""

_ORDER: Final = {"push": 0, "pull": 1}


def to_push(repository: str, *, pulling: str | None = None, deleting: bool = False) -> Scopes:
    """Give the scopes for a request about `repository`.

    Args:
        repository: is pushed to, and read back.
        pulling: another repository of the same registry, which a blob is mounted from.
        deleting: an upload is deleted: distribution wants a right of its own for that.
    """
    scopes = (f"repository:{repository}:push,pull{',delete' if deleting else ''}",)
    return scopes if pulling is None else (*scopes, f"repository:{pulling}:pull")


def to_pull(repository: str) -> Scopes:
    """Give the scopes for a request that only reads `repository`."""
    return (f"repository:{repository}:pull",)


def widened(scopes: Scopes, challenge: str) -> Scopes:
    """Give `scopes` with what a challenge's `scope` parameter asks for besides; the same ones when that is nothing."""
    rights: dict[str, list[str]] = {}
    for scope in (*scopes, *challenge.split()):
        resource, colon, actions = scope.rpartition(":")
        if colon and resource:
            known = rights.setdefault(resource, [])
            known.extend(action for action in actions.split(",") if action and action not in known)
    return tuple(f"{resource}:{','.join(_ordered(actions))}" for resource, actions in rights.items())


def _ordered(actions: Iterable[str]) -> list[str]:
    return sorted(actions, key=lambda action: _ORDER.get(action, len(_ORDER)))
