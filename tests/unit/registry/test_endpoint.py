from __future__ import annotations

import pytest

from pushd.registry.endpoint import address, base_url, is_loopback, resolved

LOOPBACK = ["localhost", "localhost:5000", "127.0.0.1", "127.0.0.1:5000", "127.8.9.10:443", "[::1]", "[::1]:5000"]
ELSEWHERE = [
    "registry.example",
    "registry.example:5000",
    "10.0.0.1:5000",
    "192.168.1.7",
    "0.0.0.0:5000",
    "[2001:db8::1]:5000",
    "[::]:5000",
    "localhost.example:5000",
    "127.0.0.1.example",
    "notlocalhost:5000",
    "128.0.0.1",
]


@pytest.mark.parametrize("name", LOOPBACK)
def test_loopback_is_spoken_to_in_plain_http(name: str) -> None:
    assert is_loopback(name)
    assert base_url(name) == f"http://{name}"


@pytest.mark.parametrize("name", ELSEWHERE)
def test_nothing_else_is(name: str) -> None:
    assert not is_loopback(name)
    assert base_url(name) == f"https://{name}"


def test_the_configuration_has_the_last_word() -> None:
    assert base_url("registry.example:5000", plain_http=True) == "http://registry.example:5000"
    assert base_url("localhost:5000", plain_http=False) == "https://localhost:5000"
    assert base_url("[::1]:5000", plain_http=False) == "https://[::1]:5000"


def test_docker_hub_is_served_by_a_host_of_another_name() -> None:
    assert base_url("docker.io") == "https://registry-1.docker.io"


def test_a_name_that_only_begins_like_docker_hubs_is_itself() -> None:
    assert base_url("docker.io.example") == "https://docker.io.example"


@pytest.mark.parametrize(
    "url",
    [
        "http://storage.example:+80/",  # one parser reads a port, and the other none, and with it no scheme
        "https://storage.example:+443/",
        "http://storage.example:8_0/",
        "https://[:]/",
        "https://[]@/",  # one parser falls over it
        "https://a][@registry.example/",
        "https://%REGISTRY.example/",
    ],
)
def test_what_two_readers_read_as_two_things_is_no_address(url: str) -> None:
    assert address(url) is None
    assert resolved(url, "https://registry.example/v2/") is None
