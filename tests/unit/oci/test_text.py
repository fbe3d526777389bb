"""Text from outside never commands a terminal, and never fills it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.oci.text import printable, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("denied: quota exceeded", "denied: quota exceeded"),
        ("  two\r\n\tlines  ", "two lines"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("a\x00b\x7fc\x9bd", "abcd"),
        ("bidi\u202eoverride", "bidioverride"),
        ("lone\ud800surrogate", "lonesurrogate"),
        ("para\u2029graph", "para graph"),
        ("Zugriff verweigert: Ünlü 名前", "Zugriff verweigert: Ünlü 名前"),
        ("", ""),
    ],
)
def test_what_could_command_a_terminal_is_taken_out(text: str, shown: str) -> None:
    assert printable(text, 100) == shown


def test_text_at_the_limit_is_left_whole() -> None:
    assert printable("x" * 10, 10) == "x" * 10


def test_text_over_the_limit_is_cut_and_says_so() -> None:
    assert printable("x" * 11, 10) == "xxxxxxx..."


@given(st.text(), st.integers(min_value=4, max_value=50))
def test_any_text_becomes_one_printable_line_within_the_limit(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit


def test_a_quoted_text_shows_what_cannot_be_seen() -> None:
    assert quoted("a\x1b[31m b\u202e") == r"'a\x1b[31m b\u202e'"


def test_a_long_quoted_text_is_cut() -> None:
    assert quoted("x" * 81) == repr("x" * 77 + "...")
    assert quoted("x" * 80) == repr("x" * 80)


@given(st.text())
def test_any_quoted_text_is_printable(text: str) -> None:
    assert quoted(text).isprintable()
