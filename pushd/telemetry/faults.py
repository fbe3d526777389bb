"""What goes wrong in the daemon itself, as events: a defect in ourselves, a store that does not answer."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pushd.telemetry.events import DAEMON_FAULT, STORE_FAILED, STORE_SLOW, Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushd.errors import StoreError

_SLOW = 1.0
"""Seconds a commit may take before that is worth a warning: whoever submits waits for it."""


def fault(error: Exception, *, where: str) -> Event:
    """Give the event that tells of a defect, with its traceback, for the log alone."""
    fields = {
        "error": f"{type(error).__name__}: {error}",
        "where": where,
        "traceback": "".join(traceback.format_exception(error)),
    }
    return Event(DAEMON_FAULT, datetime.now(UTC), fields=fields)


def store_failed(error: StoreError, *, where: str) -> Event:
    """Give the event that tells of the store's failure; `where`: what is tried again."""
    return Event(STORE_FAILED, datetime.now(UTC), fields={"where": where, "code": str(error.code), "error": str(error)})


def tell_if_slow(emit: Callable[[Event], None], seconds: float) -> None:
    """Tell of a commit of the store that took that many seconds, where that is long. From any thread."""
    if seconds > _SLOW:
        emit(Event(STORE_SLOW, datetime.now(UTC), fields={"seconds": round(seconds, 3)}))
