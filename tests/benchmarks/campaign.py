"""Runs the cases: A B C A B C, everything fresh each time, and each push looked at afterwards."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from tests.benchmarks.cases import COUNTED_APART, ONE_REGISTRY
from tests.benchmarks.cores import Cores
from tests.benchmarks.images import Push, settle
from tests.benchmarks.peers import Peer
from tests.benchmarks.places import Kind, fresh
from tests.benchmarks.readings import Reading
from tests.benchmarks.way import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tests.benchmarks.cases import Case
    from tests.benchmarks.daemons import Daemons
    from tests.benchmarks.images import Image
    from tests.benchmarks.measuring import Launcher
    from tests.benchmarks.places import Place
    from tests.benchmarks.scale import Scale
    from tests.benchmarks.way import Way

    Tell = Callable[[str], None]


_ONCE = 30.0
"""Seconds of a run from which on a peer does a case only once: as long as that, there is little noise in it."""
_COUNTED_JOBS = 20


class NotThere(AssertionError):  # noqa: N818 (what was found, not what kind of class it is)
    """A push that was said to be done is not at the registry."""


class Campaign:
    """All that the cases share.

    Args:
        directory: for images, registries and daemons.
        launcher: what runs programs.
        daemons: what runs daemons.
        scale: how much and how often.
        tell: gets a line a run.
    """

    def __init__(self, directory: Path, launcher: Launcher, daemons: Daemons, scale: Scale, tell: Tell) -> None:
        self._directory = directory
        self._launcher = launcher
        self._daemons = daemons
        self._scale = scale
        self._tell = tell
        self._built: dict[str, list[Image]] = {}

    def build(self, cases: Iterable[Case]) -> None:
        """Build the images of these cases, and let them settle."""
        for case in cases:
            directory = self._directory / "images" / case.letter
            directory.mkdir(parents=True)
            self._built[case.letter] = case.build(directory, self._scale)
        settle(self._directory / "images", self._scale.settled)

    def size(self, letter: str) -> int:
        """Give the bytes of the blobs of a case's only image."""
        (image,) = self._built[letter]
        return image.size

    def layers(self, letter: str) -> Sequence[Path]:
        """Give the files of the layers of a case's image."""
        (image,) = self._built[letter]
        return image.layers

    def run(self, case: Case, before: Callable[[Kind], None]) -> Iterator[Reading]:
        """Run a case to all its places; `before` is called ahead of each timed repetition."""
        ways = [way for way in case.ways if not isinstance(way, Peer) or way.there()]
        repetitions = self._scale.repetitions[case.letter]
        for kind in case.places:
            chosen = [self._faster(case, kind, way) for way in ways] if repetitions else ways
            apart = kind in COUNTED_APART and repetitions > 0
            if apart:
                for way in chosen:
                    yield self._once(case, kind, way, counted=True, timed=False)
            tired: set[str] = set()
            for _ in range(max(repetitions, 1)):
                before(kind)
                for way in chosen:
                    if way.name in tired:
                        continue
                    reading = self._once(case, kind, way, counted=not apart, timed=True)
                    if isinstance(way, Peer) and reading.wall > _ONCE:
                        tired.add(way.name)
                    yield reading

    def _faster(self, case: Case, kind: Kind, way: Way) -> Way:
        """Give a way to several registries: a peer does two at a time, or one by one if that is faster in a trial."""
        if case.registries == 1 or not isinstance(way, Peer):
            return way
        both = [way, replace(way, together=1)]
        return min(both, key=lambda it: self._once(case, kind, it, counted=False, timed=False).wall)

    def _once(self, case: Case, kind: Kind, way: Way, *, counted: bool, timed: bool) -> Reading:
        cores = Cores.apart() if case.pinned or kind is Kind.SINK else Cores()
        built = self._built[case.letter]
        if case.letter == "e":
            # What a job takes in requests is seen as well from a few of them.
            built = built[: self._scale.jobs[way.tool] if timed else _COUNTED_JOBS]
        directory = Path(mkdtemp(prefix="run-", dir=self._directory))
        try:
            with fresh(
                kind,
                directory,
                round_trip=self._scale.round_trip,
                count=case.registries,
                cores=cores.registry,
                counted=counted,
            ) as place:
                addresses = place.addresses[:1] if way is ONE_REGISTRY else place.addresses
                pushes = [Push(image, addresses) for image in built]
                stage = Stage(
                    directory=directory,
                    launcher=self._launcher,
                    daemons=self._daemons,
                    place=place,
                    cores=cores.client,
                )
                with way.ready(stage) as run:
                    if case.primed:
                        run(pushes)
                    before = place.counts() if place.counts else None
                    cost = run(pushes)
                    after = place.counts() if place.counts else None
                _look(place, pushes)
        finally:
            shutil.rmtree(directory)
        reading = Reading(
            case=case.letter,
            place=kind,
            way=way.name,
            tool=way.tool,
            timed=timed,
            pinned=cores.pinned,
            together=way.together if isinstance(way, Peer) else 1,
            wall=cost.wall,
            cpu=cost.cpu,
            memory=cost.memory,
            jobs=len(pushes),
            requests=after.total - before.total if before and after else None,
            body=after.body - before.body if before and after else None,
        )
        self._tell(_line(reading))
        return reading


def _look(place: Place, pushes: Sequence[Push]) -> None:
    """See that every image is where it was pushed to, by its digest."""
    for address in pushes[0].addresses:
        names = [(push.image.repository, push.image.tag) for push in pushes]
        for push, found in zip(pushes, place.digests(address, names), strict=True):
            if found != push.image.digest:
                name = f"{address}/{push.image.repository}:{push.image.tag}"
                raise NotThere(f"{name} is {found}, not {push.image.digest}")


def _line(it: Reading) -> str:
    counted = "" if it.requests is None else f" {it.requests:6} requests {it.body or 0:12} bytes"
    note = "" if it.timed else " (not timed)"
    return (
        f"({it.case}) {it.place:24} {it.way:18} {it.wall:8.3f} s {it.cpu:8.3f} CPU-s {it.memory / (1 << 20):6.0f} MiB"
        f"{counted}{note}"
    )
