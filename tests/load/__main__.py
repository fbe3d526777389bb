"""Load by hand: `python -m tests.load queue`, `readers` or `scale`; each prints what it measured."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.fakes.behaviour import Behaviour
from tests.fakes.registry import FakeRegistry
from tests.integration.daemon import Daemon
from tests.load import queue, readers, scale

MIB = 1 << 20


def main() -> int:
    """Measure one of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    filling = kinds.add_parser("queue", help="many jobs that wait")
    filling.add_argument("--jobs", type=int, default=10_000)
    watching = kinds.add_parser("readers", help="many readers of events, half of them stalled, beside a push")
    watching.add_argument("--readers", type=int, default=200)
    watching.add_argument("--size", type=int, default=1024 * MIB, help="bytes of the image")
    watching.add_argument("--pairs", type=int, default=5)
    growing = kinds.add_parser("scale", help="what a job and a question cost beside a long history, and a long queue")
    growing.add_argument("--finished", type=int, default=100_000, help="jobs of the long history")
    growing.add_argument("--queued", type=int, default=10_000, help="jobs of the long queue, of two kinds each")
    growing.add_argument("--jobs", type=int, default=128, help="jobs that are measured in one go")
    growing.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pushd-load-") as directory:
        if asked.kind == "queue":
            _queue(Path(directory), asked.jobs)
        elif asked.kind == "scale":
            _scale(Path(directory), asked)
        else:
            _readers(Path(directory), asked)
    return 0


def _queue(directory: Path, jobs: int) -> None:
    daemon = Daemon(directory)
    try:
        daemon.start()
        it = queue.measure(daemon, directory, jobs=jobs)
        daemon.close()
    finally:
        daemon.discard()
    _tell("jobs queued", f"{it.jobs}")
    _tell("fsyncs a second, one writer", f"{it.fsyncs:.0f}")
    _tell("submissions a second, 16 submitters", f"{it.submissions:.0f}")
    _tell("wanted", f"{it.wanted:.0f}")
    _tell("GET /v1/jobs, median and slowest, ms", f"{it.listed[0] * 1e3:.1f} and {it.listed[1] * 1e3:.1f}")
    _tell("pushctl jobs, a process, median, ms", f"{it.shown * 1e3:.0f}")
    _tell("restart to ready, s", f"{it.ready:.2f}")
    _tell("resident, MiB", f"{it.resident / MIB:.0f}")


def _readers(directory: Path, asked: argparse.Namespace) -> None:
    daemon = Daemon(directory)
    try:
        with FakeRegistry(Behaviour(discard_above=MIB, mounts=False)).in_thread() as registry:
            daemon.start()
            it = readers.measure(
                daemon, registry, directory, readers=asked.readers, size=asked.size, layers=8, pairs=asked.pairs
            )
            daemon.close()
    finally:
        daemon.discard()
    _tell("a push alone, median, s", f"{it.alone:.2f}")
    _tell(f"the same with {asked.readers} readers, s", f"{it.watched:.2f}")
    _tell("ratios, pair by pair", " ".join(f"{ratio:.2f}" for ratio in it.ratios))
    _tell("resident before and after, MiB", f"{it.before / MIB:.0f} and {it.after / MIB:.0f}")
    _tell("events read", f"{it.events}")


def _scale(directory: Path, asked: argparse.Namespace) -> None:
    short = scale.Filling(finished=min(2000, asked.finished))
    long = (
        (f"a history of {asked.finished} jobs", scale.Filling(finished=asked.finished)),
        (f"a queue of {2 * asked.queued} jobs", scale.Filling(finished=short.finished, queued=asked.queued)),
    )
    for number, (title, filling) in enumerate(long):
        paths = [directory / f"{number}-{name}" for name in ("short", "long")]
        for path, holding in zip(paths, (short, filling), strict=True):
            scale.fill(path, holding)
        _tell(f"ms, a history of {short.finished} jobs beside {title}", "short      long     ratio")
        for it in asyncio.run(scale.compare(*paths, jobs=asked.jobs, rounds=asked.rounds)):
            _tell(it.name, f"{it.short:.3f} {it.long:9.3f} {it.ratio:9.2f}")


def _tell(name: str, value: str) -> None:
    print(f"{name:40} {value:>30}", flush=True)  # noqa: T201 (a command for people)


if __name__ == "__main__":
    sys.exit(main())
