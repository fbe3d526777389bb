"""Where jobs and deliveries stand, in a word or two: their state, or what they need of a person. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pushd.errors import NEEDING
from pushd.job import DeliveryState

if TYPE_CHECKING:
    from pushd.job import Delivery, Job

NEEDS_CREDENTIAL: Final = "needs credential"
"""Instead of `held`: nothing will happen until somebody brings one."""
READY: Final = "ready"
"""Instead of `held`: everything but its tag is there, and that moves with others."""


def waits_for_credential(state: DeliveryState, code: str | None) -> bool:
    """Whether a delivery is held, with the reason `code`, until somebody brings a credential."""
    return state is DeliveryState.HELD and code in NEEDING


def delivery_standing(delivery: Delivery) -> str:
    """Say where one destination stands."""
    if waits_for_credential(delivery.state, delivery.failure.code if delivery.failure else None):
        return NEEDS_CREDENTIAL
    waits = delivery.state is DeliveryState.HELD and delivery.ready and delivery.failure is None
    return READY if waits else delivery.state.value


def job_standing(job: Job) -> str:
    """Say where a job stands; what it needs of a person where nothing of it goes on without that."""
    unfinished = [delivery for delivery in job.deliveries if not delivery.state.terminal]
    if any(delivery.state is not DeliveryState.HELD for delivery in unfinished):
        return job.state.value
    needs = any(delivery_standing(delivery) == NEEDS_CREDENTIAL for delivery in unfinished)
    return NEEDS_CREDENTIAL if needs else job.state.value
