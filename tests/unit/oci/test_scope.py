"""Scopes: what a token is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.oci.scope import to_pull, to_push, widened


def test_push_comes_first_because_some_registries_read_nothing_else() -> None:
    assert to_push("team/app") == ("repository:team/app:push,pull",)


def test_a_mount_needs_to_pull_from_where_the_blob_is_and_the_destination_comes_first() -> None:
    assert to_push("a", pulling="z") == ("repository:a:push,pull", "repository:z:pull")


def test_an_upload_that_is_deleted_needs_a_right_of_its_own() -> None:
    assert to_push("a", deleting=True) == ("repository:a:push,pull,delete",)


def test_whoever_only_reads_asks_for_no_right_to_push() -> None:
    assert to_pull("team/app") == ("repository:team/app:pull",)


@pytest.mark.parametrize(
    ("challenge", "wanted"),
    [
        ("", ("repository:a:push,pull",)),
        ("repository:a:pull", ("repository:a:push,pull",)),
        ("repository:a:pull,push", ("repository:a:push,pull",)),
        ("repository:a:delete,pull", ("repository:a:push,pull,delete",)),
        ("repository:a:*", ("repository:a:push,pull,*",)),
        ("repository:b:pull,push", ("repository:a:push,pull", "repository:b:push,pull")),
        ("registry:catalog:*", ("repository:a:push,pull", "registry:catalog:*")),
        ("repository:b:pull  repository:a:x", ("repository:a:push,pull,x", "repository:b:pull")),
        ("nonsense", ("repository:a:push,pull",)),
        (":push", ("repository:a:push,pull",)),
        ("repository:a:,", ("repository:a:push,pull",)),
    ],
)
def test_what_a_challenge_asks_for_besides_joins_what_we_want(challenge: str, wanted: tuple[str, ...]) -> None:
    assert widened(to_push("a"), challenge) == wanted


@given(st.text(alphabet="repo:abc,/* ", max_size=60))
def test_whatever_a_challenge_says_our_own_scope_stays_the_first_and_widening_twice_adds_nothing(
    challenge: str,
) -> None:
    once = widened(to_push("a"), challenge)
    assert once[0].startswith("repository:a:push,pull")
    assert widened(once, challenge) == once
