"""Messages to the service manager: heard where somebody listens, and never in the way where nobody does."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pushd.service.notify import notify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def manager(place: Path) -> Iterator[socket.socket]:
    """A service manager's end, on a path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(place / "notify"))
        channel.settimeout(5)
        yield channel


def test_assignments_arrive_as_one_datagram_of_lines(manager: socket.socket) -> None:
    notify({"NOTIFY_SOCKET": manager.getsockname()}, "READY=1", "STATUS=serving")
    assert manager.recv(4096) == b"READY=1\nSTATUS=serving"


def test_an_abstract_address_is_written_with_an_at_sign() -> None:
    name = f"@pushd/test/{os.getpid()}@x"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:])
        manager.settimeout(5)
        notify({"NOTIFY_SOCKET": name}, "READY=1")
        assert manager.recv(4096) == b"READY=1"


def test_what_is_not_utf_8_is_left_out_because_the_manager_would_drop_the_whole_value(manager: socket.socket) -> None:
    notify({"NOTIFY_SOCKET": manager.getsockname()}, "STATUS=serving " + os.fsdecode("/run/é".encode() + b"\xff.sock"))
    assert manager.recv(4096) == "STATUS=serving /run/é.sock".encode()


def test_a_line_break_in_a_value_makes_no_assignment_of_its_own(manager: socket.socket) -> None:
    notify({"NOTIFY_SOCKET": manager.getsockname()}, "READY=1", "STATUS=serving /run/a\nSTOPPING=1")
    assert manager.recv(4096) == b"READY=1\nSTATUS=serving /run/a STOPPING=1"


@pytest.mark.parametrize(
    "address", [None, "", "@", "relative", "vsock:2:1234", "/no/such/socket", "/" + "x" * 300, "@" + "x" * 300, "/"]
)
def test_where_nobody_can_hear_it_nothing_is_said_and_nothing_breaks(address: str | None) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (only counted)
    notify({} if address is None else {"NOTIFY_SOCKET": address}, "READY=1")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 (the same)


def test_a_manager_that_is_gone_is_no_error(manager: socket.socket) -> None:
    address = manager.getsockname()
    manager.close()
    notify({"NOTIFY_SOCKET": address}, "READY=1")


def test_a_stream_socket_for_a_manager_is_no_error(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stream:
        stream.bind(str(place / "stream"))
        stream.listen()
        notify({"NOTIFY_SOCKET": stream.getsockname()}, "READY=1")


def fill(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        for _ in range(100_000):
            try:
                channel.sendto(b"FULL=1", address)
            except BlockingIOError:
                return
    pytest.fail("the manager's queue never filled")


def test_a_manager_that_reads_nothing_is_not_waited_for_long(manager: socket.socket) -> None:
    fill(manager.getsockname())
    started = time.monotonic()
    notify({"NOTIFY_SOCKET": manager.getsockname()}, "READY=1")
    assert time.monotonic() - started < 3


def test_a_manager_that_is_busy_for_a_moment_still_hears_it(manager: socket.socket) -> None:
    """A lost `READY=1` is a service that is killed when its time to start is over."""
    fill(manager.getsockname())
    heard: list[bytes] = []

    def read_late() -> None:
        time.sleep(0.1)
        while not heard or heard[-1] != b"READY=1":
            heard.append(manager.recv(4096))

    reader = threading.Thread(target=read_late, daemon=True)
    reader.start()
    notify({"NOTIFY_SOCKET": manager.getsockname()}, "READY=1")
    reader.join(5)
    assert heard[-1] == b"READY=1"
