"""The document of the catalogue says what the catalogue says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pushd.telemetry.events import CATALOGUE
from pushd.telemetry.journald import message_id
from pushd.telemetry.table import FIELDS, table

if TYPE_CHECKING:
    from pushd.telemetry.events import Kind

OF_DELIVERIES = [
    kind for name, kind in CATALOGUE.items() if name.startswith(("delivery.", "transfer.", "blob.", "manifest."))
]
DOCUMENT = Path(__file__).parents[3] / "deploy" / "events.md"


def test_the_document_in_the_tree_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == table(), f"python -m pushd.telemetry > {DOCUMENT}"


def test_it_is_printed_by_the_room_itself() -> None:
    printed = subprocess.run([sys.executable, "-m", "pushd.telemetry"], capture_output=True, text=True, check=True)
    assert printed.stdout == table()


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE)
def test_every_event_is_there_with_its_message_id(kind: Kind) -> None:
    (line,) = [line for line in table().splitlines() if line.startswith(f"| `{kind.name}`")]
    assert message_id(kind.name) in line
    assert line.count("|") == 7, "six columns"


def test_every_field_is_explained_and_nothing_else() -> None:
    assert FIELDS.keys() == {field for kind in CATALOGUE.values() for field in kind.fields}


@pytest.mark.parametrize("kind", OF_DELIVERIES)
def test_every_event_about_a_delivery_has_its_registry(kind: Kind) -> None:
    assert {"destination", "registry"} <= kind.fields


@pytest.mark.parametrize("kind", [kind for kind in CATALOGUE.values() if kind.canonical])
def test_a_canonical_line_says_what_it_took_and_whose_it_is(kind: Kind) -> None:
    assert kind.durable
    assert {"seconds", "sent", "size", "resumed", "interruptions", "uid"} <= kind.fields
