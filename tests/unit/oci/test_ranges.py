"""Byte ranges of upload sessions: stop is exclusive in code, inclusive on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.oci.ranges import content_begins, content_range, received


def test_a_chunk_names_its_first_and_last_byte_without_a_unit() -> None:
    assert content_range(0, 1) == "0-0"
    assert content_range(1024, 2048) == "1024-2047"


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (5, 5), (5, 4), (-1, 3)])
def test_a_chunk_without_bytes_has_no_content_range(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="no bytes"):
        content_range(start, stop)


@pytest.mark.parametrize(
    ("header", "count"),
    [
        ("0-9", 10),
        ("0-1048575", 1048576),
        ("bytes=0-9", 10),
        ("bytes 0-9", 10),
        ("Bytes=0-9", 10),
        ("  0-9  ", 10),
    ],
)
def test_the_registry_holds_the_bytes_its_range_ends_with(header: str, count: int) -> None:
    assert received(header) == count


@pytest.mark.parametrize("header", ["0-0", "bytes=0-0", "0--1"])
def test_an_empty_session_is_never_counted_as_a_byte(header: str) -> None:
    assert received(header) == 0


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "-",
        "0-",
        "-9",
        "9",
        "0-9/10",
        "0--2",
        "+0-9",
        "0-9, 20-29",
        "0x0-0x9",
        "0-1.5",
        "\u0660-\u0669",
        "items=0-9",
        "0-9\n",
        "0-" + "9" * 5000,
    ],
)
def test_a_missing_or_senseless_range_says_nothing(header: str | None) -> None:
    assert received(header) is None


@pytest.mark.parametrize("header", ["1-9", "10-19", "bytes=5-9"])
def test_a_range_that_does_not_start_at_zero_says_nothing(header: str) -> None:
    assert received(header) is None


@given(st.integers(min_value=2, max_value=1 << 62))
def test_a_whole_prefix_reads_back_as_its_length(length: int) -> None:
    assert received(content_range(0, length)) == length


@given(st.text())
def test_no_header_is_an_error(header: str) -> None:
    count = received(header)
    assert count is None or count >= 0


@pytest.mark.parametrize(
    ("header", "begins"),
    [
        ("bytes 100-199/200", (100, 200)),
        ("Bytes 0-0/1", (0, 1)),
        (" bytes 7-9/* ", (7, None)),
        (None, None),
        ("", None),
        ("100-199", None),
        ("bytes */200", None),
        ("bytes 100-199", None),
        ("bytes x-199/200", None),
    ],
)
def test_a_part_says_where_it_begins_and_of_how_much(header: str | None, begins: tuple[int, int | None] | None) -> None:
    assert content_begins(header) == begins
