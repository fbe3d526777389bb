"""The log: every event once, where whoever runs the daemon looks for it, and never at the cost of its work."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from pushd.telemetry.events import LIBRARY_FAILURE, LIBRARY_MESSAGE, LOG_LOST, LOG_SUPPRESSED, Event, Level
from pushd.telemetry.journald import Journal, as_datagram, is_journal
from pushd.telemetry.lines import as_json, as_words
from pushd.telemetry.outlet import Outlet, Stream
from pushd.telemetry.rates import JOURNAL, Rates, listed
from pushd.telemetry.redaction import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from structlog.typing import FilteringBoundLogger, WrappedLogger

    from pushd.telemetry.events import Kind, Value
    from pushd.telemetry.outlet import Drain
    from pushd.telemetry.rates import Allowance

    Render = Callable[[WrappedLogger, str, MutableMapping[str, Any]], bytes]
    """Gives a line as bytes: the last of structlog's processors."""

_NUMBERS: Final = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.ERROR: logging.ERROR,
}
_TELLING: Final = 30.0
"""Seconds between two lines about what was held back, or lost."""
_LAST_WORD: Final = 2.0
"""Seconds the last lines get to be written."""


def open_log(level: Level, environ: Mapping[str, str], *, descriptor: int = 2) -> EventLog:
    """Open the log: fields to the journal where standard error leads there, readable lines on a terminal, else JSON.

    Args:
        level: what is told is at least as loud.
        environ: has `JOURNAL_STREAM` where a service manager set it.
        descriptor: standard error.
    """
    if is_journal(environ, descriptor):
        return EventLog(level, Journal(), as_datagram, allowance=JOURNAL)
    return EventLog(level, Stream(descriptor), as_words if os.isatty(descriptor) else as_json)


class EventLog:
    """Writes events: to be called with each, from any thread; it neither fails nor waits.

    Standard-library logging is not in its path: structlog to bytes is several times as fast.

    Args:
        level: see below.
        drain: takes the lines.
        render: makes them.
        allowance: how many may come at once; None for any number.
        telling: seconds between two lines about what did not get through.

    Attributes:
        level: what is told is at least as loud; may be changed at any time.
    """

    def __init__(
        self,
        level: Level,
        drain: Drain,
        render: Render,
        *,
        allowance: Allowance | None = None,
        telling: float = _TELLING,
    ) -> None:
        self.level = level
        self._telling = telling
        self._rates = None if allowance is None else Rates(allowance, time.monotonic())
        self._held_back: Counter[str] = Counter()
        self._held_since = 0.0
        self._lost_told_at = time.monotonic() - telling
        self._lock = threading.Lock()
        self._outlet = Outlet(drain, self._remind)
        self._logger: FilteringBoundLogger = structlog.wrap_logger(
            self._outlet,
            processors=[_redact, render],
            wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
            cache_logger_on_first_use=True,
        )

    def __call__(self, event: Event) -> None:
        """Write one event, unless there are too many of its kind."""
        kind = event.kind
        if _NUMBERS[kind.level] < _NUMBERS[self.level]:
            return
        if self._rates is not None and not self._admit(self._rates, kind):
            return
        if self._outlet.crowded and not (kind.canonical or kind.level is Level.ERROR):
            self._outlet.miss()
            return
        self._write(event)

    def close(self) -> None:
        """Say what was held back, and write what waits, for a moment. Idempotent."""
        self._tell_missing()
        self._outlet.close(_LAST_WORD)

    def _admit(self, rates: Rates, kind: Kind) -> bool:
        now = time.monotonic()
        with self._lock:
            if rates.admit(kind, now):
                return True
            begins = not self._held_back
            self._held_back[kind.name] += 1
            if begins:
                self._held_since = now
        if begins:
            self._outlet.call()
        return False

    def _remind(self) -> float | None:
        """Say what did not get through, where it is time for that; give after how many seconds it is."""
        now = time.monotonic()
        waits = []
        if self._held_back:
            waits.append(self._held_since + self._telling - now)
        if self._outlet.lost and not self._outlet.failing:
            waits.append(self._lost_told_at + self._telling - now)
        if waits and min(waits) <= 0:
            self._tell_missing()
            return None
        return min(waits, default=None)

    def _tell_missing(self) -> None:
        with self._lock:
            held_back, self._held_back = self._held_back, Counter()
        lost = self._outlet.take_lost()
        now = datetime.now(UTC)
        if held_back:
            self._write(Event(LOG_SUPPRESSED, now, fields={"lines": held_back.total(), "kinds": listed(held_back)}))
        if lost:
            self._lost_told_at = time.monotonic()
            self._write(Event(LOG_LOST, now, fields={"lines": lost}))

    def _write(self, event: Event) -> None:
        self._logger.log(_NUMBERS[event.kind.level], event.kind.name, **_fields(event))


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
    if event.trace is not None:
        fields["trace_id"] = event.trace
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
