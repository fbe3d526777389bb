"""What was read, run by run, and what that comes to."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.benchmarks.places import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One run.

    Attributes:
        case: its letter.
        place: where it was pushed to.
        way: its name.
        tool: whose way it is.
        timed: whether its times count: a run through a counting proxy is slower.
        pinned: whether client and registry had a core each.
        together: processes at a time, of a tool that takes one for each image and registry.
        wall: seconds.
        cpu: seconds of the client, the daemon's and those of who submitted together.
        memory: bytes resident at the most.
        jobs: images pushed.
        requests: that arrived; None where nothing was counted.
        body: bytes of their bodies.
    """

    case: str
    place: Kind
    way: str
    tool: str
    timed: bool
    pinned: bool
    together: int
    wall: float
    cpu: float
    memory: int
    jobs: int
    requests: int | None = None
    body: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Several readings of one figure."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        """Give it; of one figure at least."""
        return cls(median=statistics.median(figures), least=min(figures), most=max(figures))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All runs of one way in one case to one place.

    Attributes:
        wall: seconds a job.
        cpu: seconds a job.
        memory: bytes, the most of all runs.
        jobs: of a run.
        together: processes at a time.
        runs: that were timed.
        requests: a job; None where nothing was counted.
        body: bytes a job, likewise.
    """

    case: str
    place: Kind
    way: str
    tool: str
    wall: Spread
    cpu: Spread
    memory: int
    jobs: int
    together: int
    runs: int
    requests: float | None
    body: float | None

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return 1 / self.wall.median


class Readings(list[Reading]):
    """All of a run of the suite, in order."""

    def summary(self, case: str, place: Kind, way: str) -> Summary | None:
        """Give what one way comes to; None when it was not there."""
        found = [it for it in self if (it.case, it.place, it.way) == (case, place, way)]
        timed = [it for it in found if it.timed]
        if not timed:
            return None
        counted = [it for it in found if it.requests is not None]
        return Summary(
            case=case,
            place=place,
            way=way,
            tool=timed[0].tool,
            wall=Spread.of([it.wall / it.jobs for it in timed]),
            cpu=Spread.of([it.cpu / it.jobs for it in timed]),
            memory=max(it.memory for it in timed),
            jobs=timed[0].jobs,
            together=timed[0].together,
            runs=len(timed),
            requests=_median(counted, lambda it: it.requests),
            body=_median(counted, lambda it: it.body),
        )

    def wall_ratio(self, case: str, place: Kind, way: str, other: str) -> Spread | None:
        """Compare seconds a job, pair by pair; None when one of them was not there."""
        return self._ratio(case, place, way, other, lambda it: it.wall / it.jobs)

    def cpu_ratio(self, case: str, place: Kind, way: str, other: str) -> Spread | None:
        """Compare CPU seconds a job likewise."""
        return self._ratio(case, place, way, other, lambda it: it.cpu / it.jobs)

    def _ratio(self, case: str, place: Kind, way: str, other: str, figure: Callable[[Reading], float]) -> Spread | None:
        def figures(name: str) -> list[float]:
            return [figure(it) for it in self if (it.case, it.place, it.way, it.timed) == (case, place, name, True)]

        pairs = list(zip(figures(way), figures(other), strict=False))  # all but the last of a run that was broken off
        return Spread.of([mine / theirs for mine, theirs in pairs]) if pairs else None


def _median(readings: Iterable[Reading], figure: Callable[[Reading], int | None]) -> float | None:
    figures = [it / reading.jobs for reading in readings if (it := figure(reading)) is not None]
    return statistics.median(figures) if figures else None
