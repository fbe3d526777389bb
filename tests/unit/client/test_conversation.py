"""Connections that are kept, and how that shows: not at all, but in how many there are."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import threading
import warnings
from typing import TYPE_CHECKING, Self

import pytest

from pushd.client import Client
from pushd.errors import RequestError

if TYPE_CHECKING:
    from pathlib import Path

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_REFUSAL = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}"


class Daemon:
    """Answers every request, on connections that are kept until it hangs up.

    Attributes:
        connections: how many were made.
    """

    def __init__(self, path: Path, answer: bytes = _ANSWER) -> None:
        self.connections = 0
        self._answer = answer
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close all connections, as a daemon does that restarts."""
        while self._open:
            with contextlib.suppress(OSError):  # the caller was faster
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,)).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            while stream.readline():
                while stream.readline().strip():
                    pass
                connection.sendall(self._answer)


def test_calls_share_a_connection(tmp_path: Path) -> None:
    with Daemon(tmp_path / "s") as daemon, Client(str(tmp_path / "s")) as client:
        for _ in range(5):
            client.status()
        assert daemon.connections == 1


def test_a_refusal_is_an_answer_and_costs_no_connection(tmp_path: Path) -> None:
    with Daemon(tmp_path / "s", _REFUSAL) as daemon, Client(str(tmp_path / "s")) as client:
        for _ in range(3):
            with pytest.raises(RequestError):
                client.get("unknown")
        assert daemon.connections == 1


def test_a_connection_the_daemon_closed_meanwhile_is_made_anew(tmp_path: Path) -> None:
    with Daemon(tmp_path / "s") as daemon, Client(str(tmp_path / "s")) as client:
        client.status()
        daemon.hang_up()
        client.status()
        assert daemon.connections == 2


def test_threads_have_connections_to_themselves(tmp_path: Path) -> None:
    with Daemon(tmp_path / "s") as daemon, Client(str(tmp_path / "s")) as client:
        failed = []

        def ask() -> None:
            try:
                for _ in range(20):
                    assert client.status() == {}
            except BaseException as error:  # noqa: BLE001 (whatever it is, the test is to know)
                failed.append(error)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert daemon.connections <= 8


def test_a_forked_process_has_connections_of_its_own(tmp_path: Path) -> None:
    with Daemon(tmp_path / "s") as daemon, Client(str(tmp_path / "s")) as client:
        client.status()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the threads are the daemon's
            child = os.fork()
        if child == 0:
            os._exit(0 if client.status() == {} else 1)
        assert os.waitpid(child, 0)[1] == 0
        client.status()
        assert daemon.connections == 2


def test_a_client_that_is_dropped_leaves_no_warning(tmp_path: Path) -> None:
    with Daemon(tmp_path / "s"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = Client(str(tmp_path / "s"))
        client.status()
        del client
        gc.collect()
    assert caught == []


def test_a_client_that_was_closed_connects_again(tmp_path: Path) -> None:
    with Daemon(tmp_path / "s") as daemon, Client(str(tmp_path / "s")) as client:
        client.status()
        client.close()
        client.status()
        assert daemon.connections == 2
