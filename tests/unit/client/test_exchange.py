from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from pushd.client.exchange import Broken, Request, send
from tests.fakes.daemon import FakeDaemon, gated, raw

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
    assert request.encode() == (
        b"POST /v1/jobs HTTP/1.1\r\nHost: pushd\r\nConnection: close\r\nContent-Length: 2\r\n"
        b"Idempotency-Key: k\r\n\r\n{}"
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
