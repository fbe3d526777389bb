"""What the documents configure is good."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from pushd.config import Overrides, load

HOUSE = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("document", "heading", "tables"),
    [
        ("README.md", "## As a service", {"sockets"}),
        (
            "README.md",
            "## Configuration",
            {"credentials", "destinations", "disk", "limits", "metrics", "proxy", "registries"},
        ),
        ("deploy/OPERATIONS.md", "## Configure", {"metrics", "disk", "registries"}),
    ],
)
def test_every_table_that_is_shown_is_taken(document: str, heading: str, tables: set[str]) -> None:
    _, _, section = (HOUSE / document).read_text().partition(f"\n{heading}\n")
    paragraphs = section.partition("\n## ")[0].split("\n\n")
    shown = [textwrap.dedent(it) for it in paragraphs if it.startswith("    [") and "[Service]" not in it]
    shown_as = {Path("/pushd.toml"): "\n".join(shown)}
    config = load(Overrides(config=Path("/pushd.toml")), {}, shown_as.__getitem__, uid=0)
    default = load(Overrides(), {}, _no_file, uid=0)
    assert {name for name in tables if getattr(config, name) == getattr(default, name)} == set()


def _no_file(path: Path) -> str:
    raise FileNotFoundError(path)
