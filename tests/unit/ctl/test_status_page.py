from __future__ import annotations

from typing import Any

import pytest

from pushd.ctl.status_page import status_page
from tests.unit.ctl.documents import ADMINISTRATOR, STATUS, registry


def _page(status: dict[str, Any], width: int | None = 80) -> list[str]:
    return list(status_page(status, width=width))


def test_a_submitter_is_told_what_concerns_them() -> None:
    page = _page(STATUS)
    assert page[:3] == [
        "pushd       0.1.0, up 1h01m",
        "you         uid 1000, submitter; your files are read in place",
        "deliveries  4 queued, 2 running, 1 held, 0 paused",
    ]
    assert page[3].startswith("oldest job  ")
    assert page[3].endswith("(12m ago)")
    assert page[4] == "uploads     8 running, 20 waiting"


def test_an_administrator_is_told_of_the_daemons_place_on_the_machine() -> None:
    text = "\n".join(_page(ADMINISTRATOR, None))
    for words in ("process 7", "/run/pushd/pushd.sock", "/var/lib/pushd, life number 3", "deliveries 16"):
        assert words in text
    assert "database 12.0 MB, spool 1.2 GB of 10.0 GB; 5.4 GB free, 1.0 GB of them kept" in text


def test_registries_stand_in_columns_those_with_the_most_to_do_first() -> None:
    page = _page(STATUS)
    heading = next(line for line in page if line.startswith("REGISTRY"))
    assert heading.split() == ["REGISTRY", "QUEUED", "RUNNING", "HELD", "PAUSED", "RATE", "SENT"]
    first, second = page[page.index(heading) + 1], page[page.index(heading) + 2]
    assert first.split() == ["registry.example.com", "4", "2", "0", "0", "12.3", "MB/s", "123.0", "MB"]
    assert second.split() == ["mirror.example.net", "0", "0", "1", "0", "0", "B"]
    assert page[-1] == "  throttled for 12s"


def test_a_paused_registry_says_since_when() -> None:
    page = _page({**STATUS, "registries": {"a.example": registry(paused_since="2026-11-22T20:59:00Z")}})
    assert page[-1].startswith("  paused since ")
    assert page[-1].endswith("(3m)")


@pytest.mark.parametrize(
    ("refused", "words"), [(["spool"], "brought to the spool are refused"), (["spool", "jobs"], "new jobs are refused")]
)
def test_what_is_refused_is_said(refused: list[str], words: str) -> None:
    page = _page({**ADMINISTRATOR, "disk": {**ADMINISTRATOR["disk"], "refusing": refused}}, None)
    assert words in next(line for line in page if line.startswith("refused"))


def test_without_a_budget_none_is_told() -> None:
    page = _page({**ADMINISTRATOR, "disk": {**ADMINISTRATOR["disk"], "budget": None}})
    assert any("spool 1.2 GB; 5.4 GB free" in line for line in page)


def test_without_registries_and_jobs_the_page_is_short() -> None:
    page = _page({**STATUS, "registries": {}, "oldest": None})
    assert "" not in page
    assert not any(line.startswith("oldest") for line in page)


def test_nothing_is_wider_than_the_terminal_or_steers_it() -> None:
    name = "registry.\x1b[2J" + "very-" * 20 + "long.example.com:5000"
    page = _page({**ADMINISTRATOR, "registries": {name: registry(queued=10)}, "version": "1\x1b"})
    assert all(line.isprintable() for line in page)
    assert max(map(len, page)) <= 80
    assert any("long.example.com:5000" in line for line in page)
