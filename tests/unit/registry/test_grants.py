from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.registry.grants import EVERYONE, Grant, Grants

ALICE, BOB = 1001, 1002
TEAM, OTHERS = 100, 101


def allowed(
    grant: Grant, registry: str = "registry.example", repository: str = "team/app", uid: int = ALICE,
    gids: frozenset[int] = frozenset({TEAM}),
) -> bool:  # fmt: skip
    return Grants((grant,)).allows(registry, repository, uid, gids)


def test_without_a_grant_nobody_is_allowed_anything() -> None:
    assert not Grants().allows("registry.example", "team/app", ALICE, frozenset({TEAM}))


def test_a_grant_is_for_those_it_names() -> None:
    alice = Grant(registry="registry.example", users=frozenset({ALICE}))
    assert allowed(alice)
    assert not allowed(alice, uid=BOB)


def test_a_grant_is_for_the_groups_it_names() -> None:
    team = Grant(registry="registry.example", groups=frozenset({TEAM}))
    assert allowed(team, uid=BOB, gids=frozenset({OTHERS, TEAM}))
    assert not allowed(team, gids=frozenset({OTHERS}))
    assert not allowed(team, gids=frozenset())


def test_a_uid_is_no_gid_though_the_number_be_the_same() -> None:
    assert not allowed(Grant(registry="*", groups=frozenset({ALICE})))
    assert not allowed(Grant(registry="*", users=frozenset({TEAM})))


def test_a_grant_for_nobody_allows_nothing() -> None:
    assert not allowed(Grant(registry="*"))


def test_a_grant_may_be_for_everyone() -> None:
    grant = Grant(registry="registry.example", users=EVERYONE)
    assert allowed(grant, uid=BOB, gids=frozenset())
    assert not allowed(grant, registry="other.example")
    assert "EVERYONE" in repr(grant)


@pytest.mark.parametrize(
    ("pattern", "registry", "fits"),
    [
        ("registry.example", "registry.example", True),
        ("Registry.Example", "registry.example", True),
        ("registry.example", "registry.example:5000", False),
        ("registry.example:*", "registry.example:5000", True),
        ("registry.example:500?", "registry.example:5000", True),
        ("*.example", "registry.example", True),
        ("*.example", "registry.example.evil", False),
        ("registry.example", "evil-registry.example", False),
        ("registry.example", "registryxexample", False),
        ("*", "anything:1", True),
        ("[::1]:5000", "[::1]:5000", True),
        ("[::1]:5000", "1:5000", False),  # no set of characters
        ("", "registry.example", False),
    ],
)
def test_a_registry_is_named_by_a_pattern_of_host_and_port(pattern: str, registry: str, *, fits: bool) -> None:
    assert allowed(Grant(registry=pattern, users=EVERYONE), registry=registry) is fits


@pytest.mark.parametrize(
    ("patterns", "repository", "fits"),
    [
        (("team/app",), "team/app", True),
        (("team/app",), "team/app2", False),
        (("team/*",), "team/app", True),
        (("team/*",), "team/app/inner", True),  # slashes included
        (("team/*",), "team", False),
        (("team/*",), "my-team/app", False),
        (("*/app",), "team/inner/app", True),
        (("other/*", "team/*"), "team/app", True),
        (("team/[a]pp",), "team/app", False),
        ((), "team/app", False),
    ],
)
def test_repositories_are_named_by_patterns(patterns: tuple[str, ...], repository: str, *, fits: bool) -> None:
    grant = Grant(registry="*", repositories=patterns, users=EVERYONE)
    assert allowed(grant, repository=repository) is fits


def test_one_grant_that_allows_suffices_and_none_lends_to_another() -> None:
    grants = Grants(
        (
            Grant(registry="registry.example", repositories=("team/*",), users=frozenset({ALICE})),
            Grant(registry="registry.example", repositories=("other/*",), users=frozenset({BOB})),
            Grant(registry="mirror.example", users=frozenset({BOB})),
        )
    )
    assert grants.allows("registry.example", "team/app", ALICE, frozenset())
    assert not grants.allows("registry.example", "other/app", ALICE, frozenset())
    assert not grants.allows("registry.example", "team/app", BOB, frozenset())
    assert not grants.allows("mirror.example", "team/app", ALICE, frozenset())


@given(st.text(alphabet="ab.:/[]!-*?", max_size=12), st.text(alphabet="ab.:/[]!-", max_size=12))
def test_only_stars_and_question_marks_mean_anything_but_themselves(pattern: str, name: str) -> None:
    fits = allowed(Grant(registry="*", repositories=(pattern,), users=EVERYONE), repository=name)
    if not set(pattern) & set("*?"):
        assert fits is (pattern == name)
    if set(pattern) == {"*"}:
        assert fits
