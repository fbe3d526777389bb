"""Who calls, where no socket tells."""

from __future__ import annotations

from pushd.principal import Principal, Role

ROOT = Principal(uid=0, gids=frozenset({0}), role=Role.ADMINISTRATOR, paths=True)


def submitter(uid: int, *gids: int, paths: bool = True) -> Principal:
    """Give somebody who may hand in jobs, in these groups."""
    return Principal(uid=uid, gids=frozenset(gids), role=Role.SUBMITTER, paths=paths)
