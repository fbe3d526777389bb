from __future__ import annotations

import pytest

from pushd.job import DeliveryState, JobState, job_state

QUEUED, RUNNING, HELD, PAUSED, SUCCEEDED, SUPERSEDED, FAILED, CANCELLED = (
    DeliveryState.QUEUED,
    DeliveryState.RUNNING,
    DeliveryState.HELD,
    DeliveryState.PAUSED,
    DeliveryState.SUCCEEDED,
    DeliveryState.SUPERSEDED,
    DeliveryState.FAILED,
    DeliveryState.CANCELLED,
)


@pytest.mark.parametrize(
    ("deliveries", "state"),
    [
        ({QUEUED}, JobState.QUEUED),
        ({QUEUED, HELD}, JobState.QUEUED),
        ({HELD}, JobState.HELD),
        ({RUNNING, FAILED}, JobState.RUNNING),
        ({QUEUED, SUCCEEDED}, JobState.RUNNING),
        ({HELD, SUPERSEDED}, JobState.RUNNING),
        ({PAUSED}, JobState.PAUSED),
        ({PAUSED, SUCCEEDED}, JobState.PAUSED),
        ({PAUSED, RUNNING}, JobState.RUNNING),
        ({SUCCEEDED}, JobState.SUCCEEDED),
        ({FAILED}, JobState.FAILED),
        ({CANCELLED}, JobState.CANCELLED),
        ({SUCCEEDED, FAILED}, JobState.PARTIAL),
        ({SUCCEEDED, CANCELLED}, JobState.PARTIAL),
        ({FAILED, CANCELLED}, JobState.FAILED),
    ],
)
def test_the_deliveries_decide_the_jobs_state(deliveries: set[DeliveryState], state: JobState) -> None:
    assert job_state(deliveries) is state


@pytest.mark.parametrize(
    ("deliveries", "state"),
    [
        ({SUPERSEDED}, JobState.SUPERSEDED),
        ({SUPERSEDED, SUCCEEDED}, JobState.SUCCEEDED),
        ({SUPERSEDED, FAILED}, JobState.FAILED),
        ({SUPERSEDED, CANCELLED}, JobState.CANCELLED),
        ({SUPERSEDED, SUCCEEDED, FAILED}, JobState.PARTIAL),
    ],
)
def test_a_superseded_delivery_leaves_the_decision_to_the_others(
    deliveries: set[DeliveryState], state: JobState
) -> None:
    assert job_state(deliveries) is state


def test_what_is_terminal_is_what_neither_waits_nor_runs() -> None:
    assert {state for state in DeliveryState if not state.terminal} == {QUEUED, RUNNING, HELD, PAUSED}
    open_states = {JobState.QUEUED, JobState.RUNNING, JobState.HELD, JobState.PAUSED}
    assert {state for state in JobState if not state.terminal} == open_states
