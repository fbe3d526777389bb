"""What helpers answered is kept for as long as it is good, and no helper is asked twice at once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from anyio import to_thread

from pushd.credentials.answer import Answer
from pushd.credentials.credential import Credential
from pushd.errors import Code, RegistryError
from pushd.registry.answers import Answers

SERVER = "registry.example"
ALICE = Answer("alice", "secret")
BOB = Answer("bob", "other")
LOCKED = RegistryError(Code.REGISTRY_HELPER_FAILED, "docker-credential-x", "exited with 1", hint="unlock it")


class Helper:
    """A helper that gives one outcome after the other, the last for ever, and a clock."""

    def __init__(self, *outcomes: Answer | RegistryError | None) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[tuple[str, str]] = []
        self.now = 1000.0
        self.answers = Answers(self.run, keep=900.0, clock=lambda: self.now)

    def run(self, helper: str, server: str) -> Answer | None:
        self.asked.append((helper, server))
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, RegistryError):
            raise outcome
        return outcome

    async def get(self, refused: Answer | None = None) -> Answer | None:
        credential = None if refused is None else refused.credential("podman", "anywhere")
        return await self.answers.get("x", SERVER, refused=credential)


async def test_an_answer_is_kept_for_the_time_that_is_set() -> None:
    helper = Helper(ALICE, BOB)
    assert await helper.get() == ALICE
    helper.now += 899
    assert await helper.get() == ALICE
    assert helper.asked == [("x", SERVER)]
    helper.now += 1
    assert await helper.get() == BOB


@pytest.mark.parametrize("life", [60.0, 7200.0])
async def test_an_answer_that_says_how_long_it_is_good_for_is_kept_for_that_long(life: float) -> None:
    lasting = Answer("alice", "secret", datetime.now(UTC) + timedelta(seconds=life))
    helper = Helper(lasting, BOB)
    assert await helper.get() == lasting
    helper.now += life - 10
    assert await helper.get() == lasting
    helper.now += 10
    assert await helper.get() == BOB


async def test_that_there_is_none_is_believed_for_half_a_minute() -> None:
    helper = Helper(None, ALICE)
    assert await helper.get() is None
    helper.now += 29
    assert await helper.get() is None
    helper.now += 1
    assert await helper.get() == ALICE


async def test_a_failure_is_the_answer_of_all_who_ask_within_five_seconds() -> None:
    helper = Helper(LOCKED, ALICE)
    errors = []
    for _ in range(3):
        with pytest.raises(RegistryError) as caught:
            await helper.get()
        errors.append(caught.value)
        helper.now += 2
    assert {(error.code, str(error)) for error in errors} == {(LOCKED.code, str(LOCKED))}
    assert len({id(error) for error in errors}) == 3, "none grows by the way of another"
    assert len(helper.asked) == 1
    assert await helper.get() == ALICE


async def test_each_helper_and_each_server_has_an_answer_of_its_own() -> None:
    helper = Helper(ALICE)
    asked = [("x", "a.example"), ("x", "b.example"), ("y", "a.example")]
    for _ in range(2):
        for name, server in asked:
            await helper.answers.get(name, server)
    assert helper.asked == asked


async def test_what_was_refused_is_asked_for_again() -> None:
    helper = Helper(ALICE, BOB)
    await helper.get()
    assert await helper.get(refused=ALICE) == BOB


async def test_an_answer_that_is_newer_than_what_was_refused_is_taken_as_it_is() -> None:
    helper = Helper(ALICE, BOB, ALICE)
    await helper.get()
    await helper.get(refused=ALICE)
    assert await helper.get(refused=ALICE) == BOB
    assert len(helper.asked) == 2


async def test_a_helper_that_insists_is_left_alone_for_five_seconds() -> None:
    helper = Helper(ALICE, ALICE, BOB)
    await helper.get()
    for _ in range(100):
        assert await helper.get(refused=ALICE) == ALICE
    assert len(helper.asked) == 2
    helper.now += 5
    assert await helper.get(refused=ALICE) == BOB


async def test_a_hundred_that_ask_at_once_ask_once() -> None:
    asked, answering = threading.Event(), threading.Event()
    calls = []

    def run(helper: str, server: str) -> Answer:
        calls.append((helper, server))
        asked.set()
        assert answering.wait(10)
        return ALICE

    answers = Answers(run, keep=900.0)
    found: list[Answer | None] = []

    async def ask() -> None:
        found.append(await answers.get("x", SERVER))

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(ask)
        await to_thread.run_sync(asked.wait, 10)
        assert not found, "the loop goes on meanwhile"
        answering.set()
    assert found == [ALICE] * 100
    assert len(calls) == 1


async def test_a_hundred_that_were_refused_at_once_ask_once_more() -> None:
    helper = Helper(ALICE, ALICE, BOB)
    await helper.get()
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(helper.get, ALICE)
    assert len(helper.asked) == 2


async def test_who_goes_away_while_a_helper_is_asked_leaves_its_answer_to_the_others() -> None:
    asked, answering = threading.Event(), threading.Event()
    calls = []

    def run(helper: str, server: str) -> Answer:
        calls.append((helper, server))
        asked.set()
        assert answering.wait(10)
        return ALICE

    answers = Answers(run, keep=900.0)
    async with anyio.create_task_group() as group:
        group.start_soon(answers.get, "x", SERVER)
        await to_thread.run_sync(asked.wait, 10)
        group.cancel_scope.cancel()
        answering.set()
    assert await answers.get("x", SERVER) == ALICE
    assert len(calls) == 1


async def test_answers_for_any_host_that_callers_name_are_not_kept_for_ever() -> None:
    helper = Helper(None)
    for number in range(2000):
        await helper.answers.get("x", f"{number}.example")
    assert len(helper.answers._known) <= 512


def test_an_answer_is_compared_as_the_credential_it_was_used_as() -> None:
    assert ALICE.credential("podman", "a") == Credential("podman", "alice", "secret", where="b")


async def test_a_helper_that_does_not_answer_holds_up_a_few_and_not_each_server_that_somebody_names() -> None:
    hangs = RegistryError(Code.REGISTRY_HELPER_TIMEOUT, "docker-credential-x", "did not answer within 10 s")
    helper = Helper(hangs)
    failures: list[RegistryError] = []

    async def ask(number: int) -> None:
        with pytest.raises(RegistryError) as caught:
            await helper.answers.get("x", f"{number}.example")
        failures.append(caught.value)

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(ask, number)
    assert len(failures) == 100
    assert {error.code for error in failures} == {Code.REGISTRY_HELPER_TIMEOUT}
    assert len(helper.asked) <= 8
    helper.outcomes = [ALICE]
    helper.now += 5
    assert await helper.get() == ALICE, "it is asked again before long"


async def test_what_it_answered_before_it_is_asked_for_though_it_did_not_answer_for_another() -> None:
    helper = Helper(ALICE, RegistryError(Code.REGISTRY_HELPER_TIMEOUT, "docker-credential-x", "did not answer"), BOB)
    assert await helper.get() == ALICE
    with pytest.raises(RegistryError):
        await helper.answers.get("x", "other.example")
    assert await helper.get(refused=ALICE) == BOB
