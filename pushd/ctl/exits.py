"""What the shell is told: exit codes, which scripts rely on and which never change their meaning."""

from __future__ import annotations

from enum import IntEnum, unique
from typing import TYPE_CHECKING

from pushd.errors import Code, Origin
from pushd.job import DeliveryState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushd.errors import PushdError
    from pushd.job import Job


@unique
class Exit(IntEnum):
    """The exit codes of pushctl."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_DAEMON = 3
    CANCELLED = 4
    PARTIAL = 5
    """Some destinations hold the image, some do not."""
    REFUSED = 6
    """The daemon answered that this cannot be done as asked, and nothing was done."""
    DEADLINE = 7
    """Every destination that failed did so because time was up."""
    DETACHED = 8
    """The command was interrupted; the job goes on."""
    INTERRUPTED = 130
    """128 and SIGINT, as shells say it: interrupted where there is no job to detach from."""
    BROKEN_PIPE = 141
    """128 and SIGPIPE: whoever read the output has left."""


def exit_of_jobs(jobs: Iterable[Job]) -> Exit:
    """Say in one code how jobs ended, over all their destinations together.

    A destination that a newer job tagged first is as its owner wants it: the others decide.
    """
    deliveries = [
        delivery for job in jobs for delivery in job.deliveries if delivery.state is not DeliveryState.SUPERSEDED
    ]
    states = {delivery.state for delivery in deliveries}
    if states <= {DeliveryState.SUCCEEDED}:
        return Exit.DONE
    if DeliveryState.SUCCEEDED in states:
        return Exit.PARTIAL
    if states == {DeliveryState.CANCELLED}:
        return Exit.CANCELLED
    reasons = {
        delivery.failure.code if delivery.failure else ""
        for delivery in deliveries
        if delivery.state is DeliveryState.FAILED
    }
    return Exit.DEADLINE if reasons == {Code.REQUEST_DEADLINE.value} else Exit.FAILED


def exit_of_error(error: PushdError) -> Exit:
    """Say in one code why nothing was done."""
    if error.code in (Code.DAEMON_UNREACHABLE, Code.DAEMON_SOCKET):
        return Exit.NO_DAEMON
    refused = error.origin in (Origin.REQUEST, Origin.SOURCE, Origin.REGISTRY)
    return Exit.REFUSED if refused else Exit.FAILED
