from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushd.registry import Settings, Wire
from pushd.registry.client import RegistryClient
from pushd.registry.proxies import read_proxies
from pushd.registry.tls import Tls
from tests.fakes.authority import Authority
from tests.fakes.behaviour import Basic
from tests.fakes.faults import Header
from tests.fakes.forward_proxy import ForwardProxy
from tests.fakes.traffic import Kind
from tests.unit.registry.conftest import QUICK
from tests.unit.registry.peers import answering, listening

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pushd.work import Check
    from tests.fakes.authority import Pair
    from tests.fakes.registry import FakeRegistry
    from tests.unit.registry.conftest import Connect


def verdicts(checks: Sequence[Check]) -> dict[str, bool | None]:
    return {check.check: check.ok for check in checks}


def found(checks: Sequence[Check], name: str) -> Check:
    return next(check for check in checks if check.check == name)


async def test_a_registry_that_takes_everything_is_found_to(registry: FakeRegistry, connect: Connect) -> None:
    checks = await connect(registry.address).diagnose("team/app")

    assert list(verdicts(checks).items()) == [
        ("credential", True),
        ("resolve", True),
        ("connect", True),
        ("tls", True),
        ("clock", True),
        ("api", True),
        ("push", True),
        ("chunked", True),
        ("streamed", True),
        ("monolithic", True),
    ]


async def test_what_was_begun_is_taken_back(registry: FakeRegistry, connect: Connect) -> None:
    await connect(registry.address).diagnose("team/app")

    repository = registry.repository("team/app")
    assert (repository.blobs, repository.sessions) == ({}, {})


async def test_the_forms_a_registry_does_not_take_are_named(registry: FakeRegistry, connect: Connect) -> None:
    registry.behaviour = replace(registry.behaviour, chunks=False)

    checks = await connect(registry.address).diagnose("team/app")

    assert verdicts(checks)["chunked"] is None
    assert found(checks, "chunked").detail.startswith("chunked uploads are answered with 4")
    assert verdicts(checks)["monolithic"] is True


async def test_without_a_repository_nothing_is_begun(registry: FakeRegistry, connect: Connect) -> None:
    checks = await connect(registry.address).diagnose(None)

    assert found(checks, "push").ok is None
    assert "name a repository" in found(checks, "push").hint
    assert registry.count(Kind.OPEN) == 0


async def test_a_missing_right_is_told_with_the_next_step(registry: FakeRegistry, connect: Connect) -> None:
    registry.behaviour = replace(registry.behaviour, auth=Basic())

    checks = await connect(registry.address).diagnose("team/app")

    assert found(checks, "api").detail.endswith("asks for Basic authorisation")
    assert found(checks, "push").ok is False
    assert "log in" in found(checks, "push").hint
    assert checks[-1].check == "push", "no form of upload is tried where none may be begun"


async def test_a_name_that_does_not_resolve_ends_it_there(connect: Connect) -> None:
    checks = await connect("registry.invalid").diagnose("team/app")

    assert [(check.check, check.ok) for check in checks] == [("credential", True), ("resolve", False)]
    assert checks[-1].hint


async def test_a_port_nobody_listens_on_ends_it_there(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    checks = await connect(f"127.0.0.1:{port}").diagnose("team/app")

    assert (checks[-1].check, checks[-1].ok) == ("connect", False)


async def test_plain_http_where_tls_is_expected_is_told_so(registry: FakeRegistry, connect: Connect) -> None:
    checks = await connect(registry.address, plain_http=False).diagnose("team/app")

    assert (checks[-1].check, checks[-1].ok) == ("tls", False)
    assert "plain_http" in checks[-1].hint


async def test_a_clock_that_is_wrong_is_told(registry: FakeRegistry, connect: Connect) -> None:
    registry.misbehave(Header("Date", "Thu, 01 Jan 2015 00:00:00 GMT"), kind=Kind.BASE)

    clock = found(await connect(registry.address).diagnose(None), "clock")

    assert clock.ok is False
    assert "ahead of" in clock.detail


async def test_a_web_site_is_not_taken_for_a_registry(connect: Connect) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        checks = await connect(f"127.0.0.1:{port}").diagnose("team/app")

    assert (checks[-1].check, checks[-1].ok) == ("api", False)
    assert "404" in checks[-1].detail


# ------------------------------------------------------------------------------------------------- TLS and proxies


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def context(pair: Pair) -> ssl.SSLContext:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair.cert, pair.key)
    return server


async def tls(connect: Connect, server: ssl.SSLContext, trusted: Tls) -> Check:
    async with listening(answering((200, [])), tls=server) as peer:
        return found(await connect(peer.address, plain_http=False, tls=trusted).diagnose(None), "tls")


async def test_a_certificate_is_told_for_how_long_it_is_good(authority: Authority, connect: Connect) -> None:
    trusted = Tls(ca=authority.ca)
    check = await tls(connect, context(authority.server("127.0.0.1", days=30.5)), trusted)
    assert (check.ok, check.hint) == (True, "")
    assert check.detail == "TLSv1.3, and its certificate is good for 30 days"

    check = await tls(connect, context(authority.server("127.0.0.1", days=3.5)), trusted)
    assert check.ok is None
    assert check.detail.endswith("good for 3 days")
    assert check.hint == "have it renewed"


async def test_one_for_other_names_is_told_with_them(authority: Authority, connect: Connect) -> None:
    names = ["a.example", "10.0.0.1", "*.b.example", "c.example", "d.example"]
    check = await tls(connect, context(authority.server(*names)), Tls(ca=authority.ca))
    assert check.ok is False
    assert check.detail.endswith("is for another name: a.example, 10.0.0.1, *.b.example, c.example, d.example")
    check = await tls(connect, context(authority.server(*names, "e.example")), Tls(ca=authority.ca))
    assert check.detail.endswith("d.example and more")
    check = await tls(connect, context(authority.server()), Tls(ca=authority.ca))
    assert check.detail.endswith("is for another name")


async def test_one_that_is_not_trusted_is_told_with_the_next_step(authority: Authority, connect: Connect) -> None:
    check = await tls(connect, authority.serving("127.0.0.1"), Tls())
    assert check.ok is False
    assert "`ca`" in check.hint
    check = await tls(connect, authority.serving("127.0.0.1", expired=True), Tls(ca=authority.ca))
    assert "has expired" in check.detail
    assert "renewed" in check.hint


async def test_one_that_is_not_looked_at_is_told_so(authority: Authority, connect: Connect) -> None:
    check = await tls(connect, authority.serving("other.example"), Tls(insecure_skip_verify=True))
    assert check.ok is None
    assert "`insecure_skip_verify`" in check.detail


async def test_a_file_of_ours_that_cannot_be_used_is_told(
    authority: Authority, connect: Connect, tmp_path: Path
) -> None:
    check = await tls(connect, authority.serving("127.0.0.1"), Tls(ca=tmp_path / "nothing.pem"))
    assert check.ok is False
    assert "nothing.pem" in check.detail


async def test_a_registry_that_wants_a_certificate_is_shown_ours(authority: Authority, connect: Connect) -> None:
    pair = authority.client("pushd")
    shown = Tls(ca=authority.ca, client_cert=pair.cert, client_key=pair.key)
    async with listening(answering((200, [])), tls=authority.serving("127.0.0.1", clients=True)) as peer:
        checks = await connect(peer.address, plain_http=False, tls=shown).diagnose(None)
    assert verdicts(checks) == {
        "credential": True,
        "resolve": True,
        "connect": True,
        "tls": True,
        "api": True,
        "push": None,
    }


async def test_what_is_spoken_to_through_a_proxy_is_tried_through_it(authority: Authority) -> None:
    async with listening(answering((200, [])), tls=authority.serving("registry.test")) as peer:
        with ForwardProxy({"registry.test:443": peer.address}) as proxy:
            proxies = read_proxies(http="", https=proxy.url, no_proxy=[], environ={})
            wire = Wire(QUICK, proxies=proxies)
            client = RegistryClient("registry.test", Settings(tls=Tls(ca=authority.ca)), None, wire)
            checks = await client.diagnose(None)
            await wire.close()
    assert verdicts(checks) == {
        "credential": True,
        "resolve": True,
        "connect": True,
        "tls": None,
        "api": True,
        "push": None,
    }
    assert f"through the proxy {proxy.address}" in found(checks, "resolve").detail
    assert "the proxy's port" in found(checks, "connect").detail


async def test_a_name_that_leads_to_what_is_link_local_is_not_connected_to(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(*_: object, **__: object) -> object:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 443))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    checks = await connect("registry.test").diagnose(None)
    assert (checks[-1].check, checks[-1].ok) == ("resolve", False)
    assert "link-local" in checks[-1].detail
    assert "`addresses`" in checks[-1].hint
