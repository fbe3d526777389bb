"""What a credential helper may answer, and what is made of it."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.credentials.answer import Answer, read_answer
from pushd.credentials.credential import Credential
from tests.unit.credentials.samples import SECRET

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ANSWER = {"ServerURL": "https://registry.example", "Username": "alice", "Secret": SECRET}


def read(document: object) -> Answer | None:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_answer(content, NOW)


def test_an_answer_is_a_user_and_a_password() -> None:
    answer = read(ANSWER)
    assert answer == Answer("alice", SECRET)
    assert answer.credential("podman", "x by y") == Credential("podman", "alice", SECRET)
    assert answer.credential("podman", "x by y").where == "x by y"


def test_a_user_of_that_name_says_the_secret_is_an_identity_token() -> None:
    answer = read({**ANSWER, "Username": "<token>"})
    assert answer is not None
    assert answer.credential("podman") == Credential("podman", identity_token=SECRET)


def test_names_are_taken_in_any_letter_case_and_others_passed_over() -> None:
    assert read({"username": "alice", "SECRET": SECRET, "Region": ["x"]}) == Answer("alice", SECRET)


def test_an_empty_answer_is_no_credential() -> None:
    assert read({"ServerURL": "registry.example", "Username": "", "Secret": ""}) is None
    assert read({}) is None


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        (b"", "JSON"),
        (SECRET.encode(), "JSON"),
        (b"\xff\xfe\x00", "JSON"),
        (b"[" * 100_000, "JSON"),
        ([SECRET], "JSON"),
        ({"Username": "alice"}, "without a Secret"),
        ({"Username": "alice", "Secret": ""}, "without a Secret"),
        ({"Secret": SECRET}, "without a Username"),
        ({"Username": 7, "Secret": SECRET}, "no text"),
        ({"Username": "alice", "Secret": [SECRET]}, "no text"),
        ({"Username": "alice", "Secret": "\ud800"}, "no text"),
    ],
)
def test_anything_else_is_refused_without_being_shown(document: object, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as caught:
        read(document)
    assert SECRET not in repr(caught.value)
    assert caught.value.__context__ is None


def test_the_secret_is_in_no_repr() -> None:
    assert SECRET not in repr(read(ANSWER))


@pytest.mark.parametrize(
    ("said", "expires"),
    [
        ({"ExpiresIn": 900}, NOW + timedelta(seconds=900)),
        ({"expires_in": 900}, None),
        ({"expiresIn": 0.5}, NOW + timedelta(seconds=0.5)),
        ({"ExpiresAt": "2026-01-02T04:04:05Z"}, NOW + timedelta(hours=1)),
        ({"expiresat": "2026-01-02t04:04:05.123456789z"}, NOW + timedelta(hours=1, microseconds=123456)),
        ({"EXPIRESAT": "2026-01-02T04:04:05+01:00"}, None),
        (
            {"EXPIRESAT": "2026-01-02T05:04:05+01:00"},
            datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=1))),
        ),
        ({"ExpiresAt": "2026-01-02T04:04:05Z", "ExpiresIn": 5}, NOW + timedelta(hours=1)),
    ],
)
def test_it_may_say_how_long_it_is_good_for(said: dict[str, object], expires: datetime | None) -> None:
    answer = read({**ANSWER, **said})
    assert answer is not None
    assert answer.expires_at == expires


@pytest.mark.parametrize("life", [0, -1, True, "900", None, [], 1e300, float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("at", [None, "", "soon", "2026-01-02", "2026-01-02T09:00:00", "1999-01-01T00:00:00Z", 7])
def test_a_life_that_makes_no_sense_was_not_said(life: object, at: object) -> None:
    answer = read({**ANSWER, "ExpiresIn": life, "ExpiresAt": at})
    assert answer == Answer("alice", SECRET)


@given(
    said=st.binary()
    | st.dictionaries(
        st.sampled_from(["Username", "Secret", "ExpiresIn", "ExpiresAt"]), st.text() | st.floats() | st.integers()
    ).map(lambda it: json.dumps(it).encode())
)
def test_any_answer_is_read_or_refused_as_what_it_is(said: bytes) -> None:
    answer = None
    with suppress(ValueError):
        answer = read_answer(said, NOW)
    assert answer is None or answer.secret
    assert answer is None or answer.expires_at is None or answer.expires_at > NOW
