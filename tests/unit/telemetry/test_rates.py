"""What a log lets through when too much is told."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.telemetry.events import (
    CATALOGUE,
    DELIVERY_FAILED,
    DELIVERY_SUCCEEDED,
    JOB_FINISHED,
    MANIFEST_PUT,
    TRANSFER_FINISHED,
    UPLOAD_CHUNK,
    UPLOAD_INTERRUPTED,
)
from pushd.telemetry.rates import JOURNAL, Allowance, Bucket, Pace, Rates, listed, reserved

if TYPE_CHECKING:
    from pushd.telemetry.events import Kind

JOURNALD_BURST, JOURNALD_INTERVAL = 10_000, 30.0
"""journald.conf(5): RateLimitBurst, RateLimitIntervalSec."""


def admitted(rates: Rates, kind: Kind, count: int, now: float = 0.0) -> int:
    return sum(rates.admit(kind, now) for _ in range(count))


def test_a_bucket_holds_its_burst_and_fills_at_its_rate() -> None:
    bucket = Bucket(Pace(burst=3, rate=2), 10.0)
    for _ in range(3):
        assert bucket.holds(10.0) >= 1
        bucket.take()
    assert bucket.holds(10.0) == 0
    assert bucket.holds(10.5) == 1
    assert bucket.holds(100.0) == 3


def test_a_clock_that_stands_still_fills_no_bucket() -> None:
    bucket = Bucket(Pace(burst=1, rate=1), 5.0)
    bucket.take()
    assert bucket.holds(5.0) == 0
    assert bucket.holds(4.0) == 0


def test_one_kind_that_runs_wild_leaves_room_for_the_others() -> None:
    rates = Rates(JOURNAL, 0.0)
    assert admitted(rates, MANIFEST_PUT, 100_000) == JOURNAL.of_a_kind.burst
    assert admitted(rates, UPLOAD_INTERRUPTED, 10) == 10
    assert admitted(rates, JOB_FINISHED, 10) == 10
    assert admitted(rates, DELIVERY_FAILED, 10) == 10


def test_what_tells_most_is_let_through_last() -> None:
    loud = Allowance(in_all=Pace(100, 0), of_a_kind=Pace(1000, 0))
    rates = Rates(loud, 0.0)
    assert admitted(rates, UPLOAD_CHUNK, 1000) == 50
    assert admitted(rates, MANIFEST_PUT, 1000) == 20
    assert admitted(rates, UPLOAD_INTERRUPTED, 1000) == 10
    assert admitted(rates, TRANSFER_FINISHED, 1000) == 10
    assert admitted(rates, DELIVERY_FAILED, 1000) == 10
    assert admitted(rates, DELIVERY_FAILED, 1) == 0


def test_a_failure_is_an_error_before_it_is_a_canonical_line() -> None:
    assert DELIVERY_FAILED.canonical
    assert reserved(DELIVERY_FAILED) == 0 < reserved(DELIVERY_SUCCEEDED) < reserved(UPLOAD_INTERRUPTED)


@given(
    st.lists(st.tuples(st.sampled_from(list(CATALOGUE.values())), st.floats(0, 2), st.integers(1, 4000)), max_size=40)
)
def test_no_half_minute_has_more_than_journald_takes(told: list[tuple[Kind, float, int]]) -> None:
    rates, now = Rates(JOURNAL, 0.0), 0.0
    passed: list[tuple[float, int]] = []
    for kind, pause, count in told:
        now += pause
        passed.append((now, admitted(rates, kind, count, now)))
    for start, _ in passed:
        window = sum(count for at, count in passed if start <= at < start + JOURNALD_INTERVAL)
        assert window <= JOURNALD_BURST * 0.9


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"a.b": 2, "c.d": 30}, "c.d 30, a.b 2"),
        (
            {f"k{number}": 100 - number for number in range(13)},
            ", ".join(f"k{n} {100 - n}" for n in range(12)) + ", others 88",
        ),
    ],
)
def test_counts_are_listed_the_largest_first(counts: dict[str, int], text: str) -> None:
    assert listed(Counter(counts)) == text
