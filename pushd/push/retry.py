"""Whether and when a delivery is tried again: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pushd.errors import NEEDING, Code
from pushd.job import Failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pushd.errors import PushdError


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient deliveries are.

    Attributes:
        attempts: how often a registry that this daemon has never reached is tried: a name that was mistyped does
            not come true by waiting for it. What was reached once is tried until the deadline.
        pause: seconds before the second attempt; doubled for each further one.
        pause_max: seconds no pause is longer than, unless the registry asked for more.
    """

    attempts: int = 5
    pause: float = 2.0
    pause_max: float = 300.0


_NEVER_REACHED = frozenset({Code.REGISTRY_UNRESOLVED, Code.REGISTRY_UNREACHABLE})
_OF_OURS = frozenset(
    {
        Code.REGISTRY_HELPER_TIMEOUT,
        Code.REGISTRY_HELPER_FAILED,
        Code.REGISTRY_CREDENTIALS_MALFORMED,
        Code.REGISTRY_CREDENTIALS_UNREADABLE,
    }
)
"""What fails at our end: a helper that is broken does not come right by waiting, one that lacked the network does, and
a file that was being written is whole a moment later."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Try again at `until`."""

    until: datetime
    failure: Failure


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It failed for good."""

    failure: Failure


def decide(
    error: PushdError,
    *,
    attempt: int,
    met: bool,
    now: datetime,
    deadline: datetime,
    policy: Policy,
    rng: Callable[[], float],
) -> Hold | GiveUp:
    """Decide what becomes of a delivery whose try number `attempt` (from 1) ended in `error`.

    Exponential with full jitter, capped, never before the time the registry named, until the job's deadline. The
    last attempt is not later than half of the time that is left.

    Args:
        error: what ended the attempt.
        attempt: its number; a restart of the daemon in between is no try.
        met: whether this daemon ever reached the registry.
        now: the time.
        deadline: of the job.
        policy: how patient to be.
        rng: gives numbers in [0, 1).
    """
    failure = Failure(code=str(error.code), message=str(error), retryable=error.retryable)
    few = error.code in _OF_OURS or (error.code in _NEVER_REACHED and not met)
    if not error.retryable or (few and attempt >= policy.attempts):
        return GiveUp(failure)
    if error.code in NEEDING and error.retry_after is None:
        return Hold(deadline, failure)  # time brings none; whoever does wakes it
    left = (deadline - now).total_seconds()
    backoff = min(policy.pause * 2.0 ** min(attempt - 1, 30), policy.pause_max) * rng()
    seconds = max(error.retry_after or 0.0, min(backoff, left / 2))
    if seconds >= left or left < policy.pause:
        return GiveUp(past_deadline(failure))
    return Hold(now + timedelta(seconds=seconds), failure)


def past_deadline(last: Failure | None = None) -> Failure:
    """Give the failure of a delivery whose job runs out of time; `last` is what stood in its way."""
    message = "the job's deadline leaves no time to deliver the image"
    if last is not None:
        message = f"{message}; what stood in its way: {last.message}"
    return Failure(code=str(Code.REQUEST_DEADLINE), message=message, retryable=False)
