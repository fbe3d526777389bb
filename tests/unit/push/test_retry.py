from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pushd.errors import Code, RegistryError
from pushd.push.retry import GiveUp, Hold, Policy, decide

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = NOW + timedelta(days=1)
POLICY = Policy(attempts=4, pause=2, pause_max=60)


def after(
    code: Code,
    *,
    attempt: int = 1,
    retry_after: float | None = None,
    deadline: datetime = DAY,
    luck: float = 1.0,
    met: bool = True,
) -> Hold | GiveUp:
    error = RegistryError(code, "registry.example.com", "said no", retry_after=retry_after)
    return decide(error, attempt=attempt, met=met, now=NOW, deadline=deadline, policy=POLICY, rng=lambda: luck)


def held_for(decision: Hold | GiveUp) -> float:
    """Give the seconds of a pause."""
    assert isinstance(decision, Hold)
    return (decision.until - NOW).total_seconds()


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (5000, 60)])
def test_pauses_double_up_to_the_longest(attempt: int, seconds: float) -> None:
    decision = after(Code.REGISTRY_UNAVAILABLE, attempt=attempt)
    assert held_for(decision) == seconds
    assert decision.failure.code == Code.REGISTRY_UNAVAILABLE
    assert decision.failure.retryable


def test_pauses_are_spread_over_their_whole_length() -> None:
    assert held_for(after(Code.REGISTRY_UNAVAILABLE, attempt=3, luck=0.25)) == 2


def test_the_registrys_own_time_is_kept_to() -> None:
    assert held_for(after(Code.REGISTRY_THROTTLED, retry_after=600, luck=0.0)) == 600


@pytest.mark.parametrize("code", sorted(code for code in Code if not code.retryable))
def test_what_will_not_pass_is_not_tried_again(code: Code) -> None:
    decision = after(code)
    assert isinstance(decision, GiveUp)
    assert decision.failure.code == code


OF_OURS = {
    Code.REGISTRY_HELPER_TIMEOUT,
    Code.REGISTRY_HELPER_FAILED,
    Code.REGISTRY_CREDENTIALS_MALFORMED,
    Code.REGISTRY_CREDENTIALS_UNREADABLE,
}


@pytest.mark.parametrize("code", sorted(code for code in Code if code.retryable and code not in OF_OURS))
def test_what_may_pass_is_tried_until_the_deadline(code: Code) -> None:
    assert isinstance(after(code, attempt=1000), Hold)


@pytest.mark.parametrize("code", [Code.REGISTRY_UNRESOLVED, Code.REGISTRY_UNREACHABLE])
def test_a_registry_that_was_never_reached_is_tried_a_few_times(code: Code) -> None:
    assert isinstance(after(code, attempt=3, met=False), Hold)
    decision = after(code, attempt=4, met=False)
    assert isinstance(decision, GiveUp)
    assert decision.failure.code == code
    assert isinstance(after(Code.REGISTRY_UNAVAILABLE, attempt=4, met=False), Hold), "it was reached: it answered"


@pytest.mark.parametrize("code", sorted(OF_OURS))
def test_a_helper_or_a_file_that_fails_is_asked_a_few_times(code: Code) -> None:
    assert isinstance(after(code, attempt=3), Hold)
    decision = after(code, attempt=4)
    assert isinstance(decision, GiveUp)
    assert decision.failure.code == code


def test_for_a_credential_a_delivery_waits_until_its_deadline_because_only_a_person_brings_one() -> None:
    deadline = NOW + timedelta(hours=3)
    for attempt in (1, 50):
        decision = after(Code.REGISTRY_NEEDS_CREDENTIAL, attempt=attempt, deadline=deadline)
        assert isinstance(decision, Hold)
        assert decision.until == deadline
        assert decision.failure.code == Code.REGISTRY_NEEDS_CREDENTIAL


def test_the_daemons_own_credential_is_looked_for_again_sooner() -> None:
    assert held_for(after(Code.REGISTRY_NEEDS_CREDENTIAL, retry_after=300)) == 300


def test_the_time_that_is_left_is_used() -> None:
    deadline = NOW + timedelta(seconds=10)
    assert held_for(after(Code.REGISTRY_UNAVAILABLE, attempt=9, deadline=deadline)) == 5


@pytest.mark.parametrize(("left", "retry_after"), [(1.9, None), (599, 600)])
def test_without_time_for_another_attempt_it_is_past_its_deadline(left: float, retry_after: float | None) -> None:
    decision = after(Code.REGISTRY_THROTTLED, retry_after=retry_after, deadline=NOW + timedelta(seconds=left))
    assert isinstance(decision, GiveUp)
    assert decision.failure.code == Code.REQUEST_DEADLINE
    assert "said no" in decision.failure.message
