from __future__ import annotations

import io

from pushd.client.documents import job_of
from pushd.ctl.board import Board
from pushd.ctl.lines import Lines, event_line
from tests.fakes.daemon import delivery, event, job


def _told(*events: dict[str, object]) -> list[str]:
    stream = io.StringIO()
    board = Board.of(job_of(job("queued", delivery(1), size=1000)))
    with Lines(stream) as lines:
        for one in events:
            board = board.after(one)
            lines.show(board, one)
    return stream.getvalue().splitlines()


def test_an_event_is_told_with_the_time_and_its_sentence() -> None:
    line = event_line(event(1, "delivery.started", "to r.example.com/app:1, attempt 1"))
    assert line[2] == line[5] == ":"
    assert line[8:] == " to r.example.com/app:1, attempt 1"


def test_a_warning_says_that_it_is_one() -> None:
    assert " warning: busy" in event_line(event(1, "delivery.held", "busy", level="warning"))


def test_foreign_text_cannot_steer_the_terminal() -> None:
    line = event_line(event(1, "delivery.failed", "bad\x1b[2J\nthing", level="err\x1b"))
    assert line.isprintable()


def test_each_change_is_a_line_and_details_for_debugging_are_not() -> None:
    lines = _told(
        event(1, "job.submitted", "one"),
        event(2, "delivery.planned", "two", level="debug", delivery=1, blobs=1, size=1000),
        event(3, "delivery.succeeded", "three", delivery=1),
        event(4, "job.finished", "reported by its own"),
    )
    assert [line[9:] for line in lines] == ["one", "three"]


def test_progress_is_told_at_each_tenth() -> None:
    samples = [
        event(None, "transfer.progress", level="debug", delivery=1, digest="sha256:a", size=1000, done=done, sent=done)
        for done in range(0, 1001, 25)
    ]
    lines = _told(event(1, "delivery.started", "go", delivery=1), *samples)
    assert [line.split()[1] for line in lines[1:]] == [f"{tenth}0%," for tenth in range(1, 11)]
    assert "500 B of 1.0 kB" in lines[5]
