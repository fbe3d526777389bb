from __future__ import annotations

import grp
import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from pushd.api.access import Cap
from pushd.config import Access, Config, Credentials, Daemon, Grant, Socket
from pushd.principal import Role
from pushd.service.access import doors, grants, group_ids, user_ids

CONFIG = Config(daemon=Daemon(socket=Path("/run/pushd/pushd.sock"), state_dir=Path("/var/lib/pushd")))
UNKNOWN = ["no-such-name-of-pushd", "\N{ARABIC-INDIC DIGIT FIVE}"]


def test_groups_and_users_are_found_by_name_or_are_their_number() -> None:
    group, user = grp.getgrall()[-1], pwd.getpwall()[-1]

    assert group_ids([group.gr_name, "5001", "0"]) == {group.gr_gid, 5001, 0}
    assert user_ids([user.pw_name, "5001", "0"]) == {user.pw_uid, 5001, 0}


def test_nobody_has_a_name_the_system_does_not_know() -> None:
    assert group_ids(UNKNOWN) == frozenset()
    assert user_ids(UNKNOWN) == frozenset()


def test_the_doors_are_as_they_are_configured() -> None:
    config = replace(
        CONFIG,
        access=Access(administrators=("7",), submitters=("8", *UNKNOWN)),
        sockets={"ci": Socket(path=Path("/run/ci.sock"), role=Role.SUBMITTER, paths=True)},
    )

    it = doors(config, {"ci": "/run/ci.sock"})

    assert (it.own_uid, it.administrators, it.submitters) == (os.geteuid(), frozenset({7}), frozenset({8}))
    assert it.caps == {"/run/ci.sock": Cap(Role.SUBMITTER, paths=True)}


@pytest.mark.parametrize(
    ("uid", "gids", "repository", "allowed"),
    [
        (1000, {1000}, "team/app", True),
        (1001, {1001, 50}, "team/app", True),
        (1001, {1001}, "team/app", False),
        (1000, {1000}, "other/app", False),
    ],
)
def test_a_credential_is_for_those_it_is_granted_to(
    uid: int, gids: set[int], repository: str, *, allowed: bool
) -> None:
    one = Grant(registry="registry.example.com", users=("1000",), groups=("50",), repositories=("team/*",))
    config = replace(CONFIG, credentials=Credentials(grants=(one,)))

    assert grants(config).allows("registry.example.com", repository, uid, frozenset(gids)) is allowed
    assert not grants(config).allows("another.example.com", repository, uid, frozenset(gids))


def test_a_star_is_everyone() -> None:
    config = replace(CONFIG, credentials=Credentials(grants=(Grant(registry="*", users=("*",)),)))

    assert grants(config).allows("registry.example.com", "team/app", 4711, frozenset())


def test_without_grants_nobody_but_administrators_uses_them() -> None:
    assert not grants(CONFIG).allows("registry.example.com", "team/app", 0, frozenset({0}))
