"""A run of the fuzz: many callers at once, none of them well-behaved, and how the daemon is afterwards."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from tests.fakes.images import ImageSpec, build_layout
from tests.fuzz.caller import Caller
from tests.fuzz.right import Places
from tests.fuzz.shot import Chance
from tests.fuzz.vitals import at_rest, faults, vitals

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.vitals import Vitals
    from tests.integration.daemon import Daemon

CALLERS: Final = 24
GROWTH: Final = 9 << 20
"""Bytes the resident memory may be above where it was after the warm-up: less than 100 for each of 100,000 requests."""
CONFIG: Final = """
[destinations]
allow = ["127.0.0.1:1"]

[limits]
attempts = 1
request_size = "64KiB"

[spool]
ttl = "5s"
per_user = "4MiB"
"""
"""Nobody else's registry is spoken to, and what is brought goes soon."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run.

    Attributes:
        kinds: shots of each kind.
        statuses: answers of each status.
        requests: all there were, warm-up included.
        seconds: in which they were made.
        before: at rest after the warm-up,
        after: and at the end.
        problems: what is not as it must be.
    """

    kinds: Counter[str]
    statuses: Counter[int]
    requests: int
    seconds: float
    before: Vitals
    after: Vitals
    problems: list[str]


@dataclass(slots=True)
class _Tally:
    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def run(daemon: Daemon, directory: Path, *, seed: int, requests: int, warm_up: int) -> Result:
    """Ask a daemon that was started with `CONFIG` `warm_up` and then `requests` times.

    Args:
        directory: for the image that is submitted.
        seed: what is asked, and in which order by each caller, follows from it; how the callers mix does not.
    """
    places = _furnish(daemon, directory)
    resting = vitals(daemon)
    tally = _Tally()
    start = time.monotonic()
    made = asyncio.run(_fire(daemon.socket, places, f"{seed}/warm-up", warm_up, tally))
    spent = time.monotonic() - start
    before = at_rest(daemon, replace(resting, memory=1 << 62))
    start = time.monotonic()
    made += asyncio.run(_fire(daemon.socket, places, f"{seed}", requests, tally))
    spent += time.monotonic() - start
    after = at_rest(daemon, replace(before, memory=before.memory + GROWTH))
    return Result(
        tally.kinds, tally.statuses, made, spent, before, after, tally.problems + _sound(daemon, before, after)
    )


def _furnish(daemon: Daemon, directory: Path) -> Places:
    """Put something there to be asked about."""
    layout = build_layout(directory / "app", [ImageSpec(tag="1", layers=[2000, 5000])])
    source = f"oci:{layout.path}"
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    jobs = [daemon.submit(source, "127.0.0.1:1/team/app:1", not_before=begin) for begin in (None, tomorrow)]
    entries = [daemon.request("POST", "/v1/spool", {"size": 1 << 20}).body["id"] for _ in range(2)]
    return Places(tuple(jobs), tuple(entries), source)


async def _fire(path: Path, places: Places, seed: str, requests: int, tally: _Tally) -> int:
    async with asyncio.TaskGroup() as group:
        shares = [requests // CALLERS + (number < requests % CALLERS) for number in range(CALLERS)]
        callers = [
            group.create_task(_call(path, Chance(random.Random(f"{seed}/{number}"), places), share, tally))
            for number, share in enumerate(shares)
        ]
    return sum(caller.result() for caller in callers)


async def _call(path: Path, chance: Chance, share: int, tally: _Tally) -> int:
    caller, made = Caller(path), 0
    while made < share:
        shot = chance.shot()
        made += shot.answers
        tally.kinds[shot.kind] += 1
        for answer in await caller.send(shot):
            tally.statuses[answer.status] += 1
            if (fault := answer.fault()) is not None:
                tally.problems.append(f"{shot.kind}: {fault}\n  to {b''.join(shot.pieces)[:1000]!r}")
    caller.leave()
    return made


def _sound(daemon: Daemon, before: Vitals, after: Vitals) -> list[str]:
    """Say what is wrong with a daemon after all this."""
    problems = faults(daemon)
    if daemon.request("GET", "/v1/status").status != HTTPStatus.OK:
        problems.append("it does not answer any more")
    if after.memory - before.memory > GROWTH:
        problems.append(f"its memory grew from {before.memory >> 10} KiB to {after.memory >> 10} KiB")
    if after.descriptors > before.descriptors:
        problems.append(f"it has {after.descriptors} descriptors open, and had {before.descriptors}")
    return problems
