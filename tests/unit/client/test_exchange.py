from __future__ import annotations

import json
import select
import threading
from typing import TYPE_CHECKING

import pytest

from pushd.client.exchange import Broken, Bytes, Connection, Request, send
from tests.fakes.daemon import FakeDaemon, Unread, gated, raw
from tests.fakes.spool_server import SpoolServer

if TYPE_CHECKING:
    import socket
    from pathlib import Path

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: Chunked\r\n\r\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pushd.sock"


def _request(answer_within: float = 10.0) -> Request:
    return Request(method="GET", target="/v1/status", answer_within=answer_within)


def test_a_request_is_one_message_on_a_connection_of_its_own() -> None:
    request = Request(method="POST", target="/v1/jobs", headers={"Idempotency-Key": "k"}, body=b"{}")
    assert request.head() == (
        b"POST /v1/jobs HTTP/1.1\r\nHost: pushd\r\nConnection: close\r\nContent-Length: 2\r\nIdempotency-Key: k\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (HEAD + b"Content-Length: 5\r\n\r\nhello and more", b"hello"),
        (HEAD + b"Content-Length: 0\r\n\r\n", b""),
        (HEAD + b"\r\nuntil the end", b"until the end"),
        (CHUNKED + b"5\r\nhello\r\n1;name=value\r\n!\r\n0\r\n\r\n", b"hello!"),
        (CHUNKED + b"A\r\n0123456789\r\n0\r\nTrailer: yes\r\n\r\n", b"0123456789"),
        (b"HTTP/1.1 200\nContent-Length: 2\n\nok", b"ok"),
    ],
)
def test_a_body_is_read_however_it_is_framed(path: Path, data: bytes, body: bytes) -> None:
    with FakeDaemon(path, raw(data)), send(str(path), _request()) as response:
        assert response.status == 200
        assert response.body() == body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 2",
        HEAD,
        HEAD + b"Content-Le",
        HEAD + b"Content-Length: 5\r\n\r\nhell",
        CHUNKED,
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
    ],
)
def test_an_answer_that_ends_early_is_never_taken_for_a_whole_one(path: Path, data: bytes) -> None:
    with FakeDaemon(path, raw(data)), pytest.raises(Broken), send(str(path), _request()) as response:
        response.body()


@pytest.mark.parametrize("data", [b"", CHUNKED + b"5\r\nhel"])
def test_a_daemon_that_falls_silent_is_given_up_after_the_time_allowed(path: Path, data: bytes) -> None:
    gate = threading.Event()

    def fall_silent(connection: socket.socket) -> None:
        connection.sendall(data)
        assert gate.wait(10)

    with FakeDaemon(path, fall_silent):
        with pytest.raises(Broken, match="no answer in time"), send(str(path), _request(0.2)) as response:
            response.body()
        gate.set()


def test_a_line_is_given_as_soon_as_it_is_complete(path: Path) -> None:
    gate = threading.Event()

    def two_lines(connection: socket.socket) -> None:
        connection.sendall(CHUNKED + b"6\r\none\ntw\r\n")
        gated(raw(b"5\r\no\nthr\r\n2\r\nee\r\n0\r\n\r\n"), gate=gate)(connection)

    with FakeDaemon(path, two_lines), send(str(path), _request()) as response:
        lines = response.lines()
        assert next(lines) == b"one"
        gate.set()
        assert list(lines) == [b"two", b"three"]


# ---------------------------------------------------------------------------------- a connection for many


OK = HEAD + b"Content-Length: 2\r\n\r\nok"


def _ask(connection: Connection, body: bytes = b"") -> bytes:
    with connection.exchange(Request(method="PUT", target="/", body=body, answer_within=10)) as response:
        return response.body()


def test_one_request_follows_the_other_on_the_same_connection(path: Path) -> None:
    with SpoolServer(path) as daemon:
        connection = Connection(str(path))
        target = f"/v1/spool/{_entry(connection)}/files/x"
        for offset in range(3):
            headers = {"Upload-Offset": str(offset), "Upload-Complete": "?0"}
            request = Request(method="PATCH", target=target, headers=headers, body=b"x")
            with connection.exchange(request) as response:
                response.body()
        connection.close()
        assert daemon.connections == 1


@pytest.mark.parametrize(
    "first",
    [
        OK,  # the peer closes although it did not say so
        HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"\r\nok",
    ],
)
def test_a_connection_that_ended_is_made_anew(path: Path, first: bytes) -> None:
    with FakeDaemon(path, raw(first), raw(OK)) as daemon:
        connection = Connection(str(path))
        assert _ask(connection) == b"ok"
        while not _idle_and_closed(connection):
            pass
        assert _ask(connection) == b"ok"
        connection.close()
    assert len(daemon.received) == 2


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_is_read_to_its_end_and_the_connection_lasts(path: Path, status: int) -> None:
    bodiless, read = f"HTTP/1.1 {status} Whatever\r\n\r\n".encode(), threading.Event()

    def twice(connection: socket.socket) -> None:
        raw(bodiless)(connection)
        assert read.wait(10)
        assert connection.recv(4096).startswith(b"PUT ")
        raw(OK)(connection)

    with FakeDaemon(path, twice):
        connection = Connection(str(path))
        assert _ask(connection) == b""
        read.set()
        assert _ask(connection) == b"ok"
        connection.close()


def test_an_answer_that_was_not_read_ends_its_connection(path: Path) -> None:
    with FakeDaemon(path, raw(OK), raw(OK)):
        connection = Connection(str(path))
        with connection.exchange(_request()) as response:
            assert response.status == 200
        assert _ask(connection) == b"ok"
        connection.close()


def test_a_body_that_is_refused_on_the_way_is_sent_no_further(path: Path) -> None:
    sent = 0

    class Watched(Bytes):
        def write(self, connection: socket.socket, done: int) -> int:
            nonlocal sent
            count = super().write(connection, done)
            sent += count
            return count

    with FakeDaemon(path, Unread(raw(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno"))):
        request = Request(method="PUT", target="/", body=Watched(bytes(50_000_000)), answer_within=10)
        with send(str(path), request) as response:
            assert (response.status, response.body()) == (413, b"no")
    assert sent < 5_000_000


def test_a_body_nobody_takes_is_given_up_after_the_time_allowed(path: Path) -> None:
    gate = threading.Event()

    def ignore(_: socket.socket) -> None:
        assert gate.wait(10)

    with FakeDaemon(path, Unread(ignore)):
        request = Request(method="PUT", target="/", body=Bytes(bytes(50_000_000)), answer_within=0.2)
        with pytest.raises(Broken, match="no answer in time"):
            send(str(path), request)
        gate.set()


def _entry(connection: Connection) -> str:
    request = Request(method="POST", target="/v1/spool", body=b'{"size": 100}')
    with connection.exchange(request) as response:
        return str(json.loads(response.body())["id"])


def _idle_and_closed(connection: Connection) -> bool:
    return connection._socket is None or bool(select.select([connection._socket], [], [], 10)[0])
