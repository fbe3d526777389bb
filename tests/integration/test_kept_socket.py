"""A restart refuses nobody while the service manager keeps the listening socket: neither pushctl nor the client."""

from __future__ import annotations

import itertools
import json
import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from pushd.client import Client
from tests.fakes.images import ImageSpec, build_layout
from tests.integration.daemon import Daemon
from tests.integration.parts import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.fakes.registry import FakeRegistry

SUBMISSIONS = 100
RESTARTS = 3
AT_ONCE = 4

# What systemd does between fork and exec: descriptor 3 is the socket, and the process is told that it is for it.
PASS_ON = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Kept(Daemon):
    """The daemon with a parent that made the socket, and keeps it from one life to the next."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._kept = socket.socket(socket.AF_UNIX)
        self._kept.bind(os.fsencode(self.socket))
        self._kept.listen(1024)
        self._passed = (self._kept.fileno(),)

    def _started(self, arguments: Sequence[str | Path]) -> Sequence[str | Path]:
        return [sys.executable, "-c", PASS_ON, str(self._kept.fileno()), "-m", "pushd", *arguments]

    def discard(self) -> None:
        self._kept.close()
        super().discard()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    directory = tmp_path / "daemon"
    directory.mkdir()
    daemon = Kept(directory)
    try:
        yield daemon
        daemon.close()
    finally:
        daemon.discard()


def test_who_asks_before_there_is_a_daemon_is_answered_by_each_of_its_lives(kept: Kept) -> None:
    lives = []
    for _ in range(2):
        with ThreadPoolExecutor(1) as early:
            asked = early.submit(kept.request, "GET", "/v1/status")
            kept.launch()
            lives.append(asked.result(30).body["epoch"])
        assert kept.terminate() == 0
    assert lives == [1, 2]


def by_the_client(daemon: Kept, source: str, destination: str) -> str:
    client = Client(str(daemon.socket))
    return client.submit(source, [destination], labels={"by": "client"}).id


def by_pushctl(daemon: Kept, source: str, destination: str) -> str:
    ended = daemon.ctl("push", source, destination, "--label", "by=pushctl", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    return str(json.loads(ended.stdout)["id"])


def everything(daemon: Kept) -> Iterator[str]:
    """Give the id of each job there is."""
    page: dict[str, Any] = {"next": ""}
    while (after := page["next"]) is not None:
        page = daemon.request("GET", f"/v1/jobs?limit=100{after and f'&after={after}'}").body
        yield from (job["id"] for job in page["jobs"])


def taken(given: list[str], count: int) -> None:
    """Wait until so many jobs have been accepted."""
    wait_until(lambda: len(given) >= count, f"{count} jobs have been accepted", pause=0.001)


@pytest.mark.parametrize("submit", [by_the_client, by_pushctl], ids=["client", "pushctl"])
@pytest.mark.parametrize("end", [Daemon.terminate, Daemon.kill], ids=["stopped", "killed"])
def test_restarts_amid_a_hundred_submissions_lose_refuse_and_double_none(
    kept: Kept,
    served: FakeRegistry,
    tmp_path: Path,
    submit: Callable[[Kept, str, str], str],
    end: Callable[[Daemon], int],
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1", layers=[300])])
    source = f"oci:{layout.path}:1"
    numbers = itertools.count()
    given: list[str] = []
    enough = threading.Event()

    def submit_on_and_on() -> None:
        while not enough.wait(0.01):
            given.append(submit(kept, source, f"{served.address}/team/app:{next(numbers)}"))

    kept.start()
    with ThreadPoolExecutor(AT_ONCE) as submitters, ExitStack() as stack:
        stack.callback(enough.set)
        under_way = [submitters.submit(submit_on_and_on) for _ in range(AT_ONCE)]
        for _ in range(RESTARTS):
            taken(given, len(given) + SUBMISSIONS // (RESTARTS + 1))
            end(kept)
            kept.launch()
        taken(given, SUBMISSIONS)
        enough.set()
        for submitter in under_way:
            submitter.result(60)
    assert len(set(given)) == len(given)
    assert set(everything(kept)) == set(given)
    assert {kept.wait(job)["state"] for job in given} == {"succeeded"}
    assert len(served.repository("team/app").tags) == len(given)
    assert [event["epoch"] for event in kept.events("daemon.started")] == list(range(1, RESTARTS + 2))
