"""Through proxies: CONNECT and absolute URLs, user and password, refusals, and what goes without."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from pushd.errors import Code, RegistryError
from pushd.oci.digest import Digest
from pushd.registry import Settings, Wire
from pushd.registry.client import RegistryClient
from pushd.registry.proxies import read_proxies
from pushd.registry.tls import Tls
from tests.fakes.authority import Authority
from tests.fakes.forward_proxy import ForwardProxy
from tests.unit.registry.bodies import Pieces
from tests.unit.registry.conftest import QUICK, settled
from tests.unit.registry.naming import Names
from tests.unit.registry.peers import answering, listening

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.unit.registry.peers import Line

    Make = Callable[..., Wire]

DIGEST = Digest.of(b"x")
FOUND = (200, [f"Docker-Content-Digest: {DIGEST}"])
NAME = "registry.test"
"""Only proxies know where it is."""
SUBJECT = "registry.test/app"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> ssl.SSLContext:
    return authority.serving(NAME)


@pytest.fixture
async def through() -> AsyncIterator[Make]:
    """Give what makes wires that go through a proxy, and closes them."""
    wires: list[Wire] = []

    def make(proxy: str, *, no_proxy: str = "", resolver: Names | None = None) -> Wire:
        proxies = read_proxies(http=proxy, https=proxy, no_proxy=[no_proxy], environ={})
        wires.append(Wire(QUICK, proxies=proxies, resolver=resolver or Names()))
        return wires[-1]

    yield make
    for wire in wires:
        await settled(wire)
        await wire.close()


async def failing(wire: Wire, url: str, **how: Any) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        await wire.exchange("GET", url, headers={}, subject=SUBJECT, **how)
    error = caught.value
    assert error.subject == SUBJECT
    assert error.hint or error.code is Code.REGISTRY_INTERRUPTED
    assert str(error).isprintable()
    assert "canary" not in f"{error}{error!r}{error.__cause__!r}{error.__context__!r}"
    return error


def client(wire: Wire, authority: Authority, name: str = NAME, **tls: Any) -> RegistryClient:
    return RegistryClient(name, Settings(tls=Tls(ca=authority.ca, **tls)), None, wire)


# -------------------------------------------------------------------------------------------------------- there


async def test_https_goes_through_a_tunnel(authority: Authority, server: ssl.SSLContext, through: Make) -> None:
    async with listening(answering(FOUND), tls=server) as peer:
        with ForwardProxy({f"{NAME}:443": peer.address}) as proxy:
            found = client(through(proxy.url), authority)
            assert await found.head_manifest("app", "1") == DIGEST
            assert await found.head_manifest("app", "2") == DIGEST
    assert [(asked.method, asked.target) for asked in proxy.requests] == [("CONNECT", f"{NAME}:443")]
    assert len(peer.heard) == 2
    assert peer.heard[0].target == "/v2/app/manifests/1"
    assert peer.heard[0].header("Host") == NAME


async def test_plain_http_is_asked_for_by_its_whole_url(through: Make) -> None:
    async with listening(answering((201, []))) as peer:
        with ForwardProxy({f"{NAME}:5000": peer.address}) as proxy:
            wire = through(proxy.url)
            url = f"http://{NAME}:5000/v2/a%2Fb?sig=%2fA+c&x"
            answer = await wire.exchange("PUT", url, headers={}, subject=SUBJECT, body=Pieces(b"one", b"two"))
    assert answer.status == 201
    assert answer.address is None
    assert [(asked.method, asked.target) for asked in proxy.requests] == [("PUT", f"{NAME}:5000")]
    assert peer.heard[0].target == "/v2/a%2Fb?sig=%2fA+c&x"
    assert peer.heard[0].body == b"onetwo"


async def test_user_and_password_are_for_the_proxy_alone(
    authority: Authority, server: ssl.SSLContext, through: Make
) -> None:
    account = ("user@x", "päss:w@rd%")
    async with listening(answering(FOUND), tls=server) as peer, listening(answering((200, []))) as plain:
        routes = {f"{NAME}:443": peer.address, f"{NAME}:80": plain.address}
        with ForwardProxy(routes, account=account) as proxy:
            wire = through(proxy.url)
            assert await client(wire, authority).head_manifest("app", "1") == DIGEST
            assert (await wire.exchange("GET", f"http://{NAME}/", headers={}, subject=SUBJECT)).status == 200
    assert [asked.status for asked in proxy.requests] == [200, 200]
    for heard in (*peer.heard, *plain.heard):
        assert heard.header("Proxy-Authorization") is None
        assert heard.header("Authorization") is None


async def test_a_proxy_may_be_spoken_to_in_tls_itself(
    authority: Authority, tmp_path: Any, through: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Authority(tmp_path, "the company's authority")
    monkeypatch.setenv("SSL_CERT_FILE", str(own.ca))  # the system's trust, for this test
    pair = authority.client("pushd")
    server = authority.serving(NAME, clients=True)
    async with listening(answering(FOUND), tls=server) as peer, listening(answering((200, []))) as plain:
        routes = {f"{NAME}:443": peer.address, f"{NAME}:80": plain.address}
        with ForwardProxy(routes, tls=own.serving("127.0.0.1")) as proxy:
            wire = through(proxy.url)
            found = client(wire, authority, client_cert=pair.cert, client_key=pair.key)
            assert await found.head_manifest("app", "1") == DIGEST
            assert (await wire.exchange("GET", f"http://{NAME}/", headers={}, subject=SUBJECT)).status == 200
    assert len(proxy.passed) == 2


async def test_a_proxy_is_not_trusted_by_the_registrys_authority(
    authority: Authority, server: ssl.SSLContext, through: Make
) -> None:
    async with listening(answering(FOUND), tls=server) as peer:
        with ForwardProxy({f"{NAME}:443": peer.address}, tls=authority.serving("127.0.0.1")) as proxy:
            for insecure in (False, True):
                found = client(through(proxy.url), authority, insecure_skip_verify=insecure)
                with pytest.raises(RegistryError) as caught:
                    await found.head_manifest("app", "1")
                assert caught.value.code is Code.REGISTRY_PROXY
                assert proxy.address in caught.value.detail
                assert "authority" in caught.value.detail
    assert peer.heard == []


async def test_the_registrys_own_certificate_is_looked_at_through_a_proxy(authority: Authority, through: Make) -> None:
    async with listening(answering(FOUND), tls=authority.serving("other.test")) as peer:
        with ForwardProxy({f"{NAME}:443": peer.address}) as proxy:
            with pytest.raises(RegistryError) as caught:
                await client(through(proxy.url), authority).head_manifest("app", "1")
            error = await failing(through(proxy.url), f"https://{NAME}/")
    assert caught.value.code is Code.REGISTRY_TLS_NAME
    assert error.code is Code.REGISTRY_TLS_UNTRUSTED


async def test_what_is_left_out_goes_without(through: Make) -> None:
    async with listening(answering((200, []))) as peer:
        with ForwardProxy({}) as proxy:
            wire = through(proxy.url, no_proxy=".test", resolver=Names({NAME: ["127.0.0.1"]}))
            for host in (NAME, "127.0.0.1", "localhost"):
                if host == "localhost":
                    wire = through(proxy.url, resolver=Names({"localhost": ["127.0.0.1"]}))
                answer = await wire.exchange("GET", f"http://{host}:{peer.port}/", headers={}, subject=SUBJECT)
                assert answer.address == "127.0.0.1"
    assert proxy.requests == []
    assert len(peer.heard) == 3


# ----------------------------------------------------------------------------------------------------- not there


async def test_a_proxy_that_is_not_there_is_named(through: Make, unused_tcp_port: int) -> None:
    wire = through(f"http://user:canary@127.0.0.1:{unused_tcp_port}")
    for scheme in ("http", "https"):
        error = await failing(wire, f"{scheme}://{NAME}/?canary")
        assert error.code is Code.REGISTRY_UNREACHABLE
        assert f"the proxy 127.0.0.1:{unused_tcp_port} is not reached" in error.detail
        assert "Connection refused" in error.detail
        assert error.retryable


async def test_a_proxy_whose_name_does_not_resolve_is_named(through: Make) -> None:
    error = await failing(through("http://user:canary@proxy.test:3128"), f"https://{NAME}/?canary")
    assert error.code is Code.REGISTRY_UNREACHABLE
    assert "the proxy proxy.test:3128" in error.detail
    assert "does not resolve" in error.detail


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("account", [None, ("user", "canary")])
async def test_a_proxy_that_wants_another_password_says_so(
    through: Make, account: tuple[str, str] | None, scheme: str
) -> None:
    with ForwardProxy({}, account=("user", "another")) as proxy:
        error = await failing(through(proxy.url_for(account)), f"{scheme}://{NAME}/?canary")
    assert error.code is Code.REGISTRY_PROXY
    assert not error.retryable
    assert proxy.address in error.detail
    assert "password (407)" in error.detail
    assert "HTTPS_PROXY" in error.hint


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Code.REGISTRY_PROXY),
        (403, Code.REGISTRY_PROXY),
        (405, Code.REGISTRY_PROXY),
        (500, Code.REGISTRY_PROXY),
        (502, Code.REGISTRY_UNREACHABLE),
        (503, Code.REGISTRY_UNREACHABLE),
        (504, Code.REGISTRY_UNREACHABLE),
    ],
)
async def test_a_proxy_that_makes_no_tunnel_says_why(through: Make, status: int, code: Code) -> None:
    async def script(line: Line) -> None:
        await line.head()
        await line.answer(status, body=b"<html>canary</html>")

    async with listening(script) as proxy:
        error = await failing(through(proxy.url), f"https://{NAME}/?canary")
    assert error.code is code
    assert f"the proxy {proxy.address}" in error.detail
    assert f"({status})" in error.detail


async def _hangs_up(line: Line) -> None:
    await line.head()


async def _talks_nonsense(line: Line) -> None:
    await line.head()
    await line.say("what?\r\n\r\n")


async def _makes_a_tunnel_to_nowhere(line: Line) -> None:
    await line.head()
    await line.say("HTTP/1.1 200 OK\r\n\r\n")
    await line.reader.read(100)
    line.reset()


async def _never_answers(line: Line) -> None:
    await line.head()
    await asyncio.Event().wait()


@pytest.mark.parametrize("script", [_hangs_up, _talks_nonsense, _makes_a_tunnel_to_nowhere, _never_answers])
async def test_a_proxy_that_breaks_is_an_error_like_any_other(
    through: Make, script: Callable[[Line], Awaitable[None]]
) -> None:
    async with listening(script) as proxy:
        error = await failing(through(proxy.url), f"https://{NAME}/?canary")
    assert error.code in (
        Code.REGISTRY_INTERRUPTED,
        Code.REGISTRY_UNREACHABLE,
        Code.REGISTRY_MALFORMED,
        Code.REGISTRY_TLS,
    )
    assert proxy.address in error.detail or error.code is Code.REGISTRY_TLS
