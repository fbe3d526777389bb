from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.fakes.behaviour import Basic
from tests.fakes.faults import Header
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.work import Check
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
