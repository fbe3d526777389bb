"""A job drawn on a terminal: a bar for each blob that moves, a line for each destination, a bar for the whole.

Importing this imports rich.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pushd.ctl.lines import event_line
from pushd.ctl.quantities import show_bytes, show_clock, show_duration
from pushd.ctl.standing import NEEDS_CREDENTIAL, READY, waits_for_credential
from pushd.ctl.texts import clean, cut_left
from pushd.job import DeliveryState, TransferState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from rich.console import RenderableType

    from pushd.ctl.board import Blob, Board, Lane

REFRESHES = 8
"""Drawings a second."""
ECHO = len("^C")
"""Columns to leave free: what a terminal echoes there would wrap, and what was drawn could not be taken away whole."""
_LOUD = frozenset({"warning", "error"})
_STYLES = {
    DeliveryState.SUCCEEDED: "green",
    DeliveryState.SUPERSEDED: "yellow",
    DeliveryState.FAILED: "red",
    DeliveryState.CANCELLED: "yellow",
    DeliveryState.HELD: "yellow",
    DeliveryState.PAUSED: "yellow",
}


def console_on(stream: TextIO) -> Console:
    """Give what draws on `stream`, and takes nothing in a text for more than text."""
    # Text is foreign: no markup, no emoji names, no guessing at numbers and paths. NO_COLOR is rich's to honour.
    return Console(file=stream, markup=False, emoji=False, highlight=False)


class Bars:
    """Draws boards on a terminal until it is left; then the drawing is gone, and what was told stays."""

    def __init__(self, stream: TextIO, board: Board) -> None:
        self._console = console_on(stream)
        self._board = board
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=REFRESHES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, board: Board, event: Mapping[str, Any]) -> None:
        """Draw `board` from now on; what `event` warns of is told above it and stays."""
        self._board = board
        if event["level"] in _LOUD and event["event"] != "delivery.failed":  # its line is red, and its end is reported
            self._console.print(Text(event_line(event)))

    def _draw(self) -> RenderableType:
        return drawing(self._board, datetime.now(UTC), width=self._console.width, height=self._console.height)


def drawing(board: Board, now: datetime, *, width: int, height: int) -> RenderableType:
    """Lay a board out for a terminal of `width` columns and `height` lines.

    The bar of the whole job always fits; destinations come before blobs, what moves before what waits, and what has
    no room is counted.
    """
    room = max(2, height - 2)  # the bar of the job, and the line the cursor stands on
    lanes = sorted(board.lanes.values(), key=_urgency)
    shown = lanes if len(lanes) <= room else lanes[: room - 1]
    bars_left = room - len(shown) - (len(shown) < len(lanes))
    width -= ECHO
    rows: list[RenderableType] = []
    for position, lane in enumerate(shown):
        rows.append(_lane_line(lane, width))
        # A fair share of what is left, so that the first destination does not take it all.
        share = -(-bars_left // (len(shown) - position))
        blobs = lane.moving
        fit = blobs if len(blobs) <= share else blobs[: max(0, share - 1)]
        rows.extend(_blob_bar(blob, now) for blob in fit)
        if share and len(fit) < len(blobs):
            rows.append(Text(f"  and {len(blobs) - len(fit)} more blobs", style="dim"))
        bars_left -= min(share, len(blobs))
    if len(shown) < len(lanes):
        rows.append(Text(f"and {len(lanes) - len(shown)} more destinations", style="dim"))
    return Constrain(Group(*rows, _job_bar(board, now)), width)


def _urgency(lane: Lane) -> int:
    order = (DeliveryState.RUNNING, DeliveryState.HELD, DeliveryState.PAUSED, DeliveryState.QUEUED)
    return order.index(lane.state) if lane.state in order else len(order)


def _lane_line(lane: Lane, width: int) -> Text:
    words = _lane_words(lane)
    line = Text(cut_left(clean(lane.destination), max(20, width - len(words) - 2)), no_wrap=True, overflow="ellipsis")
    line.append("  ")
    line.append(words, style=_STYLES.get(lane.state, ""))
    return line


def _lane_words(lane: Lane) -> str:
    if waits_for_credential(lane.state, lane.reason):
        return NEEDS_CREDENTIAL
    if lane.state is DeliveryState.HELD and lane.ready:
        return f"{READY}, waits for the others"
    if lane.state is DeliveryState.HELD and lane.until is not None:
        return f"held until {show_clock(lane.until)}"
    if lane.planned is None or lane.state in (DeliveryState.QUEUED, DeliveryState.PAUSED):
        return lane.state.value
    unsent = (TransferState.MOUNTED, TransferState.PRESENT)
    counts = [f"{lane.count(state)} {state.value}" for state in unsent if lane.count(state)]
    if lane.resumed:
        counts.append(f"{show_bytes(lane.resumed)} resumed")
    words = ", ".join([f"{lane.landed}/{lane.planned[0]} blobs", *counts])
    return words if lane.state is DeliveryState.RUNNING else f"{lane.state.value}: {words}"


def _blob_bar(blob: Blob, now: datetime) -> Table:
    algorithm, _, encoded = clean(blob.digest).partition(":")
    return bar(f"  {algorithm}:{encoded[:8]}", blob.done, blob.size, _pace(blob.rate(now), blob.left(now)))


def _job_bar(board: Board, now: datetime) -> Table:
    return bar(f"job {clean(board.job_id)}", board.done, board.total, _pace(board.rate(now), board.left(now)))


def _pace(rate: float, left: float | None) -> str:
    return "" if left is None else f"{show_bytes(rate)}/s {_countdown(left)} left"


def _countdown(seconds: float) -> str:
    return show_duration(seconds) if seconds < 100 * 3600 else "long"


def bar(label: str, done: int, size: int | None, pace: str) -> Table:
    """Lay out one row; the widths leave 12 columns for the bar itself on a terminal of 80.

    Args:
        label: what it is about, at most 18 columns of it.
        done: bytes.
        size: bytes in all; None when nobody knows, which draws a bar that only moves.
        pace: rate and time left, at most 21 columns of it.
    """
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=18, no_wrap=True, overflow="ellipsis")
    grid.add_column(ratio=1)
    grid.add_column(width=4, justify="right", no_wrap=True)
    grid.add_column(width=19, justify="right", no_wrap=True)
    grid.add_column(width=21, justify="right", no_wrap=True)
    percent = f"{done * 100 // size}%" if size else ""
    grid.add_row(
        Text(label),
        ProgressBar(total=None if size is None else max(size, 1), completed=done),
        Text(percent),
        Text(show_bytes(done) if size is None else f"{show_bytes(done)} / {show_bytes(size)}"),
        Text(pace),
    )
    return grid
