"""What the results are held against: a function of numbers, so made-up ones do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.flight import Flight
from tests.benchmarks.floor import Floor
from tests.benchmarks.idle import Idle
from tests.benchmarks.machine import Machine
from tests.benchmarks.places import Kind
from tests.benchmarks.readings import Reading, Readings, Spread
from tests.benchmarks.results import Results
from tests.benchmarks.targets import judge

if TYPE_CHECKING:
    from tests.benchmarks.targets import Judged

MIB = 1 << 20
MACHINE = Machine(
    date="2026-01-01T00:00:00+00:00",
    cpu="a CPU",
    cores=2,
    memory=8 << 30,
    governor=None,
    system="a system",
    kernel="6",
    filesystem="ext2/ext3",
    fsyncs=1000,
    load=0,
    versions={},
)


def read(
    case: str,
    place: Kind,
    way: str,
    *,
    wall: float = 1.0,
    cpu: float = 1.0,
    memory: int = 80 * MIB,
    jobs: int = 1,
    timed: bool = True,
) -> Reading:
    tool = way.partition(",")[0]
    return Reading(
        case=case,
        place=place,
        way=way,
        tool=tool,
        timed=timed,
        pinned=False,
        together=1,
        wall=wall,
        cpu=cpu,
        memory=memory,
        jobs=jobs,
    )


def judged(
    *readings: Reading, floors: tuple[Floor, ...] = (), flight: Flight | None = None, idle: Idle | None = None
) -> dict[tuple[str, str], Judged]:
    results = Results(machine=MACHINE, readings=Readings(readings), floors=list(floors), flight=flight, idle=idle)
    return {(it.case, it.target): it for it in judge(results)}


def test_nothing_measured_is_nothing_met_and_nothing_missed() -> None:
    found = judged()

    assert len(found) == 18
    assert {(it.met, it.shown, it.verdict) for it in found.values()} == {(None, "—", "—")}


@pytest.mark.parametrize(
    ("name", "case", "way", "peer", "limit"),
    [
        ("(a) to distribution 3, a core each", "a", "pushd", "crane", 1.05),
        ("(a) to distribution 3, a core each", "a", "pushd", "skopeo", 0.75),
        ("(b)", "b", "pushd", "crane", 0.7),
        ("(c) from curl", "c", "pushd", "crane", 0.7),
        ("(c) from pushctl push --wait", "c", "pushd, by pushctl", "crane", 3),
        ("(d) from curl", "d", "pushd", "crane", 0.5),
        ("(h)", "h", "pushd", "crane", 0.25),
    ],
)
def test_walls_are_held_against_those_of_a_peer(name: str, case: str, way: str, peer: str, limit: float) -> None:
    place = Kind.LINK if case == "h" else Kind.REGISTRY
    theirs = read(case, place, peer, wall=10)
    target = f"wall at most {limit:g} x {peer}"

    met = judged(read(case, place, way, wall=9.9 * limit), theirs)[name, target]
    missed = judged(read(case, place, way, wall=10.1 * limit), theirs)[name, target]

    assert (met.verdict, missed.verdict) == ("met", "missed")
    assert met.figure == pytest.approx(0.99 * limit)


@pytest.mark.parametrize("place", [Kind.REGISTRY, Kind.SINK])
@pytest.mark.parametrize(("peer", "times"), [("crane", 1.5), ("skopeo", 5)])
def test_jobs_a_second_are_compared_whatever_number_each_has_done(place: Kind, peer: str, times: float) -> None:
    ours = read("e", place, "pushd", wall=10, jobs=1000)
    name, target = f"(e) to {place}", f"at least {times:g} x the jobs a second of {peer}"

    met = judged(ours, read("e", place, peer, wall=1.01 * times, jobs=100))[name, target]
    missed = judged(ours, read("e", place, peer, wall=0.99 * times, jobs=100))[name, target]

    assert (met.verdict, missed.verdict) == ("met", "missed")
    assert met.figure == pytest.approx(1.01 * times)


@pytest.mark.parametrize("place", [Kind.REGISTRY, Kind.SINK])
def test_several_registries_are_compared_with_one(place: Kind) -> None:
    ours = read("f", place, "pushd", cpu=2.3)

    assert judged(ours, read("f", place, "pushd, to one"))[f"(f) to {place}", "CPU at most 2.4 x the push to one"].met
    dear = read("f", place, "pushd, to one", cpu=0.9)
    assert not judged(ours, dear)[f"(f) to {place}", "CPU at most 2.4 x the push to one"].met


def test_cpu_is_held_against_the_floor_that_was_measured_beside_it() -> None:
    floors = (Floor(sha256=0.6, send=0.3, read=0.1, together=2), Floor(sha256=1.2, send=0.6, read=0.2, together=2))
    target = "(a) to the sink", "CPU at most 1.25 x the sum of sha256, send and read"

    met = judged(read("a", Kind.SINK, "pushd", cpu=1.2), read("a", Kind.SINK, "pushd", cpu=2.4), floors=floors)[target]
    missed = judged(read("a", Kind.SINK, "pushd", cpu=1.3), read("a", Kind.SINK, "pushd", cpu=2.6), floors=floors)[
        target
    ]

    assert met.figure == pytest.approx(1.2)
    assert (met.verdict, missed.verdict) == ("met", "missed")


def test_cpu_is_held_against_that_of_the_peer_that_validates_too() -> None:
    target = "(a) to the sink", "CPU at most 0.75 x skopeo"
    peer = read("a", Kind.SINK, "skopeo", cpu=2)

    assert judged(read("a", Kind.SINK, "pushd", cpu=1.49), peer)[target].met
    assert not judged(read("a", Kind.SINK, "pushd", cpu=1.51), peer)[target].met


def test_memory_is_the_most_of_all_ours_and_of_nobody_elses() -> None:
    target = "memory, every case", "resident under 120 MiB"
    peer = read("a", Kind.SINK, "skopeo", memory=500 * MIB)

    assert judged(read("a", Kind.SINK, "pushd"), peer)[target].shown == "80 MiB"
    spooled = read("a", Kind.SINK, "pushd, spooled", memory=121 * MIB)
    assert judged(read("a", Kind.SINK, "pushd"), spooled, peer)[target].verdict == "missed"


def test_many_uploads_and_no_work_have_bounds_of_their_own() -> None:
    flight = Flight(uploads=200, layer=1 << 30, memory=299 * MIB, body=1, seconds=15)
    idle = Idle(cpu=0.021, memory=50 * MIB, seconds=60)

    found = judged(flight=flight, idle=idle)

    assert found["memory, 200 uploads of 1 GiB in flight", "resident under 300 MiB"].shown == "299 MiB"
    assert found["memory, 200 uploads of 1 GiB in flight", "resident under 300 MiB"].verdict == "met"
    assert found["idle", "at most 20 ms of CPU a minute"].shown == "21 ms"
    assert found["idle", "at most 20 ms of CPU a minute"].verdict == "missed"


def test_runs_are_compared_pair_by_pair_and_those_that_do_not_count_do_not() -> None:
    place = Kind.REGISTRY
    readings = Readings(
        [
            read("b", place, "pushd", wall=50, timed=False),
            read("b", place, "crane", wall=1, timed=False),
            read("b", place, "pushd", wall=1),
            read("b", place, "crane", wall=2),
            read("b", place, "pushd", wall=4),
            read("b", place, "crane", wall=12),
            read("b", place, "pushd", wall=3),
            read("b", place, "crane", wall=12),
        ]
    )

    assert readings.wall_ratio("b", place, "crane", "pushd") == Spread(median=3, least=2, most=4)
    summary = readings.summary("b", place, "pushd")
    assert summary is not None
    assert (summary.runs, summary.wall) == (3, Spread(median=3, least=1, most=4))
