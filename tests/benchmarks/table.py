"""The figures as tables in Markdown: ours beside the peers'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.cases import CASES
from tests.benchmarks.readings import Spread
from tests.benchmarks.results import CONDITIONS
from tests.benchmarks.targets import judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.benchmarks.cases import Case
    from tests.benchmarks.places import Kind
    from tests.benchmarks.readings import Readings
    from tests.benchmarks.results import Results

_MIB = 1 << 20
_NONE = "—"
COLUMNS = (
    "way",
    "wall, s",
    "of pushd's wall",
    "CPU, s",
    "of pushd's CPU",
    "peak memory, MiB",
    "requests",
    "bodies, MB",
    "jobs a second",
    "runs",
)


def write(results: Results) -> str:
    """Give the whole of it."""
    return "\n".join([*_head(results), *_cases(results.readings), *_beside(results), *_targets(results), ""])


def _head(results: Results) -> Iterator[str]:
    machine = results.machine
    yield "# pushd beside its peers"
    yield ""
    if results.short:
        yield "This was the short form: tiny sizes, once, one daemon for all. Its figures mean nothing."
        yield ""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    governor = f", governor {machine.governor}" if machine.governor else ""
    memory = f"{machine.memory / (1 << 30):.0f} GiB"
    yield f"{machine.date}; {machine.cpu}, {machine.cores} cores{governor}, {memory}; {machine.system},"
    yield f"{machine.kernel}; {machine.filesystem}, {machine.fsyncs:.0f} fsyncs a second; load before:"
    yield f"{machine.load:.2f}. {versions}."
    yield ""
    yield "Medians, and the least and the most of all runs in brackets. Ratios are medians of pairs that ran one after"
    yield "the other: above 1 is slower than pushd. Wall and CPU are those of one job. CPU is the client's: for pushd,"
    yield "the daemon and who submitted. A dash: not there, or not counted."
    yield ""
    yield from (f"- {name}: {text}" for name, text in CONDITIONS.items())


def _cases(readings: Readings) -> Iterator[str]:
    for case in CASES:
        for place in case.places:
            if not any((it.case, it.place) == (case.letter, place) for it in readings):
                continue  # it was not asked for
            yield ""
            yield f"## ({case.letter}) {case.title}: {place}"
            yield ""
            yield _conditions(readings, case, place)
            yield ""
            yield from rows(COLUMNS, [_row(readings, case, place, way.name) for way in case.ways])


def _conditions(readings: Readings, case: Case, place: Kind) -> str:
    found = [it for it in readings if (it.case, it.place, it.timed) == (case.letter, place, True)]
    pinned = all(it.pinned for it in found)
    told = f"{case.detail} " if case.detail else ""
    told += "Client and registry have a core each." if pinned else "Client and registry share the cores."
    together = {it.tool: it.together for it in found if it.tool != "pushd"}
    if together and (case.registries > 1 or any(it.jobs > 1 for it in found)):
        told += f" Processes at a time: {', '.join(f'{tool} {number}' for tool, number in together.items())}."
    return told


def _row(readings: Readings, case: Case, place: Kind, way: str) -> list[str]:
    it = readings.summary(case.letter, place, way)
    if it is None:
        return [way, *[_NONE] * (len(COLUMNS) - 1)]
    wall = readings.wall_ratio(case.letter, place, way, "pushd")
    cpu = readings.cpu_ratio(case.letter, place, way, "pushd")
    return [
        way,
        _spread(it.wall),
        _spread(wall) if way != "pushd" else "1",
        _spread(it.cpu),
        _spread(cpu) if way != "pushd" else "1",
        f"{it.memory / _MIB:.0f}",
        _NONE if it.requests is None else f"{it.requests:.4g}",
        _NONE if it.body is None else f"{it.body / 1e6:.4g}",
        f"{it.rate:.3g}" if it.jobs > 1 else _NONE,
        f"{it.runs}",
    ]


def _spread(it: Spread | None) -> str:
    return _NONE if it is None else f"{it.median:.3g} ({it.least:.3g} to {it.most:.3g})"


def _beside(results: Results) -> Iterator[str]:
    yield ""
    yield "## The floor, many uploads, nothing to do"
    yield ""
    yield from rows(("what", "figure"), list(_facts(results)))


def _facts(results: Results) -> Iterator[list[str]]:
    for name, text in (("sha256", "sha256"), ("send", "send to a socket"), ("read", "read from the page cache")):
        figures = [getattr(floor, name) for floor in results.floors]
        yield [f"{text}, CPU-s/GiB", _spread(_of(figures))]
    yield ["their sum, CPU-s/GiB", _spread(_of([floor.sum for floor in results.floors]))]
    yield ["(a) to the sink, CPU to that sum, pair by pair", _spread(results.floor_ratio(lambda it: it.sum))]
    together = [floor.together for floor in results.floors]
    yield ["the image of (a) read, hashed and sent in one bare loop, CPU-s/GiB", _spread(_of(together))]
    yield ["(a) to the sink, CPU to that, pair by pair", _spread(results.floor_ratio(lambda it: it.together))]
    flight, idle = results.flight, results.idle
    yield [
        "uploads in flight at once",
        _NONE if flight is None else f"{flight.uploads} of {flight.layer / _MIB:.0f} MiB",
    ]
    yield ["resident meanwhile at the most, MiB", _NONE if flight is None else f"{flight.memory / _MIB:.0f}"]
    yield [
        "CPU of an idle daemon, ms a minute",
        _NONE if idle is None else f"{idle.cpu * 1000:.1f} over {idle.seconds:g} s",
    ]
    yield ["resident of an idle daemon, MiB", _NONE if idle is None else f"{idle.memory / _MIB:.0f}"]


def _of(figures: Sequence[float]) -> Spread | None:
    return Spread.of(figures) if figures else None


def _targets(results: Results) -> Iterator[str]:
    yield ""
    yield "## Targets"
    yield ""
    judged = [[it.case, it.target, it.shown, it.verdict] for it in judge(results)]
    yield from rows(("case", "target", "measured", ""), judged)


def rows(head: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    """Give a table's lines."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for line in lines:
        yield f"| {' | '.join(line)} |"
