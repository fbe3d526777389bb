"""Looking on while a job is delivered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol, Self

from pushd.ctl.board import Board

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TextIO

    from pushd.client import Client
    from pushd.job import Job


class View(Protocol):
    """Something that shows a job, between entering and leaving it."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """End, and leave the terminal as it was."""

    def show(self, board: Board, event: Mapping[str, Any]) -> None:
        """Show how things stand after `event`."""


def follow(client: Client, job: Job, view: View) -> Job:
    """Show a job from its beginning until it has ended, and give it as it ended."""
    board = Board.of(job)

    def show(event: Mapping[str, Any]) -> None:
        nonlocal board
        board = board.after(event)
        view.show(board, event)

    with view:
        return hear(client, job, show)


def hear(client: Client, job: Job, tell: Callable[[Mapping[str, Any]], None]) -> Job:
    """Tell the events of a job from its beginning until it has ended, and give it as it ended.

    A job that was retried had ended before: its story goes on after that end.
    """
    after = 0
    while True:
        for event in client.events(after, job=job.id, follow=not job.state.terminal):
            after = event.get("seq", after)
            tell(event)
        had_ended, job = job.state.terminal, client.get(job.id)
        if had_ended or job.state.terminal:
            return job


def view_on(stream: TextIO, job: Job, environ: Mapping[str, str] = os.environ) -> View:
    """Choose how to show a job on `stream`: bars where they can be drawn, lines elsewhere."""
    if stream.isatty() and environ.get("TERM", "dumb") != "dumb":
        from pushd.ctl.bars import Bars  # noqa: PLC0415 (imports rich, which takes longer than a push)

        return Bars(stream, Board.of(job))
    from pushd.ctl.lines import Lines  # noqa: PLC0415 (one of the two is enough)

    return Lines(stream)
