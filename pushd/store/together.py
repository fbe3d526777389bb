"""A job whose tags move together: what its deliveries mean for one another. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto, unique
from typing import TYPE_CHECKING

from pushd.errors import Code
from pushd.job import DeliveryState, Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LOST = (DeliveryState.FAILED, DeliveryState.CANCELLED)


@unique
class Verdict(Enum):
    """What is to become of the deliveries of a job that have not ended."""

    WAIT = auto()
    """They go on as they are."""
    MOVE = auto()
    """Their tags move now, all of them. Once this is written down it is never taken back."""
    GIVE_UP = auto()
    """They fail: no tag moves, because one of them never will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One delivery of such a job.

    Attributes:
        ready: whether everything but its tag is there.
        failure: why it failed.
    """

    destination: str
    state: DeliveryState
    ready: bool = False
    failure: Failure | None = None


def verdict(members: Iterable[Member], *, decided: bool, shut: bool) -> Verdict:
    """Decide whether tags move.

    One that was superseded stands in nobody's way, and counts as ready: its tag names a newer image already, as its
    owner wants it, and to keep the others back would only leave them further behind.

    Args:
        members: all deliveries of the job.
        decided: whether it was decided before that they move: then each goes on alone.
        shut: whether somebody holds the job back, or a registry where a tag would have to move.
    """
    members = tuple(members)
    waiting = [member for member in members if not member.state.terminal]
    if decided or not waiting:
        return Verdict.WAIT
    if any(member.state in _LOST for member in members):
        return Verdict.GIVE_UP
    return Verdict.MOVE if all(member.ready for member in waiting) and not shut else Verdict.WAIT


def given_up(members: Sequence[Member]) -> Failure:
    """Give the failure of those that could have gone on; at least one of `members` failed or was cancelled."""
    lost = [member for member in members if member.state in _LOST]
    cause = next((member for member in lost if not _given_up(member.failure)), lost[0])
    if cause.failure is None:
        why = f"that to {cause.destination} was cancelled"
    else:
        why = f"that to {cause.destination} failed: {cause.failure.message}"
    late = cause.failure is not None and cause.failure.code == Code.REQUEST_DEADLINE
    message = f"no tag of this job moves without the others, and {why}"
    code = Code.REQUEST_DEADLINE if late else Code.REQUEST_TOGETHER
    return Failure(code=code.value, message=message, retryable=False)


def _given_up(failure: Failure | None) -> bool:
    return failure is not None and failure.code == Code.REQUEST_TOGETHER
