from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pushd.spool.record import Record
from tests.unit.spool.conftest import ALICE, NOON

FRESH = Record.fresh(uid=ALICE, size=7, ttl=100, now=NOON)


def test_a_record_is_read_as_it_was_written() -> None:
    assert Record.parse(FRESH.encode()) == FRESH


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"{}",
        FRESH.encode()[:-1],
        FRESH.encode().replace(b'"uid":1001', b'"uid":"1001"'),
        replace(FRESH, size=-1).encode(),
        replace(FRESH, ttl=-1).encode(),
        replace(FRESH, expires_at=NOON.replace(tzinfo=None)).encode(),
        b"[" * 100_000,
    ],
)
def test_a_damaged_record_is_none(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Record.parse(content)


def test_a_time_to_live_begins_anew_and_never_ends_earlier() -> None:
    later = FRESH.touched(NOON + timedelta(seconds=10))

    assert later.expires_at == NOON + timedelta(seconds=110)
    assert later.touched(NOON) == later


def test_what_is_written_down_is_at_most_a_quarter_of_the_life_behind() -> None:
    assert not FRESH.touched(NOON + timedelta(seconds=25)).outdated(FRESH)
    assert FRESH.touched(NOON + timedelta(seconds=26)).outdated(FRESH)
