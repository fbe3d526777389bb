"""Where a registry may lead: how near home, how safely, and with what of ours."""

from __future__ import annotations

from ipaddress import ip_network
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pushd.errors import Code, RegistryError
from pushd.registry import Settings, Wire
from pushd.registry.addresses import Nearness
from pushd.registry.certificates import Certificates
from pushd.registry.proxies import read_proxies
from pushd.registry.tls import Tls
from pushd.registry.way import Way
from tests.fakes.forward_proxy import ForwardProxy
from tests.unit.registry.bodies import Pieces
from tests.unit.registry.conftest import QUICK, settled
from tests.unit.registry.naming import Names
from tests.unit.registry.peers import answering, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Make = Callable[..., Wire]

OK = answering((200, []))
HOME = "127.0.0.1"
METADATA = "169.254.169.254"
NAME = "registry.test:5000"
"""Behind a proxy, and so as public as any."""
PLAIN = Settings(plain_http=True)


@pytest.fixture
async def wiring() -> AsyncIterator[Make]:
    """Give what makes wires, and closes them."""
    wires: list[Wire] = []

    def make(names: Names | None = None, *, proxy: ForwardProxy | None = None) -> Wire:
        url = "" if proxy is None else proxy.url
        proxies = read_proxies(http=url, https=url, no_proxy=[".direct.test"], environ={})
        wires.append(Wire(QUICK, proxies=proxies, resolver=names or Names()))
        return wires[-1]

    yield make
    for wire in wires:
        await settled(wire)
        await wire.close()


async def ask(way: Way, url: str, **how: Any) -> int:
    return (await way.exchange(how.pop("method", "GET"), url, headers={}, subject=way.registry, **how)).status


async def refused(way: Way, url: str, **how: Any) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        await ask(way, url, **how)
    error = caught.value
    assert error.code is Code.REGISTRY_ADDRESS_REFUSED
    assert error.subject == way.registry
    assert not error.retryable
    assert "`addresses`" in error.hint
    assert "canary" not in str(error)
    return error


# ----------------------------------------------------------------------------------------------------- how it is


@pytest.mark.parametrize("name", ["localhost:5000", "127.0.0.1:5000", "[::1]:5000"])
def test_loopback_is_spoken_to_in_plain_http_unless_something_of_tls_is_set_up_for_it(
    tmp_path: Path, name: str
) -> None:
    certificates = Certificates([tmp_path])

    def scheme(**settings: Any) -> str:
        wire = SimpleNamespace(certificates=certificates)
        return Way(name, Settings(**settings), wire).base.partition(":")[0]  # type: ignore[arg-type]  # all it asks for

    assert scheme() == "http"
    for tls in (Tls(ca=tmp_path), Tls(client_cert=tmp_path), Tls(insecure_skip_verify=True)):
        assert scheme(tls=tls) == "https"
        assert scheme(tls=tls, plain_http=True) == "http", "who says so, means it"
    (tmp_path / name).mkdir()
    assert scheme() == "https"
    assert scheme(plain_http=True) == "http"


# ------------------------------------------------------------------------------------------------------ whose it is


@pytest.mark.parametrize(
    ("url", "ours", "authorised"),
    [
        ("https://registry.example/v2/", True, True),
        ("https://registry.example:443/other?x", True, True),
        ("https://REGISTRY.example/", True, True),
        ("http://registry.example/", False, False),
        ("https://registry.example:444/", False, False),
        ("https://registry.example.evil/", False, False),
        ("https://registry.example@evil.example/", False, False),
        ("https://uploads.example/", False, True),
        ("https://uploads.example:8443/", False, False),
        ("https://uploads.other:8443/", False, True),
        ("http://uploads.example/", False, False),
        ("https://uploads.example:99999/", False, False),
    ],
)
async def test_our_authorisation_goes_to_its_origin_and_to_hosts_that_are_configured(
    wiring: Make, url: str, ours: bool, authorised: bool
) -> None:
    settings = Settings(credential_hosts=("uploads.example", "uploads.other:8443"))
    way = Way("registry.example", settings, wiring())
    assert (way.ours(url), way.authorised(url)) == (ours, authorised)


async def test_of_a_registry_in_plain_http_so_are_those_hosts(wiring: Make) -> None:
    way = Way("registry.example", Settings(plain_http=True, credential_hosts=("uploads.example",)), wiring())
    assert way.authorised("http://uploads.example/")
    assert not way.authorised("https://uploads.example/")


# ---------------------------------------------------------------------------------------------------- how near home


async def test_a_registry_on_this_machine_may_lead_to_this_machine(wiring: Make) -> None:
    async with listening(OK) as storage, listening(OK) as peer:
        way = Way(peer.address, PLAIN, wiring(Names({"localhost": [HOME]})))
        assert await ask(way, f"{way.base}/v2/") == 200
        for host in (HOME, "localhost"):
            assert await ask(way, f"http://{host}:{storage.port}/?canary") == 200
    assert len(storage.heard) == 2


@pytest.mark.parametrize("realm", [True, False])
@pytest.mark.parametrize("host", [HOME, "localhost", "storage.direct.test", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_a_public_one_may_not(wiring: Make, host: str, realm: bool) -> None:
    names = Names({"localhost": [HOME, "127.0.0.2"], "storage.direct.test": [HOME]})
    async with listening(OK) as storage, listening(OK) as peer:
        with ForwardProxy({NAME: peer.address}) as proxy:
            way = Way(NAME, PLAIN, wiring(names, proxy=proxy))
            error = await refused(way, f"http://{host}:{storage.port}/?canary", realm=realm)
    assert f"{host}:{storage.port} has a loopback address" in error.detail
    assert storage.connections == 0


@pytest.mark.parametrize("address", ["10.0.0.5", "192.168.1.1", "fd00::1", METADATA, "fe80::1", "::ffff:10.0.0.5"])
async def test_nor_into_our_networks(wiring: Make, address: str) -> None:
    names = Names({"storage.direct.test": [address]})
    async with listening(OK) as peer:
        with ForwardProxy({NAME: peer.address}) as proxy:
            way = Way(NAME, PLAIN, wiring(names, proxy=proxy))
            error = await refused(way, "http://storage.direct.test/?canary", method="PUT", body=Pieces(b"x"))
    assert "storage.direct.test has a" in error.detail
    assert address not in error.detail, "who runs a registry is not to learn our addresses by it"


async def test_nobody_leads_to_what_is_link_local(wiring: Make) -> None:
    names = Names({"metadata.test": [METADATA]})
    async with listening(OK) as peer:
        way = Way(peer.address, PLAIN, wiring(names))
        for host in ("metadata.test", METADATA, "[fe80::1]"):
            error = await refused(way, f"http://{host}/latest/?canary")
            assert "link-local" in error.detail


async def test_of_several_addresses_those_are_used_that_may_be(wiring: Make) -> None:
    names = Names({"storage.test": [METADATA, "fe80::1", HOME, "fe80::2"]})
    async with listening(OK) as storage, listening(OK) as peer:
        way = Way(peer.address, PLAIN, wiring(names))
        assert await ask(way, f"http://storage.test:{storage.port}/") == 200


async def test_when_those_are_not_reached_that_is_what_is_told(wiring: Make, unused_tcp_port: int) -> None:
    names = Names({"storage.test": [METADATA, HOME]})
    async with listening(OK) as peer:
        way = Way(peer.address, PLAIN, wiring(names))
        with pytest.raises(RegistryError) as caught:
            await ask(way, f"http://storage.test:{unused_tcp_port}/")
    assert caught.value.code is Code.REGISTRY_UNREACHABLE


async def test_networks_that_are_configured_are_led_to(wiring: Make) -> None:
    names = Names({"storage.direct.test": [HOME]})
    settings = Settings(plain_http=True, addresses=(ip_network("127.0.0.0/30"),))
    async with listening(OK) as storage, listening(OK) as peer:
        with ForwardProxy({NAME: peer.address}) as proxy:
            way = Way(NAME, settings, wiring(names, proxy=proxy))
            assert await ask(way, f"http://storage.direct.test:{storage.port}/") == 200
            assert await ask(way, f"http://{HOME}:{storage.port}/") == 200
            await refused(way, f"http://127.0.0.9:{storage.port}/")


async def test_a_connection_that_another_registry_may_use_is_not_used_for_one_that_may_not(wiring: Make) -> None:
    names = Names({"storage.direct.test": [HOME]})
    async with listening(OK) as storage, listening(OK) as peer:
        with ForwardProxy({NAME: peer.address}) as proxy:
            wire = wiring(names, proxy=proxy)
            home = Way(f"storage.direct.test:{storage.port}", PLAIN, wire)
            assert await ask(home, f"{home.base}/v2/") == 200
            await refused(Way(NAME, PLAIN, wire), f"{home.base}/secrets?canary")
            assert await ask(home, f"{home.base}/v2/") == 200
    assert [heard.target for heard in storage.heard] == ["/v2/", "/v2/"]


async def test_a_name_that_resolves_to_something_else_the_next_time_changes_nothing(wiring: Make) -> None:
    names = Names({"storage.test": [HOME]})
    async with listening(OK) as storage, listening(OK) as peer:
        wire = wiring(names)
        way = Way(peer.address, PLAIN, wire)
        url = f"http://storage.test:{storage.port}/"
        assert await ask(way, url) == 200
        names.addresses["storage.test"] = [METADATA]
        connector = wire._session.connector
        connector.clear_dns_cache()  # type: ignore[union-attr]  # half a minute would have to pass
        assert await ask(way, url) == 200, "on the connection to where it was"
        for protocol, _ in connector._conns.popitem()[1]:  # type: ignore[union-attr]  # likewise
            protocol.close()
        await refused(way, url)


# ---------------------------------------------------------------------------------------------- the registry's own


async def test_a_registry_whose_name_leads_to_the_metadata_service_is_refused(wiring: Make) -> None:
    way = Way("registry.test:80", PLAIN, wiring(Names({"registry.test": [METADATA]})))
    error = await refused(way, f"{way.base}/v2/")
    assert "link-local" in error.detail


async def test_unless_that_is_allowed_or_that_address_is_its_name(wiring: Make) -> None:
    # No test can listen on a link-local address everywhere, so the rules themselves are asked.
    wire = wiring()
    settings = Settings(plain_http=True, addresses=(ip_network("169.254.1.0/24"),))
    rule = Way("registry.test", settings, wire).rule
    assert rule is not None
    assert rule.permits("169.254.1.9")
    assert not rule.permits(METADATA)
    assert Way(f"{METADATA}:5000", PLAIN, wire).rule is None
    assert Way("[fe80::1]:5000", PLAIN, wire).rule is None


@pytest.mark.parametrize("name", [f"[::ffff:{METADATA}]:80", "[64:ff9b::a9fe:a9fe]:80"])
async def test_in_other_words_that_address_is_no_name(wiring: Make, name: str) -> None:
    await refused(Way(name, PLAIN, wiring()), f"http://{name}/v2/")


@pytest.mark.parametrize("method", ["PATCH", "GET"])
async def test_where_it_is_is_found_out_before_an_upload_goes_on_elsewhere(wiring: Make, method: str) -> None:
    # After a restart the first request may well be to a Location.
    async with listening(OK) as storage, listening(answering((503, []))) as peer:
        way = Way(peer.address, PLAIN, wiring())
        for _ in range(2):
            assert await ask(way, f"{storage.url}/upload", method=method) == 200
    assert [heard.target for heard in peer.heard] == ["/v2/"]
    assert [heard.target for heard in storage.heard] == ["/upload", "/upload"]


async def test_and_when_it_is_not_reached_nothing_goes_elsewhere(wiring: Make, unused_tcp_port: int) -> None:
    async with listening(OK) as storage:
        way = Way(f"{HOME}:{unused_tcp_port}", PLAIN, wiring())
        with pytest.raises(RegistryError) as caught:
            await ask(way, f"{storage.url}/upload")
    assert caught.value.code is Code.REGISTRY_UNREACHABLE
    assert storage.connections == 0


# --------------------------------------------------------------------------------------------------- through a proxy


@pytest.mark.parametrize("host", ["10.0.0.5", "[fd00::1]", METADATA, "2852039166", "0xa9fea9fe", "[::ffff:10.0.0.5]"])
async def test_an_address_that_a_proxy_is_to_go_to_is_judged_as_it_is_written(wiring: Make, host: str) -> None:
    async with listening(OK) as peer:
        with ForwardProxy({NAME: peer.address}) as proxy:
            way = Way(NAME, PLAIN, wiring(proxy=proxy))
            await refused(way, f"http://{host}/?canary")
    assert [asked.target for asked in proxy.requests] == [NAME]


async def test_a_name_is_the_proxys_to_resolve(wiring: Make) -> None:
    names = Names()
    async with listening(OK) as storage, listening(OK) as peer:
        with ForwardProxy({NAME: peer.address, "storage.test:80": storage.address}) as proxy:
            way = Way(NAME, PLAIN, wiring(names, proxy=proxy))
            assert await ask(way, "http://storage.test/") == 200
    assert names.asked == []


# --------------------------------------------------------------------------------------------------- from https to http


@pytest.mark.parametrize(
    "url", ["http://storage.example/?canary", "HTTP://storage.example/", "http://registry.example/"]
)
async def test_a_registry_that_speaks_tls_leads_to_nothing_that_does_not(wiring: Make, url: str) -> None:
    names = Names()
    way = Way("registry.example", Settings(), wiring(names))
    with pytest.raises(RegistryError) as caught:
        await ask(way, url)
    assert caught.value.code is Code.REGISTRY_DOWNGRADE_REFUSED
    assert "canary" not in str(caught.value)
    assert names.asked == []


@pytest.mark.parametrize("port", ["+80", "8_0"])
async def test_nor_does_it_by_a_port_that_hides_the_scheme(wiring: Make, port: str) -> None:
    names = Names({"storage.example": [HOME], "registry.example": [HOME]})
    way = Way("registry.example", Settings(), wiring(names))
    way._nearness = Nearness.LOOPBACK  # as if it had been reached there
    with pytest.raises(RegistryError) as caught:
        await ask(way, f"http://storage.example:{port}/?canary", method="PUT", body=Pieces(b"x"))
    assert caught.value.code in (Code.REGISTRY_DOWNGRADE_REFUSED, Code.REGISTRY_MALFORMED)
    assert names.asked == []


async def test_what_is_no_url_is_none_wherever_it_leads(wiring: Make) -> None:
    async with listening(OK) as peer:
        way = Way(peer.address, PLAIN, wiring())
        for url in (
            "ftp://x.example/",
            "https://../x",
            "https://a b/",
            "//x",
            "https://",
            "https://\x00/",
            "http://127.1/",
            "http://storage.example:+80/",
        ):
            with pytest.raises(RegistryError) as caught:
                await ask(way, url)
            assert caught.value.code is Code.REGISTRY_MALFORMED
