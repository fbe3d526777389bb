"""Bytes, durations and times, as a person types and reads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_THOUSAND = 1000


def parse_duration(text: str) -> float:
    """Read `90`, `90s`, `15m`, `2h` or `1d` as seconds.

    Raises:
        ValueError: it is something else, or nothing at all.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not seconds:
        raise ValueError(f"{text!r} is not a duration: write 90s, 15m, 2h, 1d, or seconds")
    return seconds


def show_duration(seconds: float) -> str:
    """Write seconds in at most two units: `0.4s`, `12s`, `3m20s`, `2h05m`, `3d4h`."""
    if 0 < seconds < 1:
        return f"{max(seconds, 0.1):.1f}s" if seconds < 0.95 else "1s"  # noqa: PLR2004 (rounds up to one)
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR}h"


def show_age(seconds: float) -> str:
    """Write seconds in one unit, for a column: `12s`, `3m`, `2h`, `3d`."""
    whole = max(0, int(seconds))
    for unit, size in (("d", _DAY), ("h", _HOUR), ("m", _MINUTE)):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def show_bytes(count: float) -> str:
    """Write bytes with three or four digits in decimal units, as registries and networks count: `29.8 MB`."""
    if count < _THOUSAND:
        return f"{count:.0f} B"
    units = ["kB", "MB", "GB", "TB"]
    count /= _THOUSAND
    while count >= _THOUSAND - 0.05 and len(units) > 1:  # 0.05: what would be written 1000.0
        count /= _THOUSAND
        del units[0]
    return f"{count:.1f} {units[0]}"


def show_time(moment: datetime) -> str:
    """Write a moment in the reader's time zone, to the second, with its offset."""
    return moment.astimezone().isoformat(sep=" ", timespec="seconds")


def show_clock(moment: datetime) -> str:
    """Write the time of day of a moment in the reader's time zone."""
    return f"{moment.astimezone():%H:%M:%S}"
