"""The network that the torture runs over: what it counts, and how it breaks."""

from __future__ import annotations

import random
import socket
import socketserver
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.integration.parts import wait_until
from tests.torture.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20


class _Count(socketserver.BaseRequestHandler):
    """Reads to the end, then answers how many bytes came."""

    server: _Counter

    def handle(self) -> None:
        count = 0
        with suppress(ConnectionResetError):  # an end as well
            while piece := self.request.recv(MIB):
                count += len(piece)
        self.server.arrived.append(count)
        with suppress(OSError):
            self.request.sendall(b"%d" % count)


class _Counter(socketserver.ThreadingTCPServer):
    """Knows what came of each connection, even if nobody was left to be answered."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Count)
        self.arrived: list[int] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def upstream() -> Iterator[_Counter]:
    with _Counter() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def _connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def _rest(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(1024):
        received += piece
    return received


def test_every_byte_is_carried_and_counted_in_both_directions(upstream: _Counter) -> None:
    with Proxy(upstream.address) as proxy, _connect(proxy) as client:
        client.sendall(bytes(3 * MIB))
        client.shutdown(socket.SHUT_WR)
        assert _rest(client) == b"3145728"
        assert (proxy.up, proxy.down) == (3 * MIB, 7)


def test_a_client_that_vanishes_is_still_heard_out(upstream: _Counter) -> None:
    with Proxy(upstream.address, rate=8 * MIB) as proxy:
        with _connect(proxy) as client:
            client.sendall(bytes(MIB))
        wait_until(lambda: upstream.arrived == [MIB], "all of it has arrived, after its sender was gone")
        assert proxy.up == MIB


def test_all_connections_share_the_rate(upstream: _Counter) -> None:
    with Proxy(upstream.address, rate=8 * MIB) as proxy:
        clients = [_connect(proxy) for _ in range(4)]
        started = time.monotonic()
        for client in clients:
            threading.Thread(target=lambda it=client: (it.sendall(bytes(MIB)), it.shutdown(socket.SHUT_WR))).start()
        assert [_rest(client) for client in clients] == [b"1048576"] * 4
        assert 0.4 < time.monotonic() - started < 2
        for client in clients:
            client.close()


def test_a_delay_holds_up_every_piece_and_not_the_stream(upstream: _Counter) -> None:
    with Proxy(upstream.address, delay=0.1) as proxy, _connect(proxy) as client:
        started = time.monotonic()
        client.sendall(bytes(32 * MIB))
        client.shutdown(socket.SHUT_WR)
        assert _rest(client) == b"33554432"
        # There and back, plus the windows a line of 16 pieces of 256 KiB makes of 32 MiB.
        assert 0.2 < time.monotonic() - started < 3


def test_a_cut_resets_the_chosen_connections_and_spares_the_others(upstream: _Counter) -> None:
    with Proxy(upstream.address) as proxy:
        clients = [_connect(proxy) for _ in range(4)]
        for client in clients:
            client.sendall(b"x")
        wait_until(lambda: proxy.up == 4, "all have begun")
        assert proxy.cut(0.5, random.Random(1)) == 2
        said = []
        for client in clients:
            try:
                client.shutdown(socket.SHUT_WR)
                said.append(_rest(client))
            except OSError:
                said.append(b"reset")
            client.close()
        assert sorted(said) == [b"1", b"1", b"reset", b"reset"]


def test_an_upstream_that_is_away_closes_the_connection_and_may_come_back(upstream: _Counter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    with Proxy(f"127.0.0.1:{free}") as proxy:
        with _connect(proxy) as client:
            assert client.recv(1) == b""
        with socket.create_server(("127.0.0.1", free)) as back, _connect(proxy) as client:
            client.sendall(b"hello")
            accepted, _ = back.accept()
            assert accepted.recv(5) == b"hello"
            accepted.close()


def test_another_address_leads_to_the_same_upstream(upstream: _Counter) -> None:
    with Proxy(upstream.address) as proxy:
        host, _, port = proxy.listen().rpartition(":")
        assert int(port) != proxy.port
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert _rest(client) == b"5"
        assert proxy.up == 5
