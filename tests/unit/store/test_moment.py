from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from pushd.store.moment import moment, moment_or_none, rfc3339, seconds, utc_now


@given(st.datetimes(datetime(1990, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 (bounds are naive by contract)
def test_a_time_comes_back_to_the_microsecond(at: datetime) -> None:
    assert moment(seconds(at)) == at


def test_a_time_of_another_zone_comes_back_in_utc() -> None:
    at = datetime(2026, 7, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    assert moment(seconds(at)).utcoffset() == timedelta(0)
    assert moment(seconds(at)) == at


def test_a_time_that_was_never_set_stays_absent() -> None:
    assert moment_or_none(None) is None
    assert moment_or_none(0.0) == datetime(1970, 1, 1, tzinfo=UTC)


def test_events_tell_times_as_rfc_3339_in_utc() -> None:
    at = datetime(2026, 7, 1, 14, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(at) == "2026-07-01T12:00:00.123Z"


def test_the_clock_tells_utc() -> None:
    assert utc_now().tzinfo is UTC
