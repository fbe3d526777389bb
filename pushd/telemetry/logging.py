"""The log: every event as one line on a stream, for machines as JSON, on a terminal for people."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import msgspec
import structlog

from pushd.oci.text import printable
from pushd.telemetry.events import LIBRARY_FAILURE, LIBRARY_MESSAGE, Event, Level
from pushd.telemetry.redaction import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from structlog.typing import FilteringBoundLogger, WrappedLogger

    from pushd.telemetry.events import Value

_NUMBERS: Final = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.ERROR: logging.ERROR,
}
_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)
_SHOWN: Final = 4000
"""Characters of one value on a terminal: enough for a traceback."""


class EventLog:
    """Writes events as lines: to be called with each, and never failing.

    A line is `{"ts", "level", "event", "message", "job", "delivery", ...}`, the fields of the catalogue flat;
    `job` and `delivery` only where there is one. Standard-library logging is not in its path: structlog to bytes is
    several times as fast.
    """

    def __init__(self, level: Level, stream: BinaryIO) -> None:
        """Write to `stream` what is told at `level` or louder."""
        self._logger: FilteringBoundLogger = structlog.wrap_logger(
            structlog.BytesLogger(stream),
            processors=[_redact, _line if stream.isatty() else _json],
            wrapper_class=structlog.make_filtering_bound_logger(_NUMBERS[level]),
            cache_logger_on_first_use=True,
        )

    def __call__(self, event: Event) -> None:
        """Write one event."""
        number = _NUMBERS[event.kind.level]
        if not self._logger.is_enabled_for(number):
            return
        # A stream that is closed or full cannot be told about it; the work goes on.
        with suppress(OSError, ValueError):
            self._logger.log(number, event.kind.name, **_fields(event))


class LibraryHandler(logging.Handler):
    """Tells what libraries log in the standard way as events of ours."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        super().__init__(logging.WARNING)
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one record."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):  # its arguments do not fit its template
            text = str(record.msg)
        fields: dict[str, Value] = {"logger": record.name, "text": text}
        if record.exc_info:
            fields["traceback"] = logging.Formatter().formatException(record.exc_info)
        kind = LIBRARY_FAILURE if record.levelno >= logging.ERROR else LIBRARY_MESSAGE
        self._emit(Event(kind, datetime.fromtimestamp(record.created, UTC), fields=fields))


def hear_libraries(emit: Callable[[Event], None]) -> None:
    """Route the standard library's logging, and Python's warnings, to `emit`: once, when the daemon starts."""
    logging.basicConfig(handlers=[LibraryHandler(emit)], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


def _fields(event: Event) -> dict[str, object]:
    fields: dict[str, object] = {"ts": event.at, "message": _message(event)}
    if event.job is not None:
        fields["job"] = event.job
    if event.delivery is not None:
        fields["delivery"] = event.delivery
    return fields | dict(event.fields)


def _message(event: Event) -> str:
    """Give the sentence; its template when a fact is missing, which is a defect, but not one to be silent for."""
    try:
        return event.message
    except (LookupError, ValueError):
        return event.kind.message


def _redact(_logger: WrappedLogger, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take secrets out of URLs, and lone surrogates, which UTF-8 cannot carry, out of file names."""
    for name, value in line.items():
        if isinstance(value, str):
            line[name] = redacted(value) if value.isascii() else redacted(value.encode(errors="replace").decode())
    return line


def _json(_logger: WrappedLogger, level: str, line: MutableMapping[str, Any]) -> bytes:
    head = {"ts": line.pop("ts"), "level": level, "event": line.pop("event")}
    return _ENCODER.encode(head | dict(line))


def _line(_logger: WrappedLogger, level: str, line: MutableMapping[str, Any]) -> bytes:
    at, name, message = (line.pop(key) for key in ("ts", "event", "message"))
    facts = " ".join(f"{key}={_shown(value)}" for key, value in line.items())
    told = f"{at.astimezone():%H:%M:%S} {level.upper():7} {printable(message, _SHOWN)}  [{name}] {facts}"
    return told.rstrip().encode()


def _shown(value: object) -> str:
    text = printable(str(value), _SHOWN)
    return f'"{text}"' if " " in text or not text else text
