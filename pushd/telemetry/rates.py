"""How much may be told: less than what a journal throws away, and what tells most is kept to the last.

journald takes 10,000 messages of a service in 30 seconds and drops what is more (journald.conf(5),
`RateLimitIntervalSec`), whatever it is. Here less is let through, so that what must go is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pushd.telemetry.events import Level

if TYPE_CHECKING:
    from collections import Counter

    from pushd.telemetry.events import Kind

_NAMED: Final = 12
"""Kinds that are named in one line; the rest is summed up."""

_RESERVED: Final = {Level.DEBUG: 0.5, Level.INFO: 0.3, Level.WARNING: 0.2, Level.ERROR: 0.0}
"""The share of the burst that lines of a level leave to what tells more."""
_RESERVED_BY_CANONICAL: Final = 0.1


@dataclass(frozen=True, slots=True)
class Pace:
    """How much may come.

    Attributes:
        burst: lines at once.
        rate: lines a second, for good.
    """

    burst: float
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a log takes.

    Attributes:
        in_all: of all kinds together.
        of_a_kind: of each kind: one that runs wild leaves room for the others.
    """

    in_all: Pace
    of_a_kind: Pace


JOURNAL: Final = Allowance(in_all=Pace(3000, 200), of_a_kind=Pace(1500, 100))
"""At most 3,000 + 30 * 200 = 9,000 lines in any 30 seconds; the rest is for what else the service says."""


class Bucket:
    """A token bucket: fills at a steady rate, up to the burst, and each line takes one token.

    Attributes:
        pace: its own.
    """

    __slots__ = ("_at", "_tokens", "pace")

    def __init__(self, pace: Pace, now: float) -> None:
        self.pace = pace
        self._tokens = pace.burst
        self._at = now

    def holds(self, now: float) -> float:
        """Give the tokens there are at `now`, seconds on a clock that does not go back."""
        self._tokens = min(self.pace.burst, self._tokens + max(0.0, now - self._at) * self.pace.rate)
        self._at = now
        return self._tokens

    def take(self) -> None:
        """Take one."""
        self._tokens -= 1


class Rates:
    """Says which lines go through.

    Args:
        allowance: what there is.
        now: the time, seconds on a clock that does not go back.
    """

    def __init__(self, allowance: Allowance, now: float) -> None:
        self._allowance = allowance
        self._in_all = Bucket(allowance.in_all, now)
        self._of: dict[str, Bucket] = {}

    def admit(self, kind: Kind, now: float) -> bool:
        """Whether a line of this kind may be written at `now`; then it is counted."""
        own = self._of.get(kind.name)
        if own is None:
            own = self._of[kind.name] = Bucket(self._allowance.of_a_kind, now)
        if own.holds(now) < 1 or self._in_all.holds(now) < 1 + reserved(kind) * self._allowance.in_all.burst:
            return False
        own.take()
        self._in_all.take()
        return True


def reserved(kind: Kind) -> float:
    """Give the share of all there is that a kind leaves to what tells more: errors leave nothing, and go last."""
    share = _RESERVED[kind.level]
    return min(share, _RESERVED_BY_CANONICAL) if kind.canonical else share


def listed(counts: Counter[str]) -> str:
    """Give counts by kind as text, the largest first: `transfer.finished 120, manifest.put 7`."""
    told = [f"{name} {count}" for name, count in counts.most_common(_NAMED)]
    rest = counts.total() - sum(count for _, count in counts.most_common(_NAMED))
    return ", ".join([*told, f"others {rest}"] if rest else told)
