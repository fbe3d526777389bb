"""Who may do what, out of the configuration: names become numbers here, once, when the daemon starts."""

from __future__ import annotations

import grp
import os
import pwd
from contextlib import suppress
from typing import TYPE_CHECKING

from pushd.api.access import Cap, Doors
from pushd.registry.grants import EVERYONE, Grant, Grants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pushd.config import Config


def doors(config: Config, addresses: Mapping[str, str | bytes]) -> Doors:
    """Give who is served, and by which socket as what.

    Args:
        config: what is configured.
        addresses: the address of each socket of `[sockets]`, by its name, as `getsockname` gives it.
    """
    return Doors(
        own_uid=os.geteuid(),
        administrators=group_ids(config.access.administrators),
        submitters=group_ids(config.access.submitters),
        caps={addresses[name]: Cap(it.role, it.paths) for name, it in config.sockets.items() if name in addresses},
    )


def admit(now: Doors, config: Config, addresses: Mapping[str, str | bytes]) -> None:
    """Have `now` admit whom a configuration that was read again says. A socket that is served keeps a cap always."""
    fresh = doors(config, addresses)
    now.administrators, now.submitters = fresh.administrators, fresh.submitters
    now.caps = {**now.caps, **fresh.caps}


def grants(config: Config) -> Grants:
    """Give who besides administrators may use the daemon's credentials."""
    return Grants(
        tuple(
            Grant(
                registry=it.registry,
                repositories=it.repositories,
                users=EVERYONE if "*" in it.users else user_ids(it.users),
                groups=group_ids(it.groups),
            )
            for it in config.credentials.grants
        )
    )


def group_ids(names: Iterable[str]) -> frozenset[int]:
    """Give the ids of groups. A number is one; a name the system does not know is left out: nobody is in it."""
    return frozenset(_ids(names, lambda name: grp.getgrnam(name).gr_gid))


def user_ids(names: Iterable[str]) -> frozenset[int]:
    """Give the ids of users; likewise."""
    return frozenset(_ids(names, lambda name: pwd.getpwnam(name).pw_uid))


def _ids(names: Iterable[str], known: Callable[[str], int]) -> Iterator[int]:
    for name in names:
        if name.isascii() and name.isdigit():
            yield int(name)
        else:
            with suppress(KeyError):
                yield known(name)
