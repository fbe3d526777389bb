from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from pushd.ctl.printing import columns, page_width, print_lines

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(("named", "width"), [("132", 132), ("0", 80), ("wide", 80), ("", 80), ("-5", 80)])
def test_the_columns_are_those_that_were_named_or_80(monkeypatch: pytest.MonkeyPatch, named: str, width: int) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert columns({"COLUMNS": named}) == width


def test_nothing_is_cut_for_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setenv("COLUMNS", "40")
    assert page_width() is None


def test_lines_are_printed_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    def lines() -> Iterator[str]:
        yield "one"
        assert capsys.readouterr().out == "one\n"
        yield "two"

    print_lines(lines())
    assert capsys.readouterr().out == "two\n"
