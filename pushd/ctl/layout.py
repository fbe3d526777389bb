"""Lines of a page: facts under their names, columns, and sentences that break where the terminal ends. Pure."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from pushd.ctl.quantities import show_age, show_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

_NAMES = 12
_NARROWEST = 40
"""Columns below which breaking sentences helps nobody."""


def sentence(text: str, width: int | None, *, first: str = "", rest: str | None = None) -> Iterator[str]:
    """Break `text` into lines of at most `width` columns; a word that is longer stays whole, to be copied.

    Args:
        text: on one line, cleaned.
        width: columns there are; None breaks nothing.
        first: what the first line begins with.
        rest: what the others begin with; as many spaces as `first` is long when None.
    """
    indent = " " * len(first) if rest is None else rest
    if width is None:
        yield f"{first}{text}"
        return
    room = max(width, _NARROWEST)
    for line in wrap(
        text, room, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ):
        # A digest is as long as a terminal is wide, nearly: it fits without all of the indent.
        yield line if len(line) <= room else _outdented(line, room)


def _outdented(line: str, room: int) -> str:
    word = line.lstrip(" ")
    return " " * max(0, min(len(line), room) - len(word)) + word


def facts(*pairs: tuple[str, str], width: int | None) -> Iterator[str]:
    """Write facts, each under its name; those without a value are left out."""
    for name, value in pairs:
        if value:
            yield from sentence(value, width, first=f"{name:<{_NAMES}}", rest=" " * _NAMES)


def columns(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> Iterator[str]:
    """Write rows in columns, two spaces apart, those in `right` with their ends under one another."""
    if not rows:
        return
    to_the_right = frozenset(right)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(size) if column in to_the_right else cell.ljust(size)
            for column, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def when(moment: datetime, now: datetime) -> str:
    """Write a moment, and how far it is from `now`."""
    seconds = (now - moment).total_seconds()
    distance = f"{show_age(seconds)} ago" if seconds >= 0 else f"in {show_age(-seconds)}"
    return f"{show_time(moment)} ({distance})"
