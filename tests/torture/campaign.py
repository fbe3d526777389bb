"""A run of the torture: a daemon under load, a network and a registry that fail, and what came of it."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fakes.images import build_layout
from tests.integration.parts import tail
from tests.torture.evidence import (
    at_registry,
    in_answers,
    in_database,
    in_log,
    left_behind,
    mounted,
    needs,
    on_disk,
    told,
)
from tests.torture.ordeal import Blow
from tests.torture.stage import stage
from tests.torture.submitter import Submitter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fakes.images import Layout
    from tests.torture.evidence import Left
    from tests.torture.ordeal import Ordeal, Strike
    from tests.torture.stage import Stage

_SINGLE_MAX = 4 << 20
"""Bytes up to which a blob travels in one PUT, which no registry lets anybody resume."""
_SIGKILL = -9


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a run.

    Attributes:
        blows: how often each befell.
        needed: bytes of blobs that had to travel: each once to each repository, those apart that were mounted.
        up: bytes that went to the registry, as the proxy counted them; headers and manifests are among them.
        left: the upload sessions left behind at the registry.
        restarted: uploads that began again from their first byte.
        interrupted: uploads that were broken and went on.
        seconds: from the first submission to the end of the last job.
        problems: what is not as it must be.
    """

    accepted: int
    deliveries: int
    blows: Counter[Blow]
    needed: int
    up: int
    left: list[Left]
    restarted: int
    interrupted: int
    seconds: float
    problems: list[str]


def run(
    ordeal: Ordeal,
    program: str,
    directory: Path,
    *,
    tell: Callable[[str], None],
    keeps_bytes: bool,
    patience: float,
) -> Result:
    """Put a daemon through an ordeal.

    Args:
        ordeal: what is done.
        program: the registry's.
        directory: empty; everything is below it.
        tell: takes a line now and then.
        keeps_bytes: whether the registry keeps what arrived of a chunk that broke (distribution 3).
        patience: seconds the jobs may take after the last kill.
    """
    layout = build_layout(directory / "images", ordeal.specs)
    tell(f"{len(layout.images)} images of {sum(_sizes(layout).values()) / 1e6:.0f} MB in all")
    config = f"[limits]\nuploads_per_registry = {ordeal.uploads}\n"
    with stage(directory, program, rate=ordeal.rate, delay=ordeal.delay, config=config) as parts:
        submitter = Submitter(ordeal, layout, parts.daemon, parts.proxy)
        started = time.monotonic()
        with submitter:
            blows, problems = _suffer(ordeal, parts, submitter, tell)
        problems += [*submitter.problems, *_all_ended(submitter, patience, tell)]
        seconds = time.monotonic() - started
        up = parts.proxy.up
        tell("reading everything back")
        problems += _judge(parts, submitter)
        left = left_behind(
            parts.registry.storage, [path for path, size in _sizes(layout).items() if size > _SINGLE_MAX]
        )
        if keeps_bytes:
            problems += [f"{it.path} with {it.size} bytes should have been resumed" for it in left if it.resumable]
        events = told(parts.daemon.log)
        besides = mounted(parts.daemon.state / "pushd.db")
    return Result(
        accepted=len(submitter.accepted),
        deliveries=sum(len(job.destinations) for job in submitter.accepted),
        blows=blows,
        needed=needs(submitter.accepted, besides=besides),
        up=up,
        left=left,
        restarted=events["blob.upload.restarted"],
        interrupted=events["blob.upload.interrupted"],
        seconds=seconds,
        problems=problems,
    )


def _suffer(
    ordeal: Ordeal, parts: Stage, submitter: Submitter, tell: Callable[[str], None]
) -> tuple[Counter[Blow], list[str]]:
    """Strike every blow at its time; give how many of each, and what was wrong on the way."""
    started = time.monotonic()
    blows: Counter[Blow] = Counter()
    problems: list[str] = []
    for strike in ordeal.strikes:
        time.sleep(strike.after)
        problems += _strike(strike, ordeal, parts)
        blows[strike.blow] += 1
        if strike.blow is Blow.KILL and blows[Blow.KILL] % 10 == 0:
            tell(
                f"{time.monotonic() - started:6.1f} s  {blows[Blow.KILL]} kills, {blows[Blow.CUT]} cuts, "
                f"{blows[Blow.RESTART]} restarts; {len(submitter.accepted)} jobs accepted, "
                f"{len(submitter.open())} open; {parts.proxy.up / 1e6:.0f} MB sent"
            )
    return blows, problems


def _strike(strike: Strike, ordeal: Ordeal, parts: Stage) -> list[str]:
    match strike.blow:
        case Blow.KILL:
            code = parts.daemon.kill()
            parts.daemon.launch(parts.config)
            if code != _SIGKILL:
                return [f"the daemon had ended by itself, with {code}: {tail(parts.daemon.log, 5)}"]
        case Blow.CUT:
            parts.proxy.cut(strike.size, random.Random(f"{ordeal.seed}/{strike}"))
        case Blow.RESTART:
            parts.registry.stop()
            time.sleep(strike.size)
            parts.registry.start()
    return []


def _all_ended(submitter: Submitter, patience: float, tell: Callable[[str], None]) -> Iterator[str]:
    end = time.monotonic() + patience
    said = time.monotonic()
    while left := submitter.open():
        if time.monotonic() > end:
            yield f"{len(left)} jobs have not ended {patience:g} s after the last kill"
            for job in left:
                yield f"job {job['id']}: {[(it['state'], it['failure']) for it in job['deliveries']]}"
            return
        if time.monotonic() > said + 30:
            said = time.monotonic()
            tell(f"{len(left)} jobs to go: {sorted(job['state'] for job in left)}")
        time.sleep(0.1)


def _judge(parts: Stage, submitter: Submitter) -> Iterator[str]:
    """Stop the daemon, and look at everything that can be looked at."""
    daemon, registry, accepted = parts.daemon, parts.registry, submitter.accepted
    yield from in_answers(daemon, accepted)
    code = daemon.terminate()
    if code:
        yield f"the daemon ended with {code} at SIGTERM"
    yield from in_database(daemon.state / "pushd.db", accepted)
    yield from in_log(daemon.log)
    yield from at_registry(registry.address, accepted)
    yield from on_disk(registry.storage)


def _sizes(layout: Layout) -> dict[Path, int]:
    return {layout.blob_path(blob.digest): blob.size for image in layout.images.values() for blob in image.blobs}
