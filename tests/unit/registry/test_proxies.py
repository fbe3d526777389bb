"""Which proxy is used for what: configuration, environment, and what is left out."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from yarl import URL

from pushd.errors import Code, DaemonError
from pushd.registry.proxies import Proxies, read_proxies

if TYPE_CHECKING:
    from collections.abc import Mapping

PROXY = "http://proxy.example:3128"


def read(environ: Mapping[str, str] | None = None, **configured: Any) -> Proxies:
    return read_proxies(**{"http": None, "https": None, "no_proxy": None} | configured, environ=environ or {})


def through(proxies: Proxies, url: str) -> str | None:
    proxy = proxies.for_url(URL(url, encoded=True))
    return None if proxy is None else str(proxy.url)


def test_without_a_word_there_is_none() -> None:
    assert read() == Proxies()
    assert through(read(), "https://registry.example/") is None


def test_each_scheme_has_its_own() -> None:
    proxies = read({"http_proxy": "http://a.example:1", "https_proxy": "http://b.example:2"})
    assert through(proxies, "http://registry.example/") == "http://a.example:1"
    assert through(proxies, "https://registry.example/") == "http://b.example:2"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "environ",
    [
        {"all_proxy": PROXY},
        {"ALL_PROXY": PROXY},
        {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY},
        {"http_proxy": PROXY, "HTTP_PROXY": "http://other.example", "https_proxy": PROXY, "ALL_PROXY": "socks5://x"},
        {"http_proxy": "", "HTTP_PROXY": PROXY, "https_proxy": " ", "all_proxy": PROXY},
    ],
)
def test_the_environment_is_read_as_curl_reads_it(environ: Mapping[str, str], scheme: str) -> None:
    assert through(read(environ), f"{scheme}://registry.example/") == PROXY


def test_the_configuration_goes_before_the_environment() -> None:
    environ = {"http_proxy": "http://a.example", "https_proxy": "http://a.example", "no_proxy": "registry.example"}
    proxies = read(environ, http="", https=PROXY, no_proxy=("internal.example",))
    assert through(proxies, "http://registry.example/") is None
    assert through(proxies, "https://registry.example/") == PROXY
    assert through(proxies, "https://internal.example/") is None


def test_what_a_request_could_set_is_not_taken_for_a_proxy() -> None:
    environ = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "REQUEST_METHOD": "GET"}
    assert through(read(environ), "http://registry.example/") is None
    assert through(read(environ), "https://registry.example/") == PROXY
    assert through(read({**environ, "http_proxy": PROXY}), "http://registry.example/") == PROXY


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("proxy.example:3128", PROXY),
        ("proxy.example", "http://proxy.example"),
        ("http://proxy.example:3128/some/path?x=1", PROXY),
        ("https://proxy.example", "https://proxy.example"),
        ("HTTP://proxy.example:3128", PROXY),
        ("[2001:db8::1]:3128", "http://[2001:db8::1]:3128"),
    ],
)
def test_a_proxy_without_a_scheme_is_spoken_to_in_http(value: str, url: str) -> None:
    assert through(read({"https_proxy": value}), "https://registry.example/") == url


@pytest.mark.parametrize(
    "value",
    ["socks5://canary:canary@proxy.example:1080", "socks5h://canary", "ftp://canary", "http://canary:99999", "http://"],
)
def test_one_that_cannot_be_used_is_told_at_the_start_without_its_password(value: str) -> None:
    for environ, configured, subject in (
        ({"HTTPS_PROXY": value}, {}, "HTTPS_PROXY"),
        ({"all_proxy": value, "http_proxy": PROXY}, {}, "all_proxy"),
        ({}, {"https": value}, "proxy.https"),
    ):
        with pytest.raises(DaemonError) as caught:
            read(environ, **configured)
        assert caught.value.code is Code.DAEMON_CONFIG
        assert caught.value.subject == subject
        assert "SOCKS" in caught.value.hint
        assert "canary" not in str(caught.value)
        assert caught.value.__suppress_context__


def test_a_user_of_a_proxy_is_kept_out_of_sight() -> None:
    proxy = read({"https_proxy": "http://us%65r:p%40ss%C3%A9@proxy.example"}).https
    assert proxy is not None
    assert proxy.name == "proxy.example:80"
    assert str(proxy.url) == "http://proxy.example"
    assert proxy.authorization == "Basic " + base64.b64encode("user:p@ssé".encode()).decode()
    assert "pass" not in repr(proxy)
    assert proxy.authorization not in repr(proxy)


def test_a_user_without_a_password_is_one() -> None:
    proxy = read({"https_proxy": "http://token@proxy.example:8"}).https
    assert proxy is not None
    assert proxy.authorization == "Basic " + base64.b64encode(b"token:").decode()


BYPASSED = [
    ("*", "https://anything.example/"),
    ("*", "https://10.0.0.1/"),
    ("a.example, *", "http://anything.example/"),
    ("example.com", "https://example.com/"),
    ("example.com", "https://registry.example.com:5000/"),
    ("EXAMPLE.com", "https://Registry.Example.COM/"),
    ("example.com.", "https://example.com/"),
    ("example.com", "https://example.com./"),
    (".example.com", "https://registry.example.com/"),
    ("*.example.com", "https://registry.example.com/"),
    ("*.example.com:5000", "https://registry.example.com:5000/"),
    ("example.com:443", "https://example.com/"),
    ("example.com:80", "http://a.example.com/"),
    ("other,example.com", "https://example.com/"),
    ("other example.com", "https://example.com/"),
    ("10.0.0.1", "https://10.0.0.1:5000/"),
    ("10.0.0.1:5000", "https://10.0.0.1:5000/"),
    ("10.0.0.0/8", "https://10.1.2.3/"),
    ("10.1.2.3/8", "https://10.3.2.1/"),
    ("fd00::/8", "https://[fd00::1]:5000/"),
    ("fd00::1", "https://[fd00::1]/"),
    ("[fd00::1]", "https://[fd00::1]/"),
    ("[fd00::1]:5000", "https://[fd00::1]:5000/"),
    ("", "https://localhost/"),
    ("", "http://localhost:5000/"),
    ("", "http://a.localhost:5000/"),
    ("", "http://127.0.0.1:5000/"),
    ("", "http://127.1.2.3:5000/"),
    ("", "http://[::1]:5000/"),
]
PROXIED = [
    ("", "https://registry.example/"),
    ("example.com", "https://example.com.evil.example/"),
    ("example.com", "https://notexample.com/"),
    (".example.com", "https://example.com/"),
    ("*.example.com", "https://example.com/"),
    ("example.com:5000", "https://example.com/"),
    ("10.0.0.1:5000", "https://10.0.0.1/"),
    ("10.0.0.0/8", "https://11.0.0.1/"),
    ("10.0.0.0/8", "https://fd.example/"),
    ("0.0.1", "https://10.0.0.1/"),
    ("a:b:c,://,[fd00::1,:5000,.", "https://registry.example/"),
    ("example*", "https://example.com/"),
]


@pytest.mark.parametrize(("no_proxy", "url"), BYPASSED)
def test_what_is_left_out_is_spoken_to_directly(no_proxy: str, url: str) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        assert through(read({"all_proxy": PROXY, name: no_proxy}), url) is None
    assert through(read({"all_proxy": PROXY}, no_proxy=no_proxy.split(",")), url) is None


@pytest.mark.parametrize(("no_proxy", "url"), PROXIED)
def test_and_nothing_else_is(no_proxy: str, url: str) -> None:
    assert through(read({"all_proxy": PROXY, "no_proxy": no_proxy}), url) == PROXY
