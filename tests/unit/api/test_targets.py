from __future__ import annotations

import traceback

import pytest

from pushd.api.targets import registry, scope, target
from pushd.errors import Code, RequestError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("registry.example.com", "registry.example.com"),
        ("Registry.Example.com:5000", "registry.example.com:5000"),
        ("localhost", "localhost"),
        ("localhost:5000", "localhost:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("docker.io", "docker.io"),
        ("index.docker.io", "docker.io"),
    ],
)
def test_a_registry_has_the_name_that_references_give_it(text: str, name: str) -> None:
    assert registry(text) == name


@pytest.mark.parametrize(
    "text", ["", "team", "a.b/c", "a.b:0", "a.b:x", "a b.c", "user@a.b", "a.b:1:2", "http://a.b", "..", "a.b\n", "ä.b"]
)
def test_what_is_no_registry_is_refused_by_name(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        registry(text)

    assert (caught.value.code, caught.value.subject) == (Code.REQUEST_INVALID_REFERENCE, "registry")
    assert "any/repository" not in str(caught.value)


def test_a_repository_is_meant_as_references_mean_it() -> None:
    assert target("localhost:5000", None) == "localhost:5000"
    assert target("localhost:5000", "team/app") == "localhost:5000/team/app"
    assert target("docker.io", "app") == "docker.io/library/app"


@pytest.mark.parametrize(
    "repository", ["", "/", "A", "app:1", f"app@sha256:{'ab' * 32}", "../etc", "a//b", "a\x1b[2J", "x" * 300]
)
def test_what_is_no_repository_is_refused_by_name(repository: str) -> None:
    with pytest.raises(RequestError) as caught:
        target("localhost:5000", repository)

    assert (caught.value.code, caught.value.subject) == (Code.REQUEST_INVALID_REFERENCE, "repository")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("registry.example.com", "registry.example.com"),
        ("Registry.Example.com:5000/team", "registry.example.com:5000/team"),
        ("localhost/team/app", "localhost/team/app"),
        ("[::1]:5000/a", "[::1]:5000/a"),
        ("index.docker.io", "docker.io"),
        ("docker.io/team", "docker.io/team"),
        ("index.docker.io/library/app", "docker.io/library/app"),
    ],
)
def test_a_credential_is_for_a_registry_or_for_a_part_of_it(text: str, name: str) -> None:
    assert scope(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "team",
        "team/app",
        "a.b/",
        "a.b//c",
        "a.b/c/",
        "a.b/Hunter2",
        "a.b/c:hunter2",
        "a.b/../c",
        f"a.b/c@sha256:{'ab' * 32}",
        "https://a.b/v1/",
        "https://user:hunter2@a.b",
        "user:hunter2@a.b",
        "user:hunter2@a.b/team",
        "a.b/hunter2?x",
        "a.b:hunter2",
        "a.b/c\n",
        "*.a.b",
        "a.b/" + "x" * 300,
    ],
)
def test_what_a_credential_cannot_be_for_is_refused_without_a_word_of_it(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        scope(text)

    assert (caught.value.code, caught.value.subject) == (Code.REQUEST_INVALID_REFERENCE, "registry")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value)).lower()
