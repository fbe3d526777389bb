"""Mistakes in a configuration file: which key, what about it, and in which line."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, DaemonError
from pushd.oci.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Key = tuple[str | int, ...]
"""Where a value stands: the tables on the way to it, then its own name; a number for its place in an array."""

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_LINE: Final = 120


@dataclass(frozen=True, slots=True)
class Mistake:
    """One of them; `key` is empty where the file as a whole is meant."""

    key: Key
    detail: str


class ConfigError(DaemonError):
    """The configuration cannot be used: `daemon.config`, with all its mistakes.

    Attributes:
        mistakes: in the order of the file, as far as their lines are known.
    """

    def __init__(self, file: Path, mistakes: Sequence[Mistake], text: str = "") -> None:
        where = {mistake: line_of(mistake.key, text) for mistake in mistakes}
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: where[mistake] or 0))
        told = [_sentence(mistake, where[mistake]) for mistake in self.mistakes]
        detail = told[0] if len(told) == 1 else "\n  ".join([f"{len(told)} mistakes", *told])
        super().__init__(Code.DAEMON_CONFIG, str(file), detail)


def dotted(key: Key) -> str:
    """Write a key as TOML does, quoted where it must be; for a place in an array, as in `grants[0]`, it has no way."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else f'"{part}"')
    return text


def line_of(key: Key, text: str) -> int | None:
    """Give the number of the line that sets `key` or opens the table `key`; None unless exactly one does.

    What stands in an array is looked for in the line that sets the array, unless it is a table with a line of its own.

    `tomllib` keeps no positions, so each line is read on its own. That misreads a line inside a multi-line string,
    which shows as a second place, and finds nothing in an inline table; no number is better than a wrong one.
    """
    lines = [number for number, found in _keys(text) if found == key]
    if not lines and key and isinstance(key[-1], int):
        return line_of(key[:-1], text)
    return lines[0] if len(lines) == 1 else None


def _keys(text: str) -> Iterator[tuple[int, Key]]:
    table: Key = ()
    tables: Counter[Key] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        try:
            if stripped.startswith("[["):
                array = _path(stripped)
                table = (*array, tables[array])
                tables[array] += 1
                yield number, array
                yield number, table
            elif stripped.startswith("["):
                table = _path(stripped)
                yield number, table
            elif "=" in stripped and not stripped.startswith("#"):
                yield number, table + _path(f"{stripped.partition('=')[0]}= 0")
        except tomllib.TOMLDecodeError:
            continue


def _path(line: str) -> Key:
    """Give the one key that a line of TOML names."""
    path: list[str | int] = []
    value: object = tomllib.loads(line)
    while isinstance(value, dict) and value:
        name, value = next(iter(value.items()))
        path.append(name)
    return tuple(path)


def _sentence(mistake: Mistake, line: int | None) -> str:
    parts = [f"line {line}" if line is not None else "", printable(dotted(mistake.key), _LINE), mistake.detail]
    return ": ".join(part for part in parts if part)
