from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.api import parameters
from pushd.api.parameters import Subscription
from pushd.errors import Code, RequestError
from pushd.job import JobState
from pushd.work import JobQuery

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_list_without_parameters_is_a_hundred_jobs_of_any_state() -> None:
    assert parameters.page([]) == JobQuery(states=frozenset(), limit=100)


def test_states_add_up() -> None:
    query = [("state", "failed"), ("state", "partial"), ("after", "abc-_9"), ("limit", "1000")]

    assert parameters.page(query) == JobQuery(
        states=frozenset({JobState.FAILED, JobState.PARTIAL}), after="abc-_9", limit=1000
    )


def test_labels_add_up_and_a_value_may_be_anything() -> None:
    query = [("label", "build=47=11\n"), ("label", "stage="), ("label", "stage=")]

    assert parameters.page(query).labels == {"build": "47=11\n", "stage": ""}


def test_a_registry_is_meant_as_references_mean_it() -> None:
    assert parameters.page([("registry", "Registry.example.COM:5000")]).registry == "registry.example.com:5000"
    assert parameters.page([("registry", "index.docker.io")]).registry == "docker.io"


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ([("state", "done")], "state"),
        ([("limit", "0")], "limit"),
        ([("limit", "1001")], "limit"),
        ([("limit", "-1")], "limit"),
        ([("limit", "1_0")], "limit"),
        ([("limit", "\N{FULLWIDTH DIGIT ONE}")], "limit"),
        ([("limit", "9" * 5000)], "limit"),
        ([("limit", "1"), ("limit", "2")], "limit"),
        ([("label", "build")], "label"),
        ([("label", "=1")], "label"),
        ([("label", "a" * 64 + "=1")], "label"),
        ([("label", "a=" + "1" * 1025)], "label"),
        ([("label", "a=1"), ("label", "a=2")], "label"),
        ([("label", f"a{number}=1") for number in range(65)], "label"),
        ([("stat", "failed")], "query"),
    ],
)
def test_a_wrong_parameter_of_a_list_is_named(query: list[tuple[str, str]], name: str) -> None:
    with pytest.raises(RequestError) as caught:
        parameters.page(query)

    assert (caught.value.code, caught.value.subject) == (Code.REQUEST_MALFORMED, name)


def test_an_unknown_parameter_is_told_which_are_known() -> None:
    with pytest.raises(RequestError, match="known here: state, label, registry, after, limit"):
        parameters.page([("x", "")])
    with pytest.raises(RequestError, match="there are none here"):
        parameters.nothing([("x", "")])


def test_events_are_told_from_the_first_and_go_on_unless_asked_otherwise() -> None:
    query = [("after", "7"), ("job", "x"), ("follow", "0"), ("stream", "s")]

    assert parameters.subscription([]) == Subscription(0, None, follow=True, stream=None)
    assert parameters.subscription(query) == Subscription(7, "x", follow=False, stream="s")


def test_what_a_reader_saw_last_counts_more_than_where_it_once_began() -> None:
    assert parameters.subscription([("after", "7")], ["9"]).after == 9


@pytest.mark.parametrize("ids", [[""], ["x"], ["-1"], ["1", "1"]])
def test_a_last_id_that_is_none_is_refused_by_name(ids: list[str]) -> None:
    with pytest.raises(RequestError) as caught:
        parameters.subscription([], ids)

    assert (caught.value.code, caught.value.subject) == (Code.REQUEST_MALFORMED, "Last-Event-ID")


@pytest.mark.parametrize(
    ("name", "value"), [("follow", "yes"), ("after", "-1"), ("after", str(2**63)), ("stream", ""), ("stream", "a b")]
)
def test_a_wrong_parameter_of_events_is_named(name: str, value: str) -> None:
    with pytest.raises(RequestError) as caught:
        parameters.subscription([(name, value)])

    assert (caught.value.code, caught.value.subject) == (Code.REQUEST_MALFORMED, name)


@pytest.mark.parametrize(
    ("query", "seconds"),
    [([], 60.0), ([("timeout", "0")], 0.0), ([("timeout", "1.5")], 1.5), ([("timeout", "3600")], 3600.0)],
)
def test_a_long_poll_has_a_bounded_timeout(query: list[tuple[str, str]], seconds: float) -> None:
    assert parameters.timeout(query) == seconds


@pytest.mark.parametrize("text", ["", "nan", "inf", "-1", "3600.1", "1e3", " 1"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="timeout: must be from 0 to 3600 seconds"):
        parameters.timeout([("timeout", text)])


@pytest.mark.parametrize("text", ["", "a" * 65, "../x", "a\0", "é", "a b"])
def test_what_cannot_be_an_id_is_no_job(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parameters.job_id(text)

    assert caught.value.code is Code.REQUEST_NOT_FOUND


def test_an_idempotency_key_is_given_once_in_printable_ascii() -> None:
    assert parameters.idempotency_key([]) is None
    assert parameters.idempotency_key(["k" * 255]) == "k" * 255


@pytest.mark.parametrize("headers", [[""], ["k" * 256], ["ä"], ["a\tb"], ["a", "a"]])
def test_any_other_idempotency_key_is_refused(headers: list[str]) -> None:
    with pytest.raises(RequestError, match="Idempotency-Key: must be given once"):
        parameters.idempotency_key(headers)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        (["wait=10"], 10),
        (["respond-async, WAIT = 10 ; x=1"], 10),
        (['wait="5"'], 5),
        (["wait=3", "wait=4"], 3),
        (["wait=999999"], 3600),
        (["wait=0"], 0),
        (["wait=-1"], None),
        (["wait=soon"], None),
        (["wait"], None),
        (["return=minimal"], None),
    ],
)
def test_a_preference_to_wait_is_bounded_and_a_strange_one_ignored(headers: list[str], seconds: int | None) -> None:
    assert parameters.preferred_wait(headers) == seconds


@pytest.mark.parametrize(
    ("media", "charset"), [(None, None), ("application/json", None), ("application/json", "UTF-8")]
)
def test_json_may_be_said_or_left_unsaid(media: str | None, charset: str | None) -> None:
    check: Callable[[str | None, str | None], None] = parameters.check_json
    check(media, charset)


@pytest.mark.parametrize(
    ("media", "charset"),
    [("application/x-www-form-urlencoded", None), ("text/json", None), ("application/json", "latin-1")],
)
def test_a_body_that_says_it_is_something_else_is_refused(media: str, charset: str | None) -> None:
    with pytest.raises(RequestError, match="Content-Type: must"):
        parameters.check_json(media, charset)
