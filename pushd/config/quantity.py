"""Sizes and durations as people write them."""

from __future__ import annotations

import math
import re
from typing import Final

_SIZE: Final = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,6})?)\s*(?P<unit>[KMGT]?)(?:i?B)?", re.IGNORECASE)
_DURATION: Final = re.compile(r"(?P<number>[0-9]{1,12}(?:\.[0-9]{1,6})?)\s*(?P<unit>[smhd]?)")

_BYTES: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def size(value: object) -> int:
    """Give bytes for `1048576`, `"1M"`, `"1MB"` or `"1MiB"`: units are powers of 1024, however spelled.

    Raises:
        ValueError: it is no size.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a size like 1048576 or "4MiB"')
    return int(float(match["number"]) * _BYTES[match["unit"].upper()])


def duration(value: object) -> float:
    """Give seconds for `90`, `"90s"`, `"15m"`, `"2h"` or `"1d"`.

    Raises:
        ValueError: it is no duration.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and math.isfinite(value):
        return float(value)
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a duration like 90 (seconds), "90s", "15m", "2h" or "1d"')
    return float(match["number"]) * _SECONDS[match["unit"]]
