from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import pytest

from pushd.client.documents import job_of
from pushd.ctl.board import Board
from pushd.job import DeliveryState, TransferState
from tests.fakes.daemon import delivery, event, job

START = datetime(2026, 11, 22, 21, tzinfo=UTC)
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def _board(*events: dict[str, Any], destinations: int = 1) -> Board:
    deliveries = [delivery(number + 1, f"r{number + 1}.example.com/app:1") for number in range(destinations)]
    board = Board.of(job_of(job("queued", *deliveries, size=1000)))
    return reduce(lambda board, event: board.after(event), events, board)


def _at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


def _planned(number: int = 1, blobs: int = 2, size: int = 900) -> dict[str, Any]:
    return event(2, "delivery.planned", delivery=number, blobs=blobs, size=size, manifests=1)


def _progress(
    done: int, *, digest: str = A, size: int = 600, sent: int | None = None, at: float = 0, number: int = 1
) -> dict[str, Any]:
    return event(
        None, "transfer.progress", delivery=number, digest=digest, size=size, done=done,
        sent=done if sent is None else sent, state="running", at=_at(at),
    )  # fmt: skip


def _finished(state: str, *, digest: str = A, size: int = 600, sent: int = 0, at: float = 0) -> dict[str, Any]:
    return event(9, "transfer.finished", delivery=1, digest=digest, size=size, state=state, sent=sent, at=_at(at))


STARTED = event(1, "delivery.started", delivery=1, attempt=1)


def test_a_fresh_board_expects_the_whole_image_at_each_destination() -> None:
    board = _board(destinations=2)
    assert [lane.state for lane in board.lanes.values()] == [DeliveryState.QUEUED] * 2
    assert (board.done, board.total) == (0, 2000)


def test_a_plan_says_how_much_there_really_is() -> None:
    board = _board(STARTED, _planned())
    assert board.lanes[1].state is DeliveryState.RUNNING
    assert board.lanes[1].planned == (2, 900)
    assert board.total == 900


def test_progress_moves_the_blob_and_the_job() -> None:
    board = _board(STARTED, _planned(), _progress(200), _progress(450))
    (blob,) = board.lanes[1].moving
    assert (blob.done, blob.size) == (450, 600)
    assert board.done == 450


@pytest.mark.parametrize("state", ["uploaded", "mounted", "present"])
def test_a_blob_that_landed_counts_whole_and_no_longer_moves(state: str) -> None:
    board = _board(STARTED, _planned(), _progress(200), _finished(state))
    assert board.lanes[1].moving == ()
    assert board.lanes[1].landed == board.lanes[1].count(TransferState(state)) == 1
    assert board.done == 600


def test_progress_that_comes_late_does_not_take_a_landed_blob_back() -> None:
    landed = _board(STARTED, _planned(), _finished("uploaded"))
    assert landed.after(_progress(200)) == landed


def test_a_new_plan_begins_anew() -> None:
    board = _board(STARTED, _planned(), _finished("uploaded"), STARTED, _planned(size=300))
    assert board.done == 0
    assert board.total == 300


def test_a_held_delivery_moves_nothing_and_says_until_when() -> None:
    held = event(5, "delivery.held", delivery=1, until="2026-11-22T21:05:00Z", reason="busy", code="registry.throttled")
    board = _board(STARTED, _planned(), _progress(200), held)
    assert board.lanes[1].state is DeliveryState.HELD
    assert board.lanes[1].until == datetime(2026, 11, 22, 21, 5, tzinfo=UTC)
    assert board.lanes[1].moving == ()
    assert board.after(STARTED).lanes[1].until is None


@pytest.mark.parametrize("state", ["succeeded", "superseded", "failed", "cancelled"])
def test_a_destination_that_ended_needs_no_more_than_it_has(state: str) -> None:
    board = _board(STARTED, _planned(), _progress(200), event(7, f"delivery.{state}", delivery=1), destinations=2)
    assert board.lanes[1].state is DeliveryState(state)
    assert board.total == 200 + 1000


def test_a_requeued_delivery_waits_again() -> None:
    assert _board(STARTED, event(3, "delivery.requeued", delivery=1)).lanes[1].state is DeliveryState.QUEUED


def test_a_transfer_that_resumes_begins_where_it_stood() -> None:
    started = event(None, "transfer.started", delivery=1, digest=A, size=600, resumed=250)
    assert _board(STARTED, started).done == 250


def test_that_a_transfer_resumes_is_known_before_how_much() -> None:
    started = event(None, "transfer.started", delivery=1, digest=A, size=600, resumed=True)
    board = _board(STARTED, started)
    assert (board.done, board.lanes[1].resumed) == (0, 0)
    board = board.after(_progress(350, sent=100))
    assert (board.done, board.lanes[1].resumed) == (350, 250)
    board = board.after(_progress(350, sent=200))  # a piece was sent twice
    assert board.lanes[1].resumed == 250


def test_a_transfer_that_began_before_one_looked_and_was_not_resumed_is_not_called_so() -> None:
    assert _board(STARTED, _progress(350, sent=350)).lanes[1].resumed == 0


def test_the_end_of_a_transfer_says_what_was_resumed() -> None:
    finished = {**_finished("uploaded", sent=400), "resumed": 200}
    assert _board(STARTED, finished).lanes[1].resumed == 200
    assert _board(STARTED, _finished("mounted"), _finished("present", digest=B)).lanes[1].resumed == 0


def test_each_blob_has_a_pace_of_its_own() -> None:
    board = _board(
        STARTED, _progress(0, at=0), _progress(0, digest=B, at=0), _progress(100, at=1), _progress(300, digest=B, at=1)
    )
    first, second = board.lanes[1].moving
    now = START + timedelta(seconds=2)
    assert (first.rate(now), second.rate(now)) == (100, 300)
    assert first.left(now) == pytest.approx(5)
    assert board.rate(now) == pytest.approx(400)


def test_a_paused_delivery_waits_until_its_job_is_resumed() -> None:
    paused = _board(STARTED, _progress(100), event(3, "delivery.paused", delivery=1, attempt=1))
    assert paused.lanes[1].state is DeliveryState.PAUSED
    assert paused.lanes[1].moving == ()
    assert paused.after(event(4, "job.resumed", by="uid 0")).lanes[1].state is DeliveryState.QUEUED


def test_what_is_ready_waits_until_its_tag_moves() -> None:
    ready = _board(STARTED, event(3, "delivery.ready", delivery=1, attempt=1, others=2))
    assert (ready.lanes[1].state, ready.lanes[1].ready) == (DeliveryState.HELD, True)
    again = ready.after(event(4, "delivery.started", delivery=1, attempt=2))
    assert (again.lanes[1].state, again.lanes[1].ready) == (DeliveryState.RUNNING, False)


def test_a_retry_queues_what_failed_and_nothing_else() -> None:
    board = _board(event(1, "delivery.failed", delivery=1), event(2, "delivery.succeeded", delivery=2), destinations=2)
    states = [lane.state for lane in board.after(event(3, "job.retried", deliveries=1)).lanes.values()]
    assert states == [DeliveryState.QUEUED, DeliveryState.SUCCEEDED]


def test_destinations_do_not_mix() -> None:
    board = _board(STARTED, _progress(100), _progress(50, number=2), destinations=2)
    assert [lane.done for lane in board.lanes.values()] == [100, 50]


@pytest.mark.parametrize(
    "unknown",
    [
        event(1, "job.submitted"),
        event(1, "delivery.started", delivery=99),
        event(1, "delivery.started", delivery=None),
        event(1, "delivery.signed", delivery=1),
    ],
)
def test_events_that_mean_nothing_here_change_nothing(unknown: dict[str, Any]) -> None:
    assert _board(unknown) == _board()


def test_a_state_from_a_newer_daemon_is_taken_as_moving() -> None:
    odd = {**_progress(5), "state": "compressing"}
    assert [blob.done for blob in _board(STARTED, odd).lanes[1].moving] == [5]


def test_the_rate_is_what_was_sent_in_the_last_ten_seconds() -> None:
    board = _board(STARTED, _progress(0, at=0), _progress(100, at=2), _progress(300, at=4))
    assert board.rate(START + timedelta(seconds=4)) == pytest.approx(150)
    assert board.rate(START + timedelta(seconds=13)) == pytest.approx(200 / 9)
    assert board.rate(START + timedelta(seconds=15)) == 0.0


def test_what_was_sent_before_one_looked_is_no_rate() -> None:
    board = _board(STARTED, _progress(500, at=3))
    assert board.rate(START + timedelta(seconds=3)) == 0.0


def test_bytes_sent_again_count_for_the_rate_and_not_for_the_progress() -> None:
    board = _board(STARTED, _progress(100, sent=100, at=0), _progress(100, sent=300, at=1))
    assert board.done == 100
    assert board.rate(START + timedelta(seconds=2)) == pytest.approx(200)


def test_the_time_left_follows_from_the_rate_and_is_unknown_when_nothing_moves() -> None:
    board = _board(STARTED, _planned(size=700), _progress(0, at=0), _progress(200, at=1))
    assert board.left(START + timedelta(seconds=2)) == pytest.approx(500 / 200)
    assert board.left(START + timedelta(seconds=60)) is None


def test_old_samples_are_forgotten() -> None:
    board = _board(STARTED, *[_progress(10 * n, at=n) for n in range(60)])
    assert len(board.sent) <= 11
