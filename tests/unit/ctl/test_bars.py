from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from pushd.client.documents import job_of
from pushd.ctl.bars import Bars, drawing
from pushd.ctl.board import Blob, Board, Lane
from pushd.job import DeliveryState, TransferState
from tests.fakes.daemon import event, job

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 11, 22, 21, tzinfo=UTC)
RUNNING, LANDED = TransferState.RUNNING, TransferState.UPLOADED


def _blobs(*blobs: tuple[TransferState, int, int]) -> Mapping[str, Blob]:
    digests = [f"sha256:{number:08x}{'f' * 56}" for number in range(len(blobs))]
    return {
        digest: Blob(digest=digest, state=state, done=done, size=size)
        for digest, (state, done, size) in zip(digests, blobs, strict=True)
    }


def _board(*lanes: Lane, sent: tuple[tuple[datetime, int], ...] = ()) -> Board:
    return Board(job_id="abc123DEF-_x", size=270_000_000, lanes=dict(enumerate(lanes)), sent=sent)


def _drawn(board: Board, width: int = 80, height: int = 24) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, markup=False, emoji=False, highlight=False)
    console.print(drawing(board, NOW, width=width, height=height))
    return stream.getvalue().splitlines()


LANE = Lane(
    destination="registry.example.com/team/app:1.4",
    state=DeliveryState.RUNNING,
    planned=(5, 270_000_000),
    blobs=_blobs(
        (RUNNING, 18_200_000, 29_800_000),
        (RUNNING, 0, 150_000_000),
        (LANDED, 90_000_000, 90_000_000),
        (TransferState.MOUNTED, 100_000, 100_000),
        (TransferState.PRESENT, 100_000, 100_000),
    ),
)


def test_a_job_is_drawn_with_a_bar_for_what_moves_and_counts_for_what_is_there() -> None:
    lines = _drawn(_board(LANE, sent=((NOW - timedelta(seconds=5), 170_000_000),)))
    assert len(lines) == 4
    assert lines[0] == "registry.example.com/team/app:1.4  3/5 blobs, 1 mounted, 1 present"
    assert lines[1].startswith("  sha256:00000000 ")
    assert "61%" in lines[1]
    assert lines[1].rstrip().endswith("18.2 MB / 29.8 MB")
    assert "0%" in lines[2]
    assert lines[3].startswith("job abc123DEF-_x ")
    assert "108.4 MB / 270.0 MB" in lines[3]
    assert lines[3].rstrip().endswith("34.0 MB/s 5s left")


def test_each_blob_is_drawn_with_its_rate_and_the_time_left() -> None:
    samples = ((NOW - timedelta(seconds=5), 17_000_000),)
    blob = Blob(digest="sha256:" + "a" * 64, size=29_800_000, state=RUNNING, done=18_200_000, samples=samples)
    lane = Lane(destination="a/a:1", state=DeliveryState.RUNNING, planned=(1, 29_800_000), blobs={blob.digest: blob})
    assert _drawn(_board(lane))[1].rstrip().endswith("18.2 MB / 29.8 MB      3.4 MB/s 3s left")


def test_what_was_resumed_is_told() -> None:
    blob = Blob(digest="sha256:" + "a" * 64, size=30, state=RUNNING, done=20, resumed=12)
    lane = Lane(destination="a/a:1", state=DeliveryState.RUNNING, planned=(1, 30), blobs={blob.digest: blob})
    assert _drawn(_board(lane))[0] == "a/a:1  0/1 blobs, 12 B resumed"


def test_a_paused_destination_says_so_and_has_no_bars() -> None:
    paused = Lane(destination="a/a:1", state=DeliveryState.PAUSED, planned=LANE.planned, blobs=LANE.blobs)
    first, second = _drawn(_board(paused))
    assert first == "a/a:1  paused"
    assert second.startswith("job ")


def test_a_destination_that_waits_for_a_credential_says_so_and_not_until_when() -> None:
    board = Board.of(job_of(job()))

    def held(code: str) -> Board:
        return board.after(event(2, "delivery.held", delivery=1, until="2026-11-23T21:00:00Z", code=code))

    assert _drawn(held("registry.needs_credential"))[0].endswith("app:1.4  needs credential")
    assert "held until" in _drawn(held("registry.throttled"))[0]


def test_a_destination_that_is_ready_says_that_it_waits_for_the_others() -> None:
    board = Board.of(job_of(job())).after(event(2, "delivery.ready", delivery=1, attempt=1, others=2))
    assert _drawn(board)[0].endswith("app:1.4  ready, waits for the others")


@pytest.mark.parametrize("width", [40, 60, 80, 132])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    long = Lane(destination="registry.example.com/" + "x" * 200 + ":1.4", state=DeliveryState.RUNNING, planned=(9, 1))
    lines = _drawn(_board(LANE, long, sent=((NOW, 10**12),)), width=width)
    assert max(len(line) for line in lines) <= width - 2  # a terminal echoes ^C behind the last one
    assert len(lines) == 5


def test_a_long_destination_keeps_its_end() -> None:
    long = Lane(destination="registry.example.com/" + "x" * 200 + ":1.4", state=DeliveryState.QUEUED)
    assert _drawn(_board(long))[0].endswith("xxx:1.4  queued")


def test_several_destinations_are_told_apart_and_the_lively_come_first() -> None:
    done = Lane(destination="a/a:1", state=DeliveryState.SUCCEEDED, planned=(2, 10), blobs=_blobs((LANDED, 5, 5)))
    held = Lane(destination="b/b:1", state=DeliveryState.HELD, until=NOW)
    failed = Lane(destination="c/c:1", state=DeliveryState.FAILED)
    lines = _drawn(_board(done, held, failed, LANE))
    assert [line.split()[0] for line in lines if not line.startswith((" ", "job"))] == [
        LANE.destination,
        "b/b:1",
        "a/a:1",
        "c/c:1",
    ]
    assert f"held until {NOW.astimezone():%H:%M:%S}" in lines[3]
    assert lines[4].endswith("succeeded: 1/2 blobs")
    assert lines[5].endswith("failed")


@pytest.mark.parametrize("height", [4, 6, 10, 24])
def test_what_has_no_room_is_counted_and_the_job_is_always_there(height: int) -> None:
    many = Lane(destination="a/a:1", state=DeliveryState.RUNNING, blobs=_blobs(*[(RUNNING, 1, 2)] * 30))
    lines = _drawn(_board(*[many] * 12), height=height)
    assert len(lines) <= height - 1
    assert lines[-1].startswith("job abc123DEF-_x")
    shown = sum(line.startswith("a/a:1") for line in lines)
    more = [int(line.split()[1]) for line in lines if "more destinations" in line]
    assert shown + sum(more) == 12


def test_every_moving_blob_is_drawn_or_counted() -> None:
    many = Lane(destination="a/a:1", state=DeliveryState.RUNNING, blobs=_blobs(*[(RUNNING, 1, 2)] * 30))
    lines = _drawn(_board(many, many), height=20)
    bars = sum(line.startswith("  sha256:") for line in lines)
    more = [int(line.split()[1]) for line in lines if "more blobs" in line]
    assert bars + sum(more) == 60
    assert len(more) == 2
    assert len(lines) <= 19


def test_foreign_text_is_neither_markup_nor_a_control_sequence() -> None:
    lane = Lane(destination="[red]x[/red]/\x1b[2J:smile:", state=DeliveryState.QUEUED)
    assert "[red]x[/red]/\ufffd[2J:smile:" in _drawn(_board(lane))[0]


def test_an_empty_job_can_be_drawn() -> None:
    assert len(_drawn(Board(job_id="x", size=0, lanes={}))) == 1


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_warnings_stay_above_the_bars_which_are_gone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = _Terminal()
    with Bars(terminal, _board(LANE)) as bars:
        bars.show(_board(LANE), event(1, "delivery.held", "the registry is [busy]\x1b[2J", level="warning"))
        bars.show(_board(LANE), event(2, "delivery.started", "an ordinary thing"))
    text = terminal.getvalue()
    assert "warning: the registry is [busy]\ufffd[2J" in text
    assert "an ordinary thing" not in text
    assert "\x1b[?25l" in text  # the cursor was hidden
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # and is back


def test_no_color_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = _Terminal()
    with Bars(terminal, _board(LANE)) as bars:
        bars.show(_board(LANE), event(1, "x.y", level="debug"))
    assert "\x1b[3" not in terminal.getvalue()
    assert "\x1b[38" not in terminal.getvalue()
