from __future__ import annotations

import pytest

from pushd.api.accept import preferred

LINES, EVENTS = "application/x-ndjson", "text/event-stream"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], LINES),
        ([""], LINES),
        (["*/*"], LINES),
        ([EVENTS], EVENTS),
        ([" Text/Event-Stream ; charset=utf-8"], EVENTS),
        (["text/*"], EVENTS),
        ([f"{EVENTS}, */*"], EVENTS),
        (["*/*", EVENTS], EVENTS),
        ([f"{EVENTS}, {LINES}"], LINES),
        ([f"{EVENTS};q=0.5, {LINES};q=0.4"], EVENTS),
        ([f"{EVENTS};q=0.4, {LINES};q=0.5"], LINES),
        ([f"{EVENTS};level=1;q=0.4, */*;q=0.5"], LINES),
        ([f"{EVENTS};q=0, */*;q=0.1"], LINES),
        ([f"{LINES};q=0, */*;q=0.1"], EVENTS),
        ([f"{EVENTS};q=strange"], EVENTS),
        (["text/html"], LINES),
        (["application/json"], LINES),
        (["nonsense,;,/,text/", "*/*;q=0"], LINES),
    ],
)
def test_the_type_with_the_most_weight_wins_then_the_one_that_is_named_then_the_usual_one(
    headers: list[str], expected: str
) -> None:
    assert preferred(headers, (LINES, EVENTS)) == expected
