"""Results on their way to standard output."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_COLUMNS = 80


def print_lines(lines: Iterable[str]) -> None:
    """Print lines, each as soon as it is there."""
    for line in lines:
        print(line, flush=True)


def page_width() -> int | None:
    """Give the terminal's columns; None when nothing reads columns, and nothing is to be cut or broken."""
    return columns() if sys.stdout.isatty() else None


def columns(environ: Mapping[str, str] = os.environ) -> int:
    """Give the columns there are: `$COLUMNS`, the terminal's, or 80. As `shutil` does, which is slow to import."""
    named = environ.get("COLUMNS", "")
    if named.isdecimal() and int(named) > 0:
        return int(named)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _COLUMNS
    except (OSError, ValueError):  # no terminal, or no file at all
        return _COLUMNS
