"""Whether and when a delivery is tried again: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pushd.errors import Code
from pushd.job import Failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pushd.errors import PushdError


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient deliveries are.

    Attributes:
        attempts: how often a delivery is claimed at most.
        pause: seconds before the second attempt; doubled for each further one.
        pause_max: seconds no pause is longer than, unless the registry asked for more.
    """

    attempts: int = 5
    pause: float = 2.0
    pause_max: float = 300.0


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
    now: datetime,
    deadline: datetime,
    policy: Policy,
    rng: Callable[[], float],
) -> Hold | GiveUp:
    """Decide what becomes of a delivery whose attempt number `attempt` (from 1) ended in `error`.

    Exponential with full jitter, never before the time the registry named. A pause that would end past the deadline
    is not begun: the delivery fails now, with the error that stood in its way.
    """
    failure = Failure(code=str(error.code), message=str(error), retryable=error.retryable)
    if not error.retryable or attempt >= policy.attempts:
        return GiveUp(failure)
    backoff = min(policy.pause * 2 ** (attempt - 1), policy.pause_max)
    until = now + timedelta(seconds=max(error.retry_after or 0.0, backoff * rng()))
    if until < deadline:
        return Hold(until, failure)
    return GiveUp(_out_of_time(f"the job's deadline leaves no time for another attempt; the last one: {error}"))


def past_deadline() -> Failure:
    """Give the failure of a delivery whose job ran out of time."""
    return _out_of_time("the job's deadline passed before the image was delivered")


def _out_of_time(message: str) -> Failure:
    return Failure(code=str(Code.REQUEST_DEADLINE), message=message, retryable=False)
