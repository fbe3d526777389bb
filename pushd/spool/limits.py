"""How much the spool may hold, and for how long. All of it may change while it is open."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a spool.

    Attributes:
        per_user: bytes one user may have reserved.
        ttl: seconds an entry waits for more bytes, or for its job; callers may ask for less.
        keep: bytes of compressed layers that are kept for the next image which has them.
    """

    per_user: int
    ttl: float
    keep: int = 0
