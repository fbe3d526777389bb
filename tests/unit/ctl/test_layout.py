from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pushd.ctl.layout import columns, facts, sentence, when

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
LONG = "the registry has asked for patience and is left alone for a while, as it wished"


def test_a_sentence_breaks_between_words_and_hangs_under_its_beginning() -> None:
    lines = list(sentence(LONG, 50, first="  why:  "))
    assert len(lines) == 2
    assert lines[0].startswith("  why:  the registry")
    assert lines[1].startswith("        ")
    assert max(map(len, lines)) <= 50
    assert " ".join(line.removeprefix("  why:  ").strip() for line in lines) == LONG


def test_without_a_width_nothing_breaks() -> None:
    assert list(sentence(LONG, None, first="> ")) == [f"> {LONG}"]


def test_what_has_to_be_copied_stays_whole() -> None:
    digest = "sha256:" + "ab" * 32
    assert digest in list(sentence(f"it is {digest} there", 40))


def test_a_digest_gives_up_of_its_indent_what_it_needs_to_fit() -> None:
    digest = "sha256:" + "ab" * 32
    assert list(facts(("image", "a manifest"), ("", digest), width=80)) == [
        "image       a manifest",
        f"         {digest}",
    ]


@pytest.mark.parametrize("width", [1, 10, 39])
def test_a_terminal_too_narrow_for_sentences_does_not_make_confetti_of_them(width: int) -> None:
    assert len(list(sentence(LONG, width))) == 2


def test_facts_stand_under_one_another_and_those_without_a_value_are_left_out() -> None:
    lines = list(facts(("job", "abc"), ("labels", ""), ("state", "queued"), width=80))
    assert lines == ["job         abc", "state       queued"]


def test_a_long_fact_goes_on_under_its_value() -> None:
    first, second = facts(("limits", LONG), width=60)
    assert first.startswith("limits      the registry")
    assert second.startswith(" " * 12 + second.strip()[0])


def test_columns_are_as_wide_as_their_widest_cell_and_numbers_end_together() -> None:
    assert list(columns([("A", "N", ""), ("name", "10", "x"), ("b", "7", "")], right=(1,))) == [
        "A      N",
        "name  10  x",
        "b      7",
    ]


def test_no_rows_are_no_lines() -> None:
    assert list(columns([])) == []


def test_a_moment_is_told_with_its_distance() -> None:
    assert when(NOON, NOON.replace(hour=14)).endswith("(2h ago)")
    assert when(NOON.replace(minute=30), NOON).endswith("(in 30m)")
