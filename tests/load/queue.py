"""A long queue: how fast it fills, how fast it is listed, how fast the daemon comes back to it."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fakes.images import ImageSpec, build_layout
from tests.load.speaking import Line, in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.daemon import Daemon

REGISTRY = "127.0.0.1:9"
"""Paused: nothing is ever sent there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured; rates a second, times in seconds.

    Attributes:
        fsyncs: of the disk below, one after the other, measured beside the submissions.
        submissions: by 16 submitters together.
        listed: of `GET /v1/jobs`, the median and the slowest.
        shown: of `pushctl jobs`, a process each, the median.
        ready: from the start of the daemon's process to its first answer, with the queue in the database.
    """

    jobs: int
    fsyncs: float
    submissions: float
    listed: tuple[float, float]
    shown: float
    ready: float
    resident: int

    @property
    def wanted(self) -> float:
        """What the submissions are to reach: eight times half of the disk's own rate, but no more than 1,000."""
        return min(8 * self.fsyncs / 2, 1000.0)


def measure(daemon: Daemon, directory: Path, *, jobs: int, submitters: int = 16) -> Figures:
    """Fill the queue of a daemon that runs, and time what people do with it."""
    layout = build_layout(directory / "image", [ImageSpec(layers=[1000])])
    assert daemon.request("POST", f"/v1/registries/{REGISTRY}/pause").status == 200
    before = fsyncs(directory)
    seconds = asyncio.run(in_turn(daemon.socket, _bodies(layout.path, jobs), lines=submitters))
    after = fsyncs(directory)
    listed = asyncio.run(_listed(daemon.socket))
    shown = [_timed(lambda: daemon.ctl("jobs")) for _ in range(5)]
    resident = daemon.memory().now
    daemon.terminate()
    ready = _timed(daemon.start)
    queue = daemon.request("GET", "/v1/status").body["queue"]
    assert queue["queued"] == jobs, queue
    return Figures(
        jobs=jobs,
        fsyncs=statistics.mean([before, after]),
        submissions=jobs / seconds,
        listed=(statistics.median(listed), max(listed)),
        shown=statistics.median(shown),
        ready=ready,
        resident=resident,
    )


def fsyncs(directory: Path, seconds: float = 1.0) -> float:
    """Measure how often a second a page appended to a file can be made durable there."""
    path = directory / "fsync"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            os.write(file, bytes(4096))
            os.fdatasync(file)
            count += 1
        return count / (time.perf_counter() - start)
    finally:
        os.close(file)
        path.unlink()


def _bodies(image: Path, count: int) -> Iterator[object]:
    for number in range(count):
        yield {
            "source": f"oci:{image}",
            "destinations": [f"{REGISTRY}/team/app:{number}"],
            "labels": {"n": str(number)},
        }


async def _listed(socket: Path) -> list[float]:
    line = await Line.to(socket)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        reply = await line.ask("GET", "/v1/jobs?limit=50")
        times.append(time.perf_counter() - start)
        assert len(reply.json["jobs"]) == 50
    line.close()
    return times


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
