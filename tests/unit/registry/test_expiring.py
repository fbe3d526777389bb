"""Certificates that are about to expire are told of while there is time to renew them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pushd.registry import Settings, Wire
from pushd.registry.certificates import Certificates
from pushd.registry.client import RegistryClient
from pushd.registry.expiring import Expiring
from pushd.registry.tls import Tls
from pushd.telemetry.events import CERTIFICATE_EXPIRING
from tests.fakes.authority import Authority
from tests.unit.registry.conftest import QUICK
from tests.unit.registry.peers import answering, listening

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.telemetry.events import Event

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
HOST = "registry.example.com"


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def told() -> list[Event]:
    return []


def test_one_that_expires_within_two_weeks_is_told_with_the_days_that_are_left(told: list[Event]) -> None:
    expiring = Expiring(told.append, clock=Clock())
    expiring.server(HOST, NOON + timedelta(days=15))
    assert told == []
    expiring.server(HOST, NOON + timedelta(days=13, hours=5))
    (event,) = told
    assert event.kind is CERTIFICATE_EXPIRING
    assert event.fields == {
        "registry": HOST,
        "whose": "server",
        "file": None,
        "days": 13,
        "until": "2026-07-14T17:00:00Z",
    }
    assert event.message == f"the server certificate at {HOST} expires in 13 days, at 2026-07-14T17:00:00Z"


def test_each_is_told_once_a_day(told: list[Event]) -> None:
    clock = Clock()
    expiring = Expiring(told.append, clock=clock)
    until = NOON + timedelta(days=2)
    for _ in range(60):
        expiring.server(HOST, until)
        expiring.client(HOST, "/etc/pushd/client.crt", until)
        clock.now += timedelta(hours=1)
    assert [event.fields["whose"] for event in told] == ["server", "client"] * 3
    assert [event.fields["days"] for event in told[::2]] == [2, 1, 0]
    assert told[1].fields["file"] == "/etc/pushd/client.crt"


def test_however_many_hosts_there_are_few_are_remembered(told: list[Event]) -> None:
    expiring = Expiring(told.append, clock=Clock())
    for number in range(2000):
        expiring.server(f"{number}.example.com", NOON)
    assert len(told) == 2000
    assert len(expiring._told) <= 512


@pytest.mark.parametrize(("days", "told_of"), [(5, ["server", "client"]), (30, [])])
async def test_those_of_a_registry_and_our_own_are_looked_at_as_they_are_used(
    tmp_path: Path, told: list[Event], days: float, told_of: list[str]
) -> None:
    authority = Authority(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair, ours = authority.server("127.0.0.1", days=days), authority.client("pushd", days=days)
    server.load_cert_chain(pair.cert, pair.key)
    found = (200, [f"Docker-Content-Digest: sha256:{'0' * 64}"])
    async with listening(answering(found, found), tls=server) as peer:
        tls = Tls(ca=authority.ca, client_cert=ours.cert, client_key=ours.key)
        expiring = Expiring(told.append)
        certificates = Certificates(hosts={peer.address: tls}, expiring=expiring)
        wire = Wire(QUICK, certificates=certificates, expiring=expiring)
        client = RegistryClient(peer.address, Settings(plain_http=False, tls=tls), None, wire)
        assert await client.head_manifest("app", "1")
        assert await client.head_manifest("app", "1")
        await wire.close()
    assert sorted(str(event.fields["whose"]) for event in told) == sorted(told_of)
    assert {event.fields["registry"] for event in told} <= {peer.address}
