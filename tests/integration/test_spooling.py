"""Bytes that are brought to the daemon, and a daemon that dies under them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest

from pushd.client import Client
from pushd.errors import PushdError
from tests.fakes.images import ImageSpec, build_layout
from tests.integration.parts import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fakes.registry import FakeRegistry
    from tests.integration.conftest import StartDaemon
    from tests.integration.daemon import Daemon

MIB = 1 << 20
STREAMED = """
[sockets.stream]
path = "{socket}"
role = "administrator"
"""
"""A socket by which nobody names paths: everything is brought."""


@pytest.fixture
def streaming(start_daemon: StartDaemon) -> Callable[[], Daemon]:
    """Give what starts the daemon of a test with a socket by which everything is brought, and starts it again."""

    def start() -> Daemon:
        return start_daemon(STREAMED.format(socket=socket))

    probe = start_daemon()
    socket = probe.socket.with_name("stream.sock")
    probe.terminate()
    return start


class Killer:
    """Kills the daemon when so many bytes have been brought, and starts it again."""

    def __init__(self, daemon: Daemon, start: Callable[[], Daemon], at: list[int]) -> None:
        self._daemon = daemon
        self._start = start
        self._at = at
        self.kills = 0
        self._lock = threading.Lock()

    def __call__(self, brought: int, total: int | None) -> None:
        with self._lock:
            if self._at and brought >= self._at[0]:
                self._at.pop(0)
                self.kills += 1
                self._daemon.kill()
                threading.Thread(target=self._start).start()


@pytest.mark.slow
def test_a_path_is_brought_over_kills_of_the_daemon_and_nothing_is_left_of_it(
    streaming: Callable[[], Daemon], served: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[40 * MIB, 24 * MIB, 1000])])
    daemon = streaming()
    client = Client(str(daemon.socket.with_name("stream.sock")))
    killer = Killer(daemon, streaming, at=[10 * MIB, 45 * MIB])

    job = client.submit(f"oci:{layout.path}", [f"{served.address}/team/app:1"], progress=killer)
    ended = client.wait(job.id, 60)

    assert killer.kills == 2
    assert (ended.state, ended.digest) == ("succeeded", str(layout.image.root.digest))
    wait_until(lambda: spool_entries(daemon) == [], "the spool is empty again")


@pytest.mark.slow
def test_a_stream_that_cannot_be_read_twice_is_brought_over_kills_as_well(
    streaming: Callable[[], Daemon], served: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[40 * MIB, 24 * MIB, 1000])])
    daemon = streaming()
    client = Client(str(daemon.socket.with_name("stream.sock")))
    killer = Killer(daemon, streaming, at=[10 * MIB, 45 * MIB])

    with subprocess.Popen(["tar", "-cf", "-", "-C", layout.path, "."], stdout=subprocess.PIPE) as tar:
        assert tar.stdout is not None
        job = client.submit_stream(cast("BinaryIO", tar.stdout), [f"{served.address}/team/app:1"], progress=killer)
    ended = client.wait(job.id, 60)

    assert killer.kills == 2
    assert (ended.state, ended.digest) == ("succeeded", str(layout.image.root.digest))
    wait_until(lambda: spool_entries(daemon) == [], "the spool is empty again")


def test_what_is_brought_is_hashed_once_and_sent_without_another_copy(
    streaming: Callable[[], Daemon], served: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[2 * MIB])])
    daemon = streaming()
    client = Client(str(daemon.socket.with_name("stream.sock")))
    client.pause_registry(served.address)
    job = client.submit(f"oci:{layout.path}", [f"{served.address}/team/app:1"])

    (entry,) = spool_entries(daemon)
    blob = daemon.state / "spool" / entry / "blobs" / "sha256" / layout.image.layers[0].digest.encoded
    known = database(daemon, "SELECT digest, size FROM validated_files WHERE inode = ?", str(blob.stat().st_ino))
    assert known == [(str(layout.image.layers[0].digest), 2 * MIB)]

    client.resume_registry(served.address)
    assert client.wait(job.id, 60).state == "succeeded"


def test_a_damaged_blob_is_refused_on_the_way_and_takes_nothing_with_it(
    streaming: Callable[[], Daemon], served: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[2 * MIB])])
    path = layout.blob_path(layout.image.layers[0].digest)
    with path.open("r+b") as file:
        file.seek(MIB)
        file.write(b"damaged")
    daemon = streaming()
    client = Client(str(daemon.socket.with_name("stream.sock")))

    with pytest.raises(PushdError) as caught:
        client.submit(f"oci:{layout.path}", [f"{served.address}/team/app:1"])

    assert caught.value.code == "source.blob_digest"
    assert spool_entries(daemon) == []
    assert served.requests == []


def test_a_plan_of_what_had_to_be_brought_leaves_nothing(
    streaming: Callable[[], Daemon], served: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "image", [ImageSpec(layers=[1000])])
    daemon = streaming()
    client = Client(str(daemon.socket.with_name("stream.sock")))

    plan = client.plan(f"oci:{layout.path}", [f"{served.address}/team/app:1"])

    assert plan["destinations"][0]["action"] == "push"
    assert spool_entries(daemon) == []
    assert list(client.list()) == []


def spool_entries(daemon: Daemon) -> list[str]:
    spool = daemon.state / "spool"
    return [entry.name for entry in os.scandir(spool) if entry.is_dir()]


def database(daemon: Daemon, sql: str, *parameters: object) -> list[Any]:
    connection = sqlite3.connect(f"file:{daemon.state / 'pushd.db'}?mode=ro", uri=True)
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()
