"""The picture: one bar for each peer and case, from 1 to what it took."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.benchmarks.places import Kind
from tests.benchmarks.plot import draw
from tests.benchmarks.readings import Reading, Readings

SVG = "{http://www.w3.org/2000/svg}"


def read(case: str, way: str, wall: float) -> Reading:
    return Reading(
        case=case,
        place=Kind.REGISTRY,
        way=way,
        tool=way,
        timed=True,
        pinned=False,
        together=1,
        wall=wall,
        cpu=1,
        memory=1,
        jobs=1,
    )


def bars(picture: str) -> dict[str, list[tuple[float, float]]]:
    """Give the left edge and the width of each bar, by peer; those of the legend come first and are left out."""
    root = ET.fromstring(picture)
    found: dict[str, list[tuple[float, float]]] = {"crane": [], "skopeo": []}
    for bar in root.iter(f"{SVG}rect"):
        found[bar.attrib["class"]].append((float(bar.attrib["x"]), float(bar.attrib["width"])))
    return {peer: edges[1:] for peer, edges in found.items()}


def test_a_slower_peer_reaches_to_the_right_of_one_and_a_faster_one_to_the_left() -> None:
    readings = Readings([read("b", "pushd", 1), read("b", "crane", 2), read("b", "skopeo", 0.5)])

    found = bars(draw(readings))

    ((crane_left, crane_width),) = found["crane"]
    ((skopeo_left, skopeo_width),) = found["skopeo"]
    assert crane_width == pytest.approx(skopeo_width, abs=0.2), "twice as slow is as long as twice as fast"
    assert skopeo_left + skopeo_width == pytest.approx(crane_left, abs=0.2), "both end at 1"


def test_what_was_not_measured_has_no_bar() -> None:
    readings = Readings([read("b", "pushd", 1), read("b", "crane", 2), read("c", "skopeo", 3)])

    assert {peer: len(edges) for peer, edges in bars(draw(readings)).items()} == {"crane": 1, "skopeo": 0}
    assert bars(draw(Readings())) == {"crane": [], "skopeo": []}


def test_it_is_readable_in_the_dark() -> None:
    assert "prefers-color-scheme: dark" in draw(Readings())


@pytest.mark.parametrize("wall", [0.001, 1000])
def test_however_far_apart_they_are_all_fits_in(wall: float) -> None:
    picture = draw(Readings([read("b", "pushd", 1), read("b", "crane", wall)]))
    ((left, width),) = bars(picture)["crane"]
    total = float(ET.fromstring(picture).attrib["viewBox"].split()[2])

    assert left > 0
    assert left + width < total
