"""Tags that move together: what the states of a job's deliveries mean for one another, in every combination."""

from __future__ import annotations

from itertools import combinations_with_replacement, product

import pytest

from pushd.errors import Code
from pushd.job import DeliveryState, Failure
from pushd.store.together import Member, Verdict, given_up, verdict

LOST = (DeliveryState.FAILED, DeliveryState.CANCELLED)
THINKABLE = [
    Member(destination="r.test/a:1", state=state, ready=ready) for state, ready in product(DeliveryState, (False, True))
]
COMBINATIONS = [members for count in (1, 2, 3) for members in combinations_with_replacement(THINKABLE, count)]
DENIED = Failure(code="registry.denied", message="r.test: no right to push", retryable=False)


def of(state: DeliveryState, *, ready: bool = False, failure: Failure | None = None, to: str = "r.test/a:1") -> Member:
    return Member(destination=to, state=state, ready=ready, failure=failure)


@pytest.mark.parametrize("shut", [False, True])
def test_tags_move_exactly_when_all_that_have_not_ended_are_ready_and_none_was_lost(shut: bool) -> None:
    for members in COMBINATIONS:
        unready = [member for member in members if not (member.state.terminal or member.ready)]
        lost = [member for member in members if member.state in LOST]
        some = any(not member.state.terminal for member in members)
        moves = verdict(members, decided=False, shut=shut) is Verdict.MOVE
        assert moves == (some and not unready and not lost and not shut), members


@pytest.mark.parametrize("shut", [False, True])
def test_all_is_given_up_exactly_when_one_was_lost_and_another_has_not_ended(shut: bool) -> None:
    for members in COMBINATIONS:
        lost = any(member.state in LOST for member in members)
        some = any(not member.state.terminal for member in members)
        gives_up = verdict(members, decided=False, shut=shut) is Verdict.GIVE_UP
        assert gives_up == (lost and some), members


@pytest.mark.parametrize("shut", [False, True])
def test_what_was_decided_is_never_taken_back_nor_decided_again(shut: bool) -> None:
    assert {verdict(members, decided=True, shut=shut) for members in COMBINATIONS} == {Verdict.WAIT}


def test_the_order_of_the_destinations_means_nothing() -> None:
    for members in COMBINATIONS:
        both = [verdict(order, decided=False, shut=False) for order in (members, members[::-1])]
        assert both[0] is both[1], members


@pytest.mark.parametrize("waits", [DeliveryState.QUEUED, DeliveryState.HELD, DeliveryState.RUNNING], ids=str)
def test_one_that_is_not_ready_keeps_all_waiting(waits: DeliveryState) -> None:
    members = [of(DeliveryState.HELD, ready=True), of(DeliveryState.HELD, ready=True), of(waits)]
    assert verdict(members, decided=False, shut=False) is Verdict.WAIT


def test_one_that_was_superseded_counts_as_ready() -> None:
    members = [of(DeliveryState.SUPERSEDED), of(DeliveryState.HELD, ready=True)]
    assert verdict(members, decided=False, shut=False) is Verdict.MOVE


def test_what_is_given_up_names_the_one_that_failed_and_why() -> None:
    members = [of(DeliveryState.HELD, ready=True), of(DeliveryState.FAILED, failure=DENIED, to="r.test/b:1")]
    assert given_up(members) == Failure(
        code=Code.REQUEST_TOGETHER.value,
        message="no tag of this job moves without the others, and that to r.test/b:1 failed: r.test: no right to push",
        retryable=False,
    )


def test_what_is_given_up_names_the_one_that_was_cancelled() -> None:
    failure = given_up([of(DeliveryState.RUNNING), of(DeliveryState.CANCELLED, to="r.test/b:1")])
    assert failure.code == Code.REQUEST_TOGETHER
    assert "that to r.test/b:1 was cancelled" in failure.message


def test_what_is_given_up_names_the_cause_and_not_what_was_given_up_before_it() -> None:
    before = Failure(code=Code.REQUEST_TOGETHER.value, message="...", retryable=False)
    members = [
        of(DeliveryState.FAILED, failure=before, to="r.test/a:1"),
        of(DeliveryState.FAILED, failure=DENIED, to="r.test/b:1"),
        of(DeliveryState.RUNNING, to="r.test/c:1"),
    ]
    assert "that to r.test/b:1 failed" in given_up(members).message


def test_a_deadline_that_passed_for_one_passed_for_all() -> None:
    late = Failure(code=Code.REQUEST_DEADLINE.value, message="the job's deadline passed", retryable=False)
    failure = given_up([of(DeliveryState.HELD, ready=True), of(DeliveryState.FAILED, failure=late)])
    assert (failure.code, "the job's deadline passed" in failure.message) == (Code.REQUEST_DEADLINE, True)
