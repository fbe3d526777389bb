"""The file's content, checked table by table against what is known. Every mistake is found in one pass."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pushd.config.mistakes import Mistake, dotted
from pushd.config.quantity import duration, size
from pushd.oci.text import quoted
from pushd.oci.upload import Form
from pushd.registry.profiles import NAMES
from pushd.telemetry.events import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from enum import StrEnum

    from pushd.config.mistakes import Key

Reader = Callable[[object], object]
"""Gives the value for what stands in the file, or raises ValueError with what is wrong."""

Values = dict[str, Any]
"""The values of one table, ready for the constructor of its dataclass."""

_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_MIB: Final = 1 << 20
_DAY: Final = 86_400.0
_WRITTEN_OUT: Final = 10**15
"""Numbers from here on are not repeated in a message: Python refuses to write very long ones."""
_KINDS: Final[dict[type, str]] = {dict: "a table", list: "an array"}


def _between(reader: Callable[[object], float], least: float, most: float, unit: str) -> Reader:
    def read(value: object) -> object:
        number = reader(value)
        if not least <= number <= most:
            raise ValueError(f"must be from {least:.15g} to {most:.15g} {unit}")
        return number

    return read


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 (all mistakes of the reader's are of one kind)
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 (the same)
    return value


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError("must be an absolute path, beginning with /")
    return Path(value)


def _one_of(choices: type[StrEnum], *besides: str) -> Reader:
    """Read a member of `choices` by its value; the words in `besides` stand for None."""
    word = _word([*besides, *(choice.value for choice in choices)])

    def read(value: object) -> object:
        chosen = word(value)
        return None if chosen in besides else choices(chosen)

    return read


def _word(known: Sequence[str]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return value

    return read


_SECONDS: Final = _between(duration, 0.001, _DAY, "seconds")
_PLACES: Final = _between(_whole, 1, 1000, "at a time")
_CHUNK: Final = _between(size, 1, 1 << 40, "bytes")

TABLES: Final[Mapping[str, Mapping[str, Reader]]] = {
    "daemon": {"socket": _path, "state_dir": _path, "log_level": _one_of(Level)},
    "limits": {
        "deliveries": _PLACES,
        "uploads_per_registry": _PLACES,
        "small_uploads_per_registry": _PLACES,
        "memory": _between(size, _MIB, 1 << 40, "bytes"),
        "deadline": _between(duration, 1, 366 * _DAY, "seconds"),
        "attempts": _between(_whole, 1, 1000, "times"),
    },
    "timeouts": {"connect": _SECONDS, "stall": _SECONDS, "commit": _SECONDS, "request": _SECONDS},
    "credentials": {"docker_config": _path},
}
"""The tables of one kind each, with how their keys are read."""

REGISTRY: Final[Mapping[str, Reader]] = {
    "profile": _word(NAMES),
    "plain_http": _boolean,
    "upload": _one_of(Form, "auto"),
    "chunk_size": _CHUNK,
    "max_uploads": _PLACES,
    "ca": _path,
}
"""The keys of `[registries."host:port"]`."""


def read_document(document: Mapping[str, object]) -> tuple[dict[str, Values], dict[str, Values], list[Mistake]]:
    """Give the values of each table of `TABLES`, those of each registry by its name, and all mistakes."""
    mistakes = [
        Mistake((name,), _unknown(name, [*TABLES, "registries"]))
        for name in document
        if name not in TABLES and name != "registries"
    ]
    tables = {name: _read_table((name,), document.get(name, {}), readers, mistakes) for name, readers in TABLES.items()}
    return tables, _read_registries(document.get("registries", {}), mistakes), mistakes


def _read_table(key: Key, table: object, readers: Mapping[str, Reader], mistakes: list[Mistake]) -> Values:
    if not isinstance(table, dict):
        mistakes.append(Mistake(key, f"must be a table: [{dotted(key)}]"))
        return {}
    values: Values = {}
    for name, value in table.items():
        reader = readers.get(name)
        if reader is None:
            mistakes.append(Mistake((*key, name), _unknown(name, readers)))
            continue
        try:
            values[name] = reader(value)
        except ValueError as error:
            mistakes.append(Mistake((*key, name), f"{error}; it is {_told(value)}"))
    return values


def _read_registries(table: object, mistakes: list[Mistake]) -> dict[str, Values]:
    if not isinstance(table, dict):
        mistakes.append(Mistake(("registries",), 'must be tables: [registries."host:port"]'))
        return {}
    registries = {}
    for name, value in table.items():
        key = ("registries", name)
        if not _HOST.fullmatch(name):
            mistakes.append(Mistake(key, "must be named host or host:port, as in a reference"))
        elif path := _unquoted(name, value):
            # [registries.a.example] is, in TOML, the table `example` in the table `a`.
            mistakes.append(Mistake(("registries", *path), f'must be quoted: [registries."{".".join(path)}"]'))
        else:
            registries[name] = _read_table(key, value, REGISTRY, mistakes)
    return registries


def _unquoted(name: str, table: object) -> list[str]:
    """Give the parts of a host name whose quotes were forgotten, or nothing."""
    path = [name]
    while isinstance(table, dict) and len(table) == 1:
        inner, table = next(iter(table.items()))
        if inner in REGISTRY or not isinstance(table, dict):
            break
        path.append(inner)
    return path if len(path) > 1 else []


def _unknown(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"is not known; did you mean {near[0]}?" if near else f"is not known; known are {', '.join(known)}"


def _told(value: object) -> str:
    match value:
        case str():
            return quoted(value)
        case bool():
            return str(value).lower()
        case int() if abs(value) >= _WRITTEN_OUT:
            return "a very large number"
        case int() | float():
            return str(value)
        case _:
            return _KINDS.get(type(value), "a date or time")
