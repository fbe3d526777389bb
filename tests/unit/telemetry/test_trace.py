"""Traces and request ids of callers: taken as the specification says, and passed on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.telemetry.trace import TRACEPARENT, passed_on, read_request_id, read_traceparent, trace_id

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def test_a_traceparent_is_read_and_its_trace_known() -> None:
    assert read_traceparent([GOOD]) == GOOD
    assert trace_id(GOOD) == TRACE
    assert trace_id(None) is None


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"  {GOOD} ", GOOD),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-ff", GOOD),
        (f"cc-{TRACE}-{SPAN}-01", GOOD),
        (f"cc-{TRACE}-{SPAN}-01-what-will-be", GOOD),
    ],
)
def test_flags_and_versions_we_do_not_know_are_left_out(text: str, read: str) -> None:
    assert read_traceparent([text]) == read


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        [GOOD, GOOD],
        [GOOD.upper()],
        [f"ff-{TRACE}-{SPAN}-01"],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"00-{TRACE}-{SPAN}-01-more"],
        [f"cc-{TRACE}-{SPAN}-01.more"],
        [f"00-{TRACE}-{SPAN}"],
        [f"00-{TRACE}-{SPAN}-1"],
        [f"00-{TRACE[:-1]}g-{SPAN}-01"],
        [f"cc-{TRACE}-{SPAN}-01-{'x' * 1000}"],
    ],
)
def test_what_cannot_be_understood_is_as_good_as_none(headers: list[str]) -> None:
    assert read_traceparent(headers) is None


@given(st.text())
def test_whatever_comes_nothing_but_a_traceparent_is_read(text: str) -> None:
    read = read_traceparent([text])
    assert read is None or (len(read) == 55 and read_traceparent([read]) == read)


def test_each_request_is_passed_on_as_a_span_of_its_own_in_the_same_trace() -> None:
    assert passed_on() == {}
    token = TRACEPARENT.set(GOOD)
    try:
        first, second = passed_on()["traceparent"], passed_on()["traceparent"]
    finally:
        TRACEPARENT.reset(token)
    assert read_traceparent([first]) == first
    assert (trace_id(first), first[-3:]) == (TRACE, "-01")
    assert len({first, second, GOOD}) == 3


def test_a_request_id_is_the_callers_or_one_of_our_own() -> None:
    assert read_request_id(["build-4711/3"]) == "build-4711/3"
    made_up = {
        read_request_id(headers) for headers in ([], [""], ["a", "b"], ["a b"], ["\u00e9"], ["x" * 129], ["a\x1b"])
    }
    assert len(made_up) == 7
    assert all(len(one) == 32 for one in made_up)
