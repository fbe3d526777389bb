"""What goes wrong in the daemon itself is told with what was being done."""

from __future__ import annotations

from pushd.errors import Code, StoreError
from pushd.telemetry.events import STORE_FAILED
from pushd.telemetry.faults import store_failed


def test_a_failing_store_is_told_with_its_code_and_what_is_tried_again() -> None:
    error = StoreError(Code.STORE_FULL, "", "no space is left")
    told = store_failed(error, where="claiming the next delivery")
    assert told.kind is STORE_FAILED
    assert told.fields == {"where": "claiming the next delivery", "code": "store.full", "error": str(error)}
    assert "no space is left" in str(error)
