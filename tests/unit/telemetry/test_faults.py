"""What goes wrong in the daemon itself is told with what was being done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, StoreError
from pushd.telemetry.events import STORE_FAILED, STORE_SLOW
from pushd.telemetry.faults import store_failed, tell_if_slow

if TYPE_CHECKING:
    from pushd.telemetry.events import Event


def test_a_failing_store_is_told_with_its_code_and_what_is_tried_again() -> None:
    error = StoreError(Code.STORE_FULL, "", "no space is left")
    told = store_failed(error, where="claiming the next delivery")
    assert told.kind is STORE_FAILED
    assert told.fields == {"where": "claiming the next delivery", "code": "store.full", "error": str(error)}
    assert "no space is left" in str(error)


def test_a_commit_that_takes_more_than_a_second_is_told() -> None:
    told: list[Event] = []
    tell_if_slow(told.append, 0.9)
    tell_if_slow(told.append, 1.23456)
    (event,) = told
    assert (event.kind, event.fields) == (STORE_SLOW, {"seconds": 1.235})
