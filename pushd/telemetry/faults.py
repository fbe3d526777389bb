"""A defect in ourselves, as an event."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime

from pushd.telemetry.events import DAEMON_FAULT, Event


def fault(error: Exception, *, where: str) -> Event:
    """Give the event that tells of a defect, with its traceback, for the log alone."""
    fields = {
        "error": f"{type(error).__name__}: {error}",
        "where": where,
        "traceback": "".join(traceback.format_exception(error)),
    }
    return Event(DAEMON_FAULT, datetime.now(UTC), fields=fields)
