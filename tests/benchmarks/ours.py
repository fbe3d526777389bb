"""The ways to push by pushd: they differ in who submits."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.daemons import stream
from tests.benchmarks.measuring import Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.benchmarks.images import Push
    from tests.benchmarks.measuring import Cost
    from tests.benchmarks.way import Run, Stage
    from tests.integration.daemon import Daemon

WAIT = 600
"""Seconds a push may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushd:
    """By a daemon of its own.

    Attributes:
        submit: gives the command that submits pushes, and waits for their end.
    """

    name: str
    submit: Callable[[Daemon, Sequence[Push], Path], Sequence[str | Path]]
    tool: str = "pushd"

    @contextmanager
    def ready(self, stage: Stage) -> Iterator[Run]:
        """Get a daemon."""
        with stage.daemons.ready(stage.place, stage.cores) as daemon:

            def run(pushes: Sequence[Push]) -> Cost:
                command = self.submit(daemon, pushes, stage.directory)
                meter = Meter(daemon)
                cost = meter.read(stage.run([command], daemon.environment))
                _check(daemon)
                return cost

            yield run


def _check(daemon: Daemon) -> None:
    queue = daemon.request("GET", "/v1/status").body["queue"]
    assert not any(queue.values()), f"a push has not ended: {queue}"
    unhappy = daemon.request("GET", "/v1/jobs?state=failed&state=partial&state=cancelled").body["jobs"]
    assert not unhappy, unhappy


def by_curl(daemon: Daemon, pushes: Sequence[Push], directory: Path) -> Sequence[str | Path]:
    """Submit one job with curl, and have the answer wait for its end."""
    (push,) = pushes
    body = directory / "job.json"
    body.write_text(json.dumps(_job(push)))
    return [
        *("curl", "--silent", "--show-error", "--fail-with-body", "--unix-socket", daemon.socket),
        *("--header", "Content-Type: application/json", "--header", f"Prefer: wait={WAIT}"),
        *("--data-binary", f"@{body}", "http://pushd/v1/jobs"),
    ]


def by_pushctl(daemon: Daemon, pushes: Sequence[Push], directory: Path) -> Sequence[str | Path]:
    """Submit one job with pushctl, and look on until it has ended."""
    return _pushctl(daemon.socket, pushes)


def by_spool(daemon: Daemon, pushes: Sequence[Push], directory: Path) -> Sequence[str | Path]:
    """The same for a caller whose files the daemon cannot read: pushctl brings them over the socket."""
    return _pushctl(stream(daemon), pushes)


def _pushctl(socket: Path, pushes: Sequence[Push]) -> Sequence[str | Path]:
    (push,) = pushes
    words = ["push", push.source, *push.destinations, "--wait"]
    return [sys.executable, "-m", "pushd.ctl", "--socket", socket, *words]


def by_program(daemon: Daemon, pushes: Sequence[Push], directory: Path) -> Sequence[str | Path]:
    """Submit jobs from a program that keeps its connections."""
    file = directory / "jobs.ndjson"
    file.write_text("".join(f"{json.dumps(_job(push))}\n" for push in pushes))
    return [sys.executable, "-m", "tests.benchmarks.submitter", daemon.socket, file]


def _job(push: Push) -> dict[str, object]:
    return {"source": push.source, "destinations": push.destinations}


CURL = Pushd(name="pushd", submit=by_curl)
PUSHCTL = Pushd(name="pushd, by pushctl", submit=by_pushctl)
SPOOLED = Pushd(name="pushd, spooled", submit=by_spool)
PROGRAM = Pushd(name="pushd", submit=by_program)
