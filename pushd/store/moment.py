"""Times as the database keeps them: seconds since the epoch, UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def seconds(moment: datetime) -> float:
    """Give an aware time as seconds since 1970-01-01 UTC."""
    return moment.timestamp()


def moment(stored: float) -> datetime:
    """Give a stored time as an aware one in UTC, to the microsecond."""
    return datetime.fromtimestamp(stored, UTC)


def moment_or_none(stored: float | None) -> datetime | None:
    """Give a stored time that may be absent."""
    return None if stored is None else moment(stored)


def rfc3339(at: datetime) -> str:
    """Give an aware time as RFC 3339 text in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc_now() -> datetime:
    """Give the time."""
    return datetime.now(UTC)
