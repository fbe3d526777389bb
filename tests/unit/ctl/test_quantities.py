from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pushd.ctl.quantities import parse_duration, show_age, show_bytes, show_clock, show_duration, show_time


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86400), ("1.5h", 5400)]
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "0", "0s", "-5", "5 s", "5w", "1h30m", "nan", "inf", "1e3", "\u0665m", "9" * 400]
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="write 90s, 15m, 2h, 1d, or seconds"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.01, "0.1s"),
        (0.44, "0.4s"),
        (0.97, "1s"),
        (12.4, "12s"),
        (59.7, "1m00s"),
        (200, "3m20s"),
        (7500, "2h05m"),
        (273600, "3d4h"),
        (-5, "0s"),
    ],
)
def test_a_duration_is_shown_in_two_units_at_most(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(-3, "0s"), (59.9, "59s"), (61, "1m"), (7300, "2h"), (90000, "1d")])
def test_an_age_is_shown_in_one_unit(seconds: float, text: str) -> None:
    assert show_age(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_990, "1.0 MB"),
        (29_800_000, "29.8 MB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_bytes_are_shown_in_decimal_units(count: int, text: str) -> None:
    assert show_bytes(count) == text


def test_times_are_shown_where_the_reader_is_with_the_offset() -> None:
    moment = datetime(2026, 11, 22, 21, 0, 5, 999, tzinfo=UTC)
    assert datetime.fromisoformat(show_time(moment)) == moment.replace(microsecond=0)
    assert show_clock(moment) == moment.astimezone().strftime("%H:%M:%S")
