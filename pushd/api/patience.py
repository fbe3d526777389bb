"""How long the API waits for its callers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds; the defaults are what the daemon serves with, tests are in more of a hurry.

    Attributes:
        body: for a request body to arrive over a local socket.
        reader: for a reader of events to take a full buffer.
        look: between two looks whether the callers of long polls and event streams are still there.
    """

    body: float = 30.0
    reader: float = 10.0
    look: float = 1.0
