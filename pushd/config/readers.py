"""How single values are read. Each reader gives the value, or raises ValueError with what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from enum import StrEnum

Reader = Callable[[object], object]
"""Gives the value for what stands in the file, or raises ValueError with what is wrong."""

# All mistakes of a reader's are of one kind; TypeError would be another: that is what each noqa of TRY004 means.

_ID_MAX: Final = 2**32 - 2
"""The highest uid or gid: the one after it means "none" to chown(2)."""
_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_REGISTRY: Final = r"[A-Za-z0-9.*?:_\[\]-]+"
_REPOSITORY: Final = r"[a-z0-9*?][a-z0-9./*?_-]*"
_EVERYONE: Final = "*"


def between(reader: Callable[[object], float], least: float, most: float, unit: str) -> Reader:
    """Read what `reader` reads, within bounds; `unit` is what it counts."""

    def read(value: object) -> object:
        number = reader(value)
        if not least <= number <= most:
            raise ValueError(f"must be from {least:.16g} to {most:.16g} {unit}")
        return number

    return read


def whole(value: object) -> int:
    """Read an integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 (see above)
    return value


def boolean(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 (see above)
    return value


def path(value: object) -> Path:
    """Read an absolute path."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError("must be an absolute path, beginning with /")
    return Path(value)


def word(known: Sequence[str]) -> Callable[[object], str]:
    """Read one of a few words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return value

    return read


def one_of(choices: type[StrEnum], *besides: str) -> Reader:
    """Read a member of `choices` by its value; the words in `besides` stand for None."""
    known = word([*besides, *(choice.value for choice in choices)])

    def read(value: object) -> object:
        chosen = known(value)
        return None if chosen in besides else choices(chosen)

    return read


def group(value: object) -> str:
    """Read the name or id of a group."""
    return _account(value, "must be the name or id of a group")


def user(value: object) -> str:
    """Read the name or id of a user, or `*`."""
    return _EVERYONE if value == _EVERYONE else _account(value, 'must be the name or id of a user, or "*" for everyone')


def _account(value: object, wanted: str) -> str:
    name = str(value) if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _ID_MAX else value
    if not isinstance(name, str) or not name or name != name.strip() or not name.isprintable():
        raise ValueError(wanted)
    # As passwd(5) has it, a colon ends a name; a star or a comma is somebody's idea of a pattern or a list.
    if any(character in name for character in ":*,") or (_NUMBER.fullmatch(name) and int(name) > _ID_MAX):
        raise ValueError(wanted)
    return name


def registry_pattern(value: object) -> str:
    """Read a pattern for `host[:port]`."""
    return _pattern(value, _REGISTRY, 'must be a pattern like "*.example.com" or "a.example:5000"')


def repository_pattern(value: object) -> str:
    """Read a pattern for a repository."""
    return _pattern(value, _REPOSITORY, 'must be a pattern like "team/*"')


def destination_pattern(value: object) -> str:
    """Read a pattern for `host[:port]`, or for `host[:port]/repository`."""
    wanted = 'must be a pattern like "*.example.com" or "a.example:5000/team/*"'
    return _pattern(value, f"{_REGISTRY}(?:/{_REPOSITORY})?", wanted)


def _pattern(value: object, syntax: str, wanted: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(syntax, value):
        raise ValueError(wanted)
    return value
