"""What collects and shows the log asks for fields that events have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pushd.telemetry.events import CATALOGUE, Level

LOGS = Path(__file__).parents[3] / "deploy" / "logs"
FIELDS = {field for kind in CATALOGUE.values() for field in kind.fields}
OF_EVERY_LINE = {"ts", "level", "event", "message", "job", "delivery"}
"""What a line of JSON has whatever it tells, or may have."""
LNAV: dict[str, Any] = json.loads((LOGS / "lnav/pushd.json").read_text())["pushd_log"]
ALLOY = re.sub(r"//.*", "", re.sub(r'"https?:[^"]*"', '""', (LOGS / "config.alloy").read_text()))
VECTOR: dict[str, Any] = yaml.safe_load((LOGS / "vector.yaml").read_text())


@pytest.mark.parametrize("name", ["config.alloy", "vector.yaml"])
def test_what_is_taken_from_the_journal_is_what_events_put_there(name: str) -> None:
    named = set(re.findall(r"PUSHD_([A-Z_]*[A-Z])\b", (LOGS / name).read_text())) | {
        field.upper() for field in re.findall(r"__journal_pushd_(\w+)", (LOGS / name).read_text())
    }
    assert {field.lower() for field in named} <= FIELDS | OF_EVERY_LINE


@pytest.mark.parametrize("name", ["config.alloy", "vector.yaml"])
def test_every_file_says_what_of_it_was_not_tried(name: str) -> None:
    assert re.search(r"(?i)not tried", (LOGS / name).read_text())


def test_the_columns_of_lnav_are_fields_of_events() -> None:
    assert set(LNAV["value"]) <= FIELDS | OF_EVERY_LINE
    assert set(LNAV["level"]) == set(Level)


def test_alloy_is_given_whole_blocks_whose_references_lead_somewhere() -> None:
    bare = re.sub(r'"[^"\n]*"', '""', ALLOY)
    assert [bare.count(bracket) for bracket in "{[("] == [bare.count(bracket) for bracket in "}])"]
    defined = set(re.findall(r'^(\w+(?:\.\w+)+) "(\w+)" \{', ALLOY, re.MULTILINE))
    used = set(re.findall(r"(\w+(?:\.\w+)+)\.(\w+)\.(?:rules|receiver)", ALLOY))
    assert used <= defined
    assert len(defined) == 4


def test_what_alloy_keeps_of_an_event_it_has_taken_from_it_before() -> None:
    taken = re.search(r"expressions = \{(.*?)\}", ALLOY, re.DOTALL)
    kept = re.search(r"stage.structured_metadata \{\s*values = \{(.*?)\}", ALLOY, re.DOTALL)
    assert taken is not None
    assert kept is not None
    assert {*re.findall(r"(\w+)\s+=", taken[1])} == {*re.findall(r"(\w+)\s+=", kept[1]), "message"}


def test_vectors_parts_are_connected_from_the_journal_to_the_end() -> None:
    parts = {**VECTOR["sources"], **VECTOR["transforms"], **VECTOR["sinks"]}
    for part in parts.values():
        assert set(part.get("inputs", ())) <= parts.keys()
    assert VECTOR["sources"]["journal"]["type"] == "journald"
    assert VECTOR["sources"]["journal"]["include_matches"] == {"SYSLOG_IDENTIFIER": ["pushd"]}
