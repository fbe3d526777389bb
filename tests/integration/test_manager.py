"""What a service manager hears of the daemon, from its start to its end (sd_notify(3))."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.fakes.faults import SlowBody
from tests.fakes.images import ImageSpec, build_layout
from tests.integration.daemon import Daemon
from tests.integration.parts import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.registry import FakeRegistry

MIB = 1 << 20
WATCHDOG = 0.3
"""Seconds after which the manager would restart it."""


class Managed(Daemon):
    """The daemon with a manager that listens."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(os.fsencode(self.socket.with_name("notify")))

    @property
    def environment(self) -> dict[str, str]:
        told = {"NOTIFY_SOCKET": str(self.socket.with_name("notify")), "WATCHDOG_USEC": str(int(WATCHDOG * 1e6))}
        return super().environment | told

    def heard(self, seconds: float = 10) -> list[str]:
        """Give the lines of the next message, of whatever kind.

        Raises:
            TimeoutError: there was none.
        """
        self._manager.settimeout(seconds)
        return self._manager.recv(4096).decode().splitlines()

    def news(self) -> list[str]:
        """Give the lines of the next message that is neither a sign of life nor how it stands."""
        while (lines := self.heard())[0].startswith(("WATCHDOG=", "STATUS=")):
            pass
        return lines

    def reload(self, config: str) -> None:
        self._config.write_text(config)
        os.kill(self.pid, signal.SIGHUP)

    def discard(self) -> None:
        super().discard()
        self._manager.close()


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[Managed]:
    directory = tmp_path / "daemon"
    directory.mkdir()
    daemon = Managed(directory)
    yield daemon
    daemon.discard()


def test_it_hears_the_right_things_in_the_right_order(managed: Managed, served: FakeRegistry, tmp_path: Path) -> None:
    config = f'[registries."{served.address}"]\nupload = "chunked"\nchunk_size = "64MiB"\n'
    managed.launch(config)
    assert managed.heard()[0] == "READY=1"
    wait_until(managed._answers, "the daemon answers")

    managed.reload(f"{config}max_uploads = 3\n")
    began, at = managed.news()
    assert (began, at.partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
    assert managed.news()[0] == "READY=1"

    managed.reload(f"{config}max_uploads = 3\nmax_uploadz = 4\n")
    assert managed.news()[0] == "RELOADING=1"
    ready, status = managed.news()
    assert ready == "READY=1"
    assert status.startswith("STATUS=")
    assert "max_uploadz" in status

    os.kill(managed.pid, signal.SIGSTOP)
    time.sleep(0.1)
    with suppress(BlockingIOError):
        while True:  # what it said before
            managed.heard(0)
    with pytest.raises(TimeoutError):
        managed.heard(3 * WATCHDOG)
    os.kill(managed.pid, signal.SIGCONT)
    assert managed.heard() == ["WATCHDOG=1"]

    served.misbehave(SlowBody(rate=8 * MIB), method="PATCH", times=None)
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1", layers=[128 * MIB])])
    managed.submit(f"oci:{layout.path}:1", f"{served.address}/team/app:1")
    wait_until(lambda: served.received > MIB, "bytes move")
    os.kill(managed.pid, signal.SIGTERM)
    assert managed.news()[0] == "STOPPING=1"
    assert managed.news()[0].startswith("EXTEND_TIMEOUT_USEC=")
    assert managed._running().wait(30) == 0
    managed._process = None
