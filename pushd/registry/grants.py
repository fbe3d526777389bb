"""Who may use the daemon's own credentials, and for what. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Sequence


class _Everyone:
    """A set that all are in."""

    def __contains__(self, _: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "EVERYONE"


EVERYONE: Final[Container[int]] = _Everyone()
"""All users, in place of some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One rule.

    Attributes:
        registry: a pattern for `host[:port]`, in any case; without a port, for the host without one.
        repositories: patterns for the repositories. In all of these `*` fits anything, slashes included, and `?` any
            one character; nothing else has a meaning of its own, so that `[::1]:5000` is a host.
        users: the uids it is for,
        groups: and the gids.
    """

    registry: str
    repositories: Sequence[str] = ("*",)
    users: Container[int] = frozenset()
    groups: frozenset[int] = frozenset()

    def allows(self, registry: str, repository: str, uid: int, gids: frozenset[int]) -> bool:
        """Whether it lets the user `uid` in the groups `gids` use the credential of a registry for a repository."""
        return (
            (uid in self.users or not self.groups.isdisjoint(gids))
            and _fits(registry.lower(), self.registry.lower())
            and any(_fits(repository, pattern) for pattern in self.repositories)
        )


@dataclass(frozen=True, slots=True)
class Grants:
    """All rules; one that allows suffices. Without any, nobody is allowed anything."""

    grants: Sequence[Grant] = ()

    def allows(self, registry: str, repository: str, uid: int, gids: frozenset[int]) -> bool:
        """Whether the user `uid` in the groups `gids` may use the credential of `host[:port]` for a repository."""
        return any(grant.allows(registry, repository, uid, gids) for grant in self.grants)


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]"))
