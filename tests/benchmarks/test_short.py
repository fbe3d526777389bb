"""The suite in its short form: everything works and is written down. Nothing is said of speed."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.cases import CASES
from tests.benchmarks.command import main
from tests.benchmarks.peers import Peer
from tests.benchmarks.places import Kind, Place
from tests.benchmarks.table import COLUMNS
from tests.integration.parts import DISTRIBUTION_3

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(300)
def test_the_short_form_pushes_every_case_every_way_and_writes_it_all_down(tmp_path: Path) -> None:
    DISTRIBUTION_3.find()  # or skip
    told: list[str] = []

    assert main(["--short", "--output", str(tmp_path)], told.append) == 0, "\n".join(told)

    found = json.loads((tmp_path / "results.json").read_text())
    there = {
        (case.letter, str(place), way.name)
        for case in CASES
        for place in case.places
        for way in case.ways
        if not isinstance(way, Peer) or way.there()
    }
    assert {(it["case"], it["place"], it["way"]) for it in found["readings"]} == there
    for it in found["readings"]:
        assert min(it["wall"], it["cpu"], it["memory"]) > 0, it
        assert (it["requests"] is None) == (it["place"] == Kind.TLS), it
    assert {"date", "cpu", "cores", "memory", "kernel", "governor", "versions"} <= found["machine"].keys()
    assert found["flight"]["uploads"] == 16
    assert found["idle"]["cpu"] >= 0
    assert min(found["floors"][0].values()) > 0
    assert len(found["targets"]) == 18
    if len(there) == sum(len(case.places) * len(case.ways) for case in CASES):
        assert all(it["met"] is not None for it in found["targets"]), found["targets"]

    table = (tmp_path / "table.md").read_text()
    for case in CASES:
        for place in case.places:
            _, _, behind = table.partition(f"## ({case.letter}) {case.title}: {place}\n")
            section = behind.partition("\n## ")[0].splitlines()
            assert f"| {' | '.join(COLUMNS)} |" in section
            for way in case.ways:
                (row,) = [line for line in section if line.startswith(f"| {way.name} |")]
                assert row.count("|") == len(COLUMNS) + 1
    assert table in told

    svg = ET.fromstring((tmp_path / "plot.svg").read_text())
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"


def test_what_is_missing_of_the_peers_is_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DISTRIBUTION_3.find()  # or skip
    monkeypatch.setattr(Peer, "there", lambda self: False)

    assert main(["--short", "--only", "c", "--output", str(tmp_path)], lambda line: None) == 0

    lines = (tmp_path / "table.md").read_text().splitlines()
    assert f"| crane |{' — |' * (len(COLUMNS) - 1)}" in lines
    assert not any(line.startswith(f"| pushd |{' — |' * (len(COLUMNS) - 1)}") for line in lines)


def test_a_push_that_did_not_arrive_is_no_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DISTRIBUTION_3.find()  # or skip
    monkeypatch.setattr(Place, "digests", lambda self, address, names: [None] * len(names))
    told: list[str] = []

    assert main(["--short", "--only", "c", "--output", str(tmp_path)], told.append) == 1

    assert "bench/image:latest is None, not sha256:" in told[-2]
    assert not any(tmp_path.iterdir())


def test_a_case_that_does_not_exist_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--only", "a,z"])

    assert refused.value.code == 2
    assert "'z' is none of a,b,c,d,e,f,g,h,i,flight,idle" in capsys.readouterr().err
