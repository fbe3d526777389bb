from __future__ import annotations

import pytest

from pushd.errors import Code, RequestError
from pushd.oci.reference import Reference
from pushd.push.policy import Policy

EVERYWHERE = Policy(allow=("*",), deny=())


def allowed(policy: Policy, destination: str) -> bool:
    try:
        policy.check(Reference.parse(destination))
    except RequestError:
        return False
    return True


def test_a_refusal_names_the_destination_and_whom_to_ask() -> None:
    with pytest.raises(RequestError) as caught:
        Policy(allow=(), deny=()).check(Reference.parse("registry.example.com/app:1"))
    assert caught.value.code is Code.REQUEST_FORBIDDEN
    assert caught.value.subject == "registry.example.com/app:1"
    assert "administrator" in caught.value.hint


def test_without_configuration_any_registry_is_a_destination() -> None:
    assert allowed(EVERYWHERE, "registry.example.com:5000/team/app:1")


@pytest.mark.parametrize("host", ["169.254.169.254", "169.254.1.2:5000"])
def test_a_link_local_address_is_none_unless_it_is_named(host: str) -> None:
    assert not allowed(EVERYWHERE, f"{host}/team/app:1")
    assert not allowed(Policy(allow=("169.*",), deny=()), f"{host}/team/app:1")
    assert allowed(Policy(allow=("*", host), deny=()), f"{host}/team/app:1")


@pytest.mark.parametrize(
    ("pattern", "destination", "fits"),
    [
        ("registry.example.com", "registry.example.com/team/app:1", True),
        ("registry.example.com", "registry.example.com:5000/team/app:1", False),
        ("*.example.com", "registry.example.com/team/app:1", True),
        ("*.example.com", "example.com/team/app:1", False),
        ("*.example.com", "registry.example.com.evil.net/app:1", False),
        ("registry.example.com/team/*", "registry.example.com/team/app:1", True),
        ("registry.example.com/team/*", "registry.example.com/team/deep/app:1", True),
        ("registry.example.com/team/*", "registry.example.com/teams/app:1", False),
        ("Registry.Example.COM", "registry.example.com/app:1", True),
        ("docker.io/library/*", "docker.io/library/alpine:3", True),
        ("[2001:db8::1]:5000", "[2001:db8::1]:5000/team/app:1", True),
        ("[2001:db8::*", "[2001:db8::1]/team/app:1", True),
    ],
)
def test_a_pattern_is_for_a_host_or_for_repositories_of_it(pattern: str, destination: str, *, fits: bool) -> None:
    assert allowed(Policy(allow=(pattern,), deny=()), destination) is fits
    assert allowed(Policy(allow=("*",), deny=(pattern,)), destination) is not fits


def test_what_is_denied_is_denied_though_it_is_allowed_as_well() -> None:
    policy = Policy(allow=("registry.example.com",), deny=("registry.example.com/secret/*",))

    assert allowed(policy, "registry.example.com/open/app:1")
    assert not allowed(policy, "registry.example.com/secret/app:1")


def reaches(policy: Policy, registry: str) -> bool:
    try:
        policy.check_registry(registry)
    except RequestError:
        return False
    return True


@pytest.mark.parametrize(
    ("allow", "deny", "registry", "may"),
    [
        (("*",), (), "registry.example.com:5000", True),
        (("registry.example.com/team/*",), (), "registry.example.com", True),
        (("registry.example.com/team/*",), (), "registry.example.com:5000", False),
        (("*",), ("registry.example.com",), "registry.example.com", False),
        (("*",), ("registry.example.com/secret/*",), "registry.example.com", True),
        (("*",), ("*/secret/*",), "registry.example.com", True),
        ((), (), "registry.example.com", False),
        (("*",), (), "169.254.169.254", False),
        (("*", "169.254.169.254"), (), "169.254.169.254", True),
        (("[2001:db8::1]:5000/*",), (), "[2001:db8::1]:5000", True),
    ],
)
def test_a_registry_may_be_logged_in_to_where_something_of_it_is_a_destination(
    allow: tuple[str, ...], deny: tuple[str, ...], registry: str, *, may: bool
) -> None:
    assert reaches(Policy(allow=allow, deny=deny), registry) is may


@pytest.mark.parametrize("destination", ["registry.example.com:443/secret/app:1", "REGISTRY:443/app:1"])
def test_what_is_denied_is_denied_with_the_port_that_goes_without_saying(destination: str) -> None:
    assert not allowed(Policy(allow=("*",), deny=("registry.example.com", "registry")), destination)
