from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pushd.ctl.screen import lost, screen
from tests.unit.ctl.documents import ADMINISTRATOR, STATUS, registry, transfer

MANY = {
    **STATUS,
    "registries": {f"r{number:02}.example.com": registry(queued=40 - number) for number in range(30)},
    "transfers": [transfer(number) for number in range(50)],
}


def _text(status: dict[str, Any], *, first: dict[str, Any] | None = None, height: int | None = 24) -> list[str]:
    return [row.text for row in screen(status, first, width=80, height=height)]


def test_the_screen_tells_of_the_daemon_its_registries_and_its_slowest_transfers() -> None:
    text = _text(STATUS)
    assert text[0].startswith("pushd 0.1.0  ")
    assert text[0].endswith("  up 1h01m")
    assert text[1] == "deliveries  4 queued, 2 running, 1 held, 0 paused, oldest job 12m"
    assert text[2] == "uploads     8 running, 20 waiting, 12.3 MB/s"
    assert text[4].split() == ["REGISTRY", "QUEUED", "RUNNING", "HELD", "PAUSED", "RATE", "SENT"]
    assert text[5].split()[0] == "registry.example.com"
    assert text[7] == "  throttled for 12s"
    assert text[9].split() == ["SLOWEST", "TRANSFERS", "DONE", "OF", "RATE", "FOR"]
    assert text[10].split() == [
        "00000001", "registry.example.com/team/app:1.4", "61%", "29.8", "MB", "0", "B/s", "3m20s",
    ]  # fmt: skip
    assert text[11].split()[-4:] == ["MB", "1.2", "MB/s", "15s"]
    assert len(text) == 12


def test_columns_of_transfers_stand_under_their_headings() -> None:
    text = _text(STATUS)
    assert len(text[9]) == len(text[10]) == len(text[11]) == 80


@pytest.mark.parametrize("height", [3, 5, 8, 10, 16, 24, 60, 200])
@pytest.mark.parametrize("width", [40, 80, 132])
def test_it_fits_and_says_how_much_has_no_room(width: int, height: int) -> None:
    text = [row.text for row in screen(MANY, None, width=width, height=height)]
    assert len(text) <= height
    assert max(map(len, text)) <= width
    shown = sum(line.startswith(("r0", "r1", "r2", "\N{HORIZONTAL ELLIPSIS}")) for line in text)
    if shown:
        more = [int(line.split()[1]) for line in text if "more regist" in line]
        assert shown + sum(more) == 30
    moving = sum(line.startswith("000000") for line in text)
    if moving:
        more = [int(line.split()[1]) for line in text if "more transfer" in line]
        assert moving + sum(more) == 50


def test_registries_and_transfers_share_a_small_screen() -> None:
    text = _text(MANY)
    assert len(text) == 24
    assert sum(line.startswith("r") for line in text) == 8
    assert sum(line.startswith("000000") for line in text) == 7


def test_transfers_that_have_no_room_leave_it_to_the_registries() -> None:
    text = _text({**MANY, "registries": STATUS["registries"]}, height=9)
    assert len(text) == 8
    assert text[-1] == "  throttled for 12s"


def test_few_registries_leave_their_room_to_the_transfers() -> None:
    text = _text({**MANY, "registries": {"r00.example.com": registry(queued=1)}})
    assert sum(line.startswith("000000") for line in text) == 15


def test_without_a_height_nothing_is_left_out() -> None:
    assert len(_text(MANY, height=None)) == 3 + 32 + 52


def test_an_idle_daemon_has_a_short_screen() -> None:
    assert len(_text({**STATUS, "registries": {}, "transfers": [], "oldest": None})) == 3


def test_a_daemon_that_restarted_meanwhile_is_told() -> None:
    assert "the daemon has restarted meanwhile, 2 times" in _text({**STATUS, "epoch": 5}, first=STATUS)
    assert not any("restarted" in line for line in _text(STATUS, first=STATUS))


def test_a_short_disk_is_told_at_the_top() -> None:
    short = {**ADMINISTRATOR, "disk": {**ADMINISTRATOR["disk"], "refusing": ["spool"]}}
    assert _text(short)[3].startswith("short of disk: bytes that would have to be brought")


def test_a_daemon_that_does_not_answer_is_told_since_when() -> None:
    since = datetime(2026, 11, 22, 21, tzinfo=UTC)
    row = lost(since, width=60)
    assert row.text.startswith(f"no answer since {since.astimezone():%H:%M:%S}")
    assert len(row.text) == 60


def test_hostile_text_cannot_steer_the_screen() -> None:
    hostile = "\x1b[2J\n\u202e"
    status = {
        **STATUS, "version": hostile, "registries": {hostile: registry(queued=1)},
        "transfers": [transfer(1, destination=hostile, digest=hostile)],
    }  # fmt: skip
    assert all(line.isprintable() for line in _text(status))
