"""The file's content, checked table by table against what is known. Every mistake is found in one pass."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pushd.config.keys import REGISTRY, SOCKET, TABLES, Array
from pushd.config.mistakes import Mistake, dotted
from pushd.config.readers import UntoldError
from pushd.oci.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pushd.config.keys import Keys, Kind
    from pushd.config.mistakes import Key

Values = dict[str, Any]
"""The values of one table, ready for the constructor of its dataclass."""

_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_SOCKET: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_NAMED: Final = ("registries", "sockets")
_WRITTEN_OUT: Final = 10**15
"""Numbers from here on are not repeated in a message: Python refuses to write very long ones."""
_KINDS: Final[dict[type, str]] = {dict: "a table", list: "an array"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a file says; without any, what none says.

    Attributes:
        tables: the values of each table of `TABLES`; those of `grants` are tables themselves.
        registries: those of each registry, by its name.
        sockets: those of each socket besides the main one, by its name.
        mistakes: with any, the values are not to be used.
    """

    tables: Mapping[str, Values] = field(default_factory=dict)
    registries: Mapping[str, Values] = field(default_factory=dict)
    sockets: Mapping[str, Values] = field(default_factory=dict)
    mistakes: tuple[Mistake, ...] = ()


def read_document(document: Mapping[str, object]) -> Document:
    """Give all values and all mistakes."""
    known = [*TABLES, *_NAMED]
    mistakes = [Mistake((name,), _unknown(name, known)) for name in document if name not in known]
    tables = {name: _read_table((name,), document.get(name, {}), keys, mistakes) for name, keys in TABLES.items()}
    _check_grants(tables["credentials"].get("grants", ()), mistakes)
    _check_metrics(tables["metrics"], mistakes)
    return Document(
        tables=tables,
        registries=_read_registries(document.get("registries", {}), mistakes),
        sockets=_read_sockets(document.get("sockets", {}), mistakes),
        mistakes=tuple(mistakes),
    )


def _read(key: Key, value: object, kind: Kind, mistakes: list[Mistake]) -> Any:
    """Give the value, or None when it is a mistake."""
    if isinstance(kind, Mapping):
        table = _read_table(key, value, kind, mistakes)
        return table if isinstance(value, dict) else None
    if isinstance(kind, Array):
        return _read_array(key, value, kind, mistakes)
    try:
        return kind(value)
    except UntoldError as error:
        mistakes.append(Mistake(key, str(error)))
    except ValueError as error:
        mistakes.append(Mistake(key, f"{error}; it is {_told(value)}"))
    return None


def _read_table(key: Key, table: object, keys: Keys, mistakes: list[Mistake]) -> Values:
    if not isinstance(table, dict):
        mistakes.append(Mistake(key, f"must be a table: {_header(key)}"))
        return {}
    values: Values = {}
    for name, value in table.items():
        if name in keys:
            values[name] = _read((*key, name), value, keys[name], mistakes)
        else:
            mistakes.append(Mistake((*key, name), _unknown(name, keys)))
    return values


def _read_array(key: Key, array: object, kind: Array, mistakes: list[Mistake]) -> tuple[Any, ...]:
    if not isinstance(array, list):
        mistakes.append(Mistake(key, f"must be an array of {kind.items}; it is {_told(array)}"))
        return ()
    return tuple(_read((*key, index), item, kind.item, mistakes) for index, item in enumerate(array))


def _check_grants(grants: Iterable[Values | None], mistakes: list[Mistake]) -> None:
    for index, grant in enumerate(grants):
        key = ("credentials", "grants", index)
        if grant is None:
            continue
        if "registry" not in grant:
            mistakes.append(Mistake(key, "has no registry: say which it is for"))
        if not grant.get("users") and not grant.get("groups"):
            mistakes.append(Mistake(key, "grants nobody anything: it has neither users nor groups"))


def _check_metrics(values: Values, mistakes: list[Mistake]) -> None:
    listen = values.get("listen")
    if listen is not None and not listen.host.is_loopback and not values.get("allow_remote"):
        detail = f"other machines may get to {listen}: write a loopback address, or allow_remote = true if they are to"
        mistakes.append(Mistake(("metrics", "listen"), detail))


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


def _read_sockets(table: object, mistakes: list[Mistake]) -> dict[str, Values]:
    if not isinstance(table, dict):
        mistakes.append(Mistake(("sockets",), "must be tables: [sockets.NAME]"))
        return {}
    sockets: dict[str, Values] = {}
    taken: dict[Path, str] = {}
    for name, value in table.items():
        key = ("sockets", name)
        if not _SOCKET.fullmatch(name):
            mistakes.append(Mistake(key, "must be named in 1 to 32 of a-z, 0-9 and -, beginning with a letter"))
            continue
        values = sockets[name] = _read_table(key, value, SOCKET, mistakes)
        if isinstance(value, dict) and "path" not in value:
            mistakes.append(Mistake(key, "has no path: say where it is to be"))
        path = values.get("path")
        if path in taken:
            mistakes.append(Mistake((*key, "path"), f"is that of [sockets.{taken[path]}] already"))
        elif path is not None:
            taken[path] = name
    return sockets


def _header(key: Key) -> str:
    """Write the line that opens a table."""
    return f"[{dotted(key)}]" if isinstance(key[-1], str) else f"[[{dotted(key[:-1])}]]"


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
