"""The metrics' own port: one request is known there, and nobody who gets there keeps it from others for long."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

import aiohttp
import pytest

from pushd.config import TcpAddress
from pushd.errors import Code, DaemonError, StoreError
from pushd.service.metrics_port import CONNECTIONS, HEAD_MAX, Answer, bound, read_request, serve_metrics
from pushd.telemetry.events import DAEMON_FAULT
from tests.fakes.metrics import OPENMETRICS, TEXT, FakeMetrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pushd.telemetry.events import Event

GOOD = b"GET /metrics HTTP/1.1\r\nHost: x"
LOOPBACK = ip_address("127.0.0.1")


@dataclass
class Port:
    """A port that is served."""

    address: tuple[str, int]
    metrics: FakeMetrics
    told: list[Event] = field(default_factory=list)

    async def say(self, *pieces: bytes) -> bytes:
        """Send these, one after the other, and give all that comes back until the end."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    async def status(self, *pieces: bytes) -> int:
        answer = await self.say(*pieces)
        return int(answer.split(b" ", 2)[1])


@asynccontextmanager
async def served(*, host: str = "127.0.0.1", patience: float = 10.0) -> AsyncIterator[Port]:
    with bound(TcpAddress(ip_address(host), 0)) as listener:
        port = Port(listener.getsockname()[:2], FakeMetrics())
        serving = asyncio.create_task(serve_metrics(listener, port.metrics, port.told.append, patience=patience))
        yield port
        assert not serving.done()
        serving.cancel()
        await asyncio.wait([serving])
        assert serving.cancelled()
    assert [event for event in port.told if event.kind is not DAEMON_FAULT] == []


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    async with served() as it:
        yield it


# ------------------------------------------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    ("head", "accept"),
    [
        (GOOD, ()),
        (GOOD + b"\r\nAccept: text/plain\r\nACCEPT:a/b ", ("text/plain", "a/b")),
        (b"GET http://127.0.0.1:9469/metrics HTTP/1.1\r\nHost: x", ()),
        (b"GET /metrics HTTP/1.0", ()),
        (b"GET /metrics HTTP/1.1\r\nHost:", ()),
        (GOOD + b"\r\nX-Odd: \xff\xfe", ()),
    ],
)
def test_a_request_for_the_metrics_is_understood(head: bytes, accept: tuple[str, ...]) -> None:
    assert read_request(head) == accept


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", 400),
        (b"GET", 400),
        (b"GET /metrics", 400),
        (b"GET /metrics HTTP/2.0\r\nHost: x", 400),
        (b"GET  /metrics HTTP/1.1\r\nHost: x", 400),
        (b"GET /met rics HTTP/1.1\r\nHost: x", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET /metrics HTTP/1.1", 400),
        (GOOD + b"\r\nHost: y", 400),
        (GOOD + b"\r\nno field", 400),
        (GOOD + b"\r\n folded: x", 400),
        (GOOD + b"\r\nName : x", 400),
        (GOOD + b"\r\nName: a\nb", 400),
        (GOOD + b"\r\nName: a\x00b", 400),
        (b"GET / HTTP/1.1\r\nHost: x", 404),
        (b"GET /metrics/ HTTP/1.1\r\nHost: x", 404),
        (b"GET /metrics?x=1 HTTP/1.1\r\nHost: x", 404),
        (b"GET //metrics HTTP/1.1\r\nHost: x", 404),
        (b"GET /%6detrics HTTP/1.1\r\nHost: x", 404),
        (b"GET /v1/metrics HTTP/1.1\r\nHost: x", 404),
        (b"GET /v1/status HTTP/1.1\r\nHost: x", 404),
        (b"POST /v1/jobs HTTP/1.1\r\nHost: x", 404),
        (b"OPTIONS * HTTP/1.1\r\nHost: x", 404),
        (b"CONNECT registry.example.com:443 HTTP/1.1\r\nHost: x", 404),
        (b"HEAD /metrics HTTP/1.1\r\nHost: x", 405),
        (b"POST /metrics HTTP/1.1\r\nHost: x", 405),
        (b"get /metrics HTTP/1.1\r\nHost: x", 405),
    ],
)
def test_whatever_else_is_asked_is_refused(head: bytes, status: int) -> None:
    answer = read_request(head)

    assert isinstance(answer, Answer)
    assert answer.status == status
    assert (b"\r\nAllow: GET\r\n" in answer.whole()) == (status == 405)


# ---------------------------------------------------------------------------------------------- what is answered


async def test_a_client_of_any_make_gets_the_metrics(port: Port) -> None:
    url = f"http://127.0.0.1:{port.address[1]}/metrics"
    async with aiohttp.ClientSession() as http:
        for accept, body in ((None, TEXT), ("application/openmetrics-text", OPENMETRICS)):
            async with http.get(url, headers={} if accept is None else {"Accept": accept}) as response:
                assert response.status == 200
                assert await response.read() == body
                assert response.headers["Content-Type"].partition(";")[0] == accept or accept is None
    assert port.metrics.asked == 2


async def test_an_answer_says_how_long_it_is_and_that_it_is_the_last(port: Port) -> None:
    head, _, body = (await port.say(GOOD + b"\r\n\r\n")).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in head
    assert f"\r\nContent-Length: {len(TEXT)}\r\n".encode() in head
    assert head.endswith(b"\r\nConnection: close")
    assert body == TEXT


async def test_a_request_may_come_in_pieces(port: Port) -> None:
    whole = GOOD + b"\r\nAccept: text/plain\r\n\r\n"

    assert await port.status(*[whole[at : at + 1] for at in range(len(whole))]) == 200


async def test_a_second_request_on_a_connection_and_a_body_are_not_read(port: Port) -> None:
    assert (await port.say((GOOD + b"\r\n\r\n") * 3)).count(b"HTTP/1.1") == 1
    assert await port.status(GOOD + b"\r\nContent-Length: 10000\r\n\r\n" + b"x" * 10_000) == 200
    assert port.metrics.asked == 2


async def test_nothing_can_be_submitted_there(port: Port) -> None:
    body = b'{"source": "oci:/x", "destinations": ["a.b/c:1"]}'
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

    assert await port.status(head % len(body) + body) == 404


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"], ids=["goes on", "ends"])
async def test_a_head_that_is_too_large_is_refused(port: Port, end: bytes) -> None:
    assert await port.status(GOOD + b"\r\nX: " + b"y" * HEAD_MAX + end) == 431
    assert port.metrics.asked == 0


async def test_a_store_that_cannot_be_read_is_told_without_its_path(port: Port) -> None:
    port.metrics.raises = StoreError(Code.STORE_UNAVAILABLE, "/var/lib/pushd/pushd.db", "is closed")

    answer = await port.say(GOOD + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"store.unavailable" in answer
    assert b"/var/lib" not in answer


async def test_a_defect_is_told_to_the_log_and_the_port_goes_on(port: Port) -> None:
    port.metrics.raises = LookupError("a secret of the house")
    answer = await port.say(GOOD + b"\r\n\r\n")
    port.metrics.raises = None

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in answer
    assert [(event.kind, event.fields["where"]) for event in port.told] == [(DAEMON_FAULT, "GET /metrics")]
    assert await port.status(GOOD + b"\r\n\r\n") == 200


# ---------------------------------------------------------------------------------------------- those who misbehave


async def test_who_leaves_in_the_middle_is_nobodys_concern(port: Port) -> None:
    for piece in (b"", b"GET /met", GOOD + b"\r\n\r\n"):
        with socket.socket() as caller:
            caller.connect(port.address)
            caller.sendall(piece)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, and no farewell

    assert await port.status(GOOD + b"\r\n\r\n") == 200
    assert port.told == []


async def test_who_says_nothing_is_waited_for_no_longer_than_anybody() -> None:
    async with served(patience=0.1) as port:
        assert await port.say() == b""
        assert await port.say(b"GET /metrics HTT") == b""


async def test_no_more_are_served_at_once_than_there_is_room_for_and_who_waits_has_their_turn() -> None:
    async with served() as port:
        idle = [await asyncio.open_connection(*port.address) for _ in range(CONNECTIONS)]
        waiting = asyncio.create_task(port.status(GOOD + b"\r\n\r\n"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.shield(waiting)
        assert port.metrics.asked == 0

        idle[0][1].close()

        assert await waiting == 200
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()


async def test_without_descriptors_it_takes_nobody_and_goes_on_when_there_are_some_again(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushd.service.metrics_port._BREATH", 0.01)
    assert await port.status(GOOD + b"\r\n\r\n") == 200
    caller = socket.socket()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (caller.fileno() + 1, limits[1]))
    try:
        caller.connect(port.address)
        await asyncio.sleep(0.05)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    caller.close()

    assert await port.status(GOOD + b"\r\n\r\n") == 200


async def test_a_daemon_that_stops_leaves_no_connection_open() -> None:
    async with served() as port:
        callers = [await asyncio.open_connection(*port.address) for _ in range(CONNECTIONS + 3)]
    endings = await asyncio.gather(*[reader.read() for reader, _ in callers], return_exceptions=True)
    for _, writer in callers:
        writer.close()
    gc.collect()  # one that was left open would be a ResourceWarning, which is an error

    assert all(ending == b"" or isinstance(ending, ConnectionResetError) for ending in endings)


# ---------------------------------------------------------------------------------------------------------- the port


@pytest.fixture
def taken() -> Iterator[TcpAddress]:
    with socket.socket() as other:
        other.bind((str(LOOPBACK), 0))
        other.listen()
        yield TcpAddress(LOOPBACK, other.getsockname()[1])


def test_a_port_that_is_taken_is_named_with_what_to_do(taken: TcpAddress) -> None:
    with pytest.raises(DaemonError) as refused, bound(taken):
        pass

    assert refused.value.code is Code.DAEMON_SOCKET
    assert refused.value.subject == f"127.0.0.1:{taken.port}"
    assert "Address already in use" in refused.value.detail
    assert "[metrics]" in refused.value.hint


def test_an_address_that_is_not_the_machines_is_named() -> None:
    with pytest.raises(DaemonError) as refused, bound(TcpAddress(ip_address("192.0.2.1"), 9469)):
        pass

    assert refused.value.subject == "192.0.2.1:9469"


async def test_a_port_is_free_again_at_once_when_it_was_served(port: Port) -> None:
    assert await port.status(GOOD + b"\r\n\r\n") == 200
    with bound(TcpAddress(LOOPBACK, 0)) as listener:
        address = TcpAddress(LOOPBACK, listener.getsockname()[1])
        with socket.socket() as caller:
            caller.connect((str(LOOPBACK), address.port))
            served_one, _ = accepted(listener)
            served_one.close()  # the first to close: TIME_WAIT is this side's
    with bound(address) as again:
        assert again.getsockname()[1] == address.port


def accepted(listener: socket.socket) -> tuple[socket.socket, object]:
    listener.settimeout(5)
    return listener.accept()


async def test_it_is_served_over_ipv6_as_well() -> None:
    try:
        async with served(host="::1") as port:
            assert await port.status(GOOD + b"\r\n\r\n") == 200
    except DaemonError as error:
        pytest.skip(f"there is no IPv6 here: {error}")
