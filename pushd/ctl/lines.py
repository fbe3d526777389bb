"""A job told in plain lines, one for each change: for logs, pipes and terminals that cannot draw."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from pushd.ctl.quantities import show_bytes, show_clock
from pushd.ctl.texts import clean

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from pushd.ctl.board import Board

_TOLD = frozenset({"info", "warning", "error"})


def event_line(event: Mapping[str, Any]) -> str:
    """Write one event: the time of day, how loud it is unless it is ordinary, and its sentence."""
    level = event["level"]
    loud = "" if level == "info" else f"{clean(level)}: "
    return f"{show_clock(datetime.fromisoformat(event['at']))} {loud}{clean(event['message'])}"


class Lines:
    """Prints what happens, and each tenth of the bytes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tenth = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, board: Board, event: Mapping[str, Any]) -> None:
        """Tell `event`, after which things stand as on `board`."""
        name = event["event"]
        if name == "transfer.progress":
            self._progress(board)
        elif event["level"] in _TOLD and name != "job.finished":  # how it ended is reported once it is read
            print(event_line(event), file=self._stream, flush=True)

    def _progress(self, board: Board) -> None:
        tenth = board.done * 10 // board.total if board.total else 0
        if tenth == self._tenth:
            return
        self._tenth = tenth
        now = datetime.now(UTC)
        rate = board.rate(now)
        pace = f", {show_bytes(rate)}/s" if rate else ""
        print(
            f"{show_clock(now)} {tenth * 10}%, {show_bytes(board.done)} of {show_bytes(board.total)}{pace}",
            file=self._stream,
            flush=True,
        )
