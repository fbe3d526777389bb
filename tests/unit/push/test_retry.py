from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pushd.errors import Code, RegistryError
from pushd.push.retry import GiveUp, Hold, Policy, decide

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = NOW + timedelta(days=1)
POLICY = Policy(attempts=4, pause=2, pause_max=60)


def after(
    code: Code, *, attempt: int = 1, retry_after: float | None = None, deadline: datetime = DAY, luck: float = 1.0
) -> Hold | GiveUp:
    error = RegistryError(code, "registry.example.com", "said no", retry_after=retry_after)
    return decide(error, attempt=attempt, now=NOW, deadline=deadline, policy=POLICY, rng=lambda: luck)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 2), (2, 4), (3, 8)])
def test_pauses_double(attempt: int, seconds: float) -> None:
    decision = after(Code.REGISTRY_UNAVAILABLE, attempt=attempt)
    assert isinstance(decision, Hold)
    assert decision.until == NOW + timedelta(seconds=seconds)
    assert decision.failure.code == Code.REGISTRY_UNAVAILABLE
    assert decision.failure.retryable


def test_pauses_are_spread_over_their_whole_length() -> None:
    decision = after(Code.REGISTRY_UNAVAILABLE, attempt=3, luck=0.25)
    assert isinstance(decision, Hold)
    assert decision.until == NOW + timedelta(seconds=2)


def test_no_pause_is_longer_than_the_longest() -> None:
    error = RegistryError(Code.REGISTRY_UNAVAILABLE, "registry.example.com", "said no")
    patient = Policy(attempts=99, pause=2, pause_max=60)
    decision = decide(error, attempt=50, now=NOW, deadline=DAY, policy=patient, rng=lambda: 1.0)
    assert isinstance(decision, Hold)
    assert decision.until == NOW + timedelta(seconds=60)


def test_the_registrys_own_time_is_kept_to() -> None:
    decision = after(Code.REGISTRY_THROTTLED, retry_after=600, luck=0.0)
    assert isinstance(decision, Hold)
    assert decision.until == NOW + timedelta(seconds=600)


def test_the_last_attempt_is_the_last() -> None:
    decision = after(Code.REGISTRY_UNAVAILABLE, attempt=4)
    assert isinstance(decision, GiveUp)
    assert decision.failure.code == Code.REGISTRY_UNAVAILABLE


@pytest.mark.parametrize("code", [Code.REGISTRY_DENIED, Code.REGISTRY_NAME_INVALID, Code.SOURCE_BLOB_DIGEST])
def test_what_will_not_pass_is_not_tried_again(code: Code) -> None:
    assert isinstance(after(code), GiveUp)


def test_a_pause_past_the_deadline_is_not_begun() -> None:
    decision = after(Code.REGISTRY_THROTTLED, retry_after=600, deadline=NOW + timedelta(seconds=599))
    assert isinstance(decision, GiveUp)
    assert decision.failure.code == Code.REQUEST_DEADLINE
    assert "said no" in decision.failure.message
