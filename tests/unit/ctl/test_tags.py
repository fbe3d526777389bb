"""Tags beside a destination's own: destinations of the same job."""

from __future__ import annotations

import pytest

from pushd.ctl.tags import with_tags

DIGEST = f"sha256:{'ab' * 32}"
NAME = "registry.example.com:5000/team/app"


def test_each_destination_gets_the_tags_beside_its_own() -> None:
    assert with_tags([f"{NAME}:1.4", "mirror.example.net/app:1.4"], ["latest", "1"]) == [
        *(f"{NAME}:1.4", f"{NAME}:latest", f"{NAME}:1"),
        *("mirror.example.net/app:1.4", "mirror.example.net/app:latest", "mirror.example.net/app:1"),
    ]


def test_without_tags_nothing_changes() -> None:
    destinations = [NAME, f"{NAME}:1", f"{NAME}:1", "docker://app", ":/@"]
    assert with_tags(destinations, []) == destinations


@pytest.mark.parametrize("name", [NAME, "app", "docker://localhost:5000/app", "[::1]:5000/app"])
def test_a_destination_without_a_tag_gets_these_alone_and_not_latest(name: str) -> None:
    assert with_tags([name], ["1", "2"]) == [f"{name}:1", f"{name}:2"]


def test_a_digest_holds_for_every_tag() -> None:
    assert with_tags([f"{NAME}:1.4@{DIGEST}"], ["1"]) == [f"{NAME}:1.4@{DIGEST}", f"{NAME}:1@{DIGEST}"]
    assert with_tags([f"{NAME}@{DIGEST}"], ["1"]) == [f"{NAME}:1@{DIGEST}"]


def test_the_same_tag_twice_is_once() -> None:
    assert with_tags([f"{NAME}:1", NAME, f"{NAME}:2"], ["1", "1", "2"]) == [f"{NAME}:1", f"{NAME}:2"]


@pytest.mark.parametrize("destination", ["alice:secret@registry.example.com/app", f"{NAME}:", f"{NAME}:1:2"])
def test_what_is_no_reference_stays_one_the_daemon_refuses(destination: str) -> None:
    assert with_tags([destination], ["1"])[0] == destination
