"""An event as a line: of JSON for machines, of plain words for a person at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from pushd.oci.text import printable

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from structlog.typing import WrappedLogger

_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)
_SHOWN: Final = 4000
"""Characters of one value on a terminal: enough for a traceback."""


def as_json(_logger: WrappedLogger, level: str, line: MutableMapping[str, Any]) -> bytes:
    """Give `{"ts", "level", "event", "message", "job", "delivery", ...}`, the fields of the catalogue flat."""
    head = {"ts": line.pop("ts"), "level": level, "event": line.pop("event")}
    return _ENCODER.encode(head | dict(line)) + b"\n"


def as_words(_logger: WrappedLogger, level: str, line: MutableMapping[str, Any]) -> bytes:
    """Give the time, the level, the sentence, and the facts after it."""
    at, name, message = (line.pop(key) for key in ("ts", "event", "message"))
    facts = " ".join(f"{key}={_shown(value)}" for key, value in line.items())
    told = f"{at.astimezone():%H:%M:%S} {level.upper():7} {printable(message, _SHOWN)}  [{name}] {facts}"
    return told.rstrip().encode() + b"\n"


def _shown(value: object) -> str:
    text = printable(str(value), _SHOWN)
    return f'"{text}"' if " " in text or not text else text
