"""Events, for whoever listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pushd.telemetry.events import Event


class Emit(Protocol):
    """Tell an event to whoever listens. Never blocks, never fails."""

    def __call__(self, event: Event, /) -> None:
        """Tell it."""
