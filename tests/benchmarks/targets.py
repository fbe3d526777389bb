"""What was aimed at, and whether it was reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.places import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.readings import Spread
    from tests.benchmarks.results import Results

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One target beside what was measured.

    Attributes:
        case: what it is about.
        target: in words.
        figure: what was measured; None when it was not.
        unit: of the figure, after it.
        met: None when nothing was measured.
    """

    case: str
    target: str
    figure: float | None
    unit: str = ""
    met: bool | None

    @property
    def verdict(self) -> str:
        """In one word."""
        return {True: "met", False: "missed", None: "—"}[self.met]

    @property
    def shown(self) -> str:
        """The figure with its unit."""
        return "—" if self.figure is None else f"{self.figure:.3g}{self.unit}"


def judge(results: Results) -> list[Judged]:
    """Hold the results against all targets."""
    return [*_ratios(results), *_floor(results), *_others(results)]


def _at_most(case: str, target: str, figure: float | None, limit: float, unit: str = "") -> Judged:
    met = None if figure is None else figure <= limit
    return Judged(case=case, target=target, figure=figure, unit=unit, met=met)


def _at_least(case: str, target: str, figure: float | None, limit: float, unit: str = "") -> Judged:
    met = None if figure is None else figure >= limit
    return Judged(case=case, target=target, figure=figure, unit=unit, met=met)


def _ratios(results: Results) -> Iterator[Judged]:
    def wall(case: str, place: Kind, peer: str, way: str = "pushd") -> float | None:
        return _median(results.readings.wall_ratio(case, place, way, peer))

    pinned = "(a) to distribution 3, a core each"
    yield _at_most(pinned, "wall at most 1.05 x crane", wall("a", Kind.REGISTRY, "crane"), 1.05, " x")
    yield _at_most(pinned, "wall at most 0.75 x skopeo", wall("a", Kind.REGISTRY, "skopeo"), 0.75, " x")
    yield _at_most("(b)", "wall at most 0.7 x crane", wall("b", Kind.REGISTRY, "crane"), 0.7, " x")
    yield _at_most("(c) from curl", "wall at most 0.7 x crane", wall("c", Kind.REGISTRY, "crane"), 0.7, " x")
    by_pushctl = wall("c", Kind.REGISTRY, "crane", "pushd, by pushctl")
    yield _at_most("(c) from pushctl push --wait", "wall at most 3 x crane", by_pushctl, 3, " x")
    yield _at_most("(d) from curl", "wall at most 0.5 x crane", wall("d", Kind.REGISTRY, "crane"), 0.5, " x")
    for place in (Kind.REGISTRY, Kind.SINK):
        for peer, limit in (("crane", 1.5), ("skopeo", 5.0)):
            ratio = wall("e", place, peer)
            target = f"at least {limit:g} x the jobs a second of {peer}"
            yield _at_least(f"(e) to {place}", target, None if ratio is None else 1 / ratio, limit, " x")
    for place in (Kind.REGISTRY, Kind.SINK):
        cpu = _median(results.readings.cpu_ratio("f", place, "pushd", "pushd, to one"))
        yield _at_most(f"(f) to {place}", "CPU at most 2.4 x the push to one", cpu, 2.4, " x")
    yield _at_most("(h)", "wall at most 0.25 x crane", wall("h", Kind.LINK, "crane"), 0.25, " x")


def _floor(results: Results) -> Iterator[Judged]:
    least = _median(results.floor_ratio(lambda it: it.sum))
    yield _at_most("(a) to the sink", "CPU at most 1.25 x the sum of sha256, send and read", least, 1.25, " x")
    peer = _median(results.readings.cpu_ratio("a", Kind.SINK, "pushd", "skopeo"))
    yield _at_most("(a) to the sink", "CPU at most 0.75 x skopeo", peer, 0.75, " x")


def _others(results: Results) -> Iterator[Judged]:
    ours = [reading.memory for reading in results.readings if reading.tool == "pushd"]
    most = max(ours) / _MIB if ours else None
    yield _at_most("memory, every case", "resident under 120 MiB", most, 120, " MiB")
    flight = None if results.flight is None else results.flight.memory / _MIB
    yield _at_most("memory, 200 uploads of 1 GiB in flight", "resident under 300 MiB", flight, 300, " MiB")
    idle = None if results.idle is None else results.idle.cpu * 1000
    yield _at_most("idle", "at most 20 ms of CPU a minute", idle, 20, " ms")


def _median(spread: Spread | None) -> float | None:
    return None if spread is None else spread.median
