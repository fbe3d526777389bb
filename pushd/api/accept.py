"""Which of several media types a caller would rather have (RFC 9110, 12.5.1). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_RANGE: Final = re.compile(r"[ \t]*(?P<type>[^/;, \t]+)/(?P<subtype>[^/;, \t]+)[ \t]*(?P<parameters>;.*)?")
_WEIGHT: Final = re.compile(r"(?:.*;)?[ \t]*q=(?P<weight>[01](?:\.[0-9]{0,3})?)[ \t]*(?:;.*)?", re.IGNORECASE)
_NOT_NAMED: Final = (0.0, 0)


def preferred(headers: Sequence[str], offered: Sequence[str]) -> str:
    """Give the type of `offered` the `Accept` headers weigh most.

    Of types that weigh the same, one that is named goes before one that a wildcard covers, and then the first. So
    it is when none is acceptable: an answer in the usual type says more than a refusal.
    """
    ranges = ",".join(headers).split(",")
    return max(offered, key=lambda media_type: _weighed(ranges, media_type))


def _weighed(ranges: Sequence[str], media_type: str) -> tuple[float, int]:
    """Give how much a type weighs, and how exactly it was named; the most exact range counts."""
    kind, _, subtype = media_type.partition("/")
    exactness, weight = 0, 0.0
    for text in ranges:
        match = _RANGE.fullmatch(text)
        if match is None:
            continue
        names = (match["type"].lower(), match["subtype"].lower())
        level = {(kind, subtype): 3, (kind, "*"): 2, ("*", "*"): 1}.get(names, 0)
        if level > exactness:
            given = _WEIGHT.fullmatch(match["parameters"] or "")
            exactness, weight = level, float(given["weight"]) if given is not None else 1.0
    return (weight, exactness) if weight else _NOT_NAMED
