from __future__ import annotations

import json
import traceback
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from pushd.api.credentials import Given, login_name, read_credential, read_credentials
from pushd.api.fields import read_fields
from pushd.api.submission import read_submission
from pushd.credentials.credential import Credential
from pushd.errors import Code, RequestError
from pushd.job import AUTO
from pushd.work import Handed
from tests.fakes.jobs import NOON

CANARY = "hunter2-canary"
BASIC = {"registry": "a.b", "username": "u", "password": "p"}
DECODER = msgspec.json.Decoder(Given)


def read(**fields: Any) -> Handed:
    """Read a credential that is a body of its own."""
    found = read_fields(json.dumps({"registry": "a.b", **fields}).encode(), DECODER)
    return read_credential(found, source="login", now=NOON)


def refused(**fields: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read(**fields)
    return caught.value


def read_all(*documents: dict[str, Any], choice: str = AUTO) -> tuple[Handed, ...]:
    return read_credentials([msgspec.convert(each, Given) for each in documents], choice, now=NOON)


def trace(error: BaseException) -> str:
    """All that a log could come to say of an error, whatever it was raised from."""
    said = []
    while True:
        said += [*traceback.format_exception(error), repr(error), repr(vars(error)), str(error)]
        if error.__context__ is None:
            return "".join(said)
        error = error.__context__


# ------------------------------------------------------------------------------------------------------ what they are


def test_a_user_name_and_password_are_for_a_registry_until_the_job_ends() -> None:
    assert read(username="u", password="p") == Handed(scope="a.b", credential=Credential("login", "u", "p"))


@pytest.mark.parametrize(
    ("fields", "credential"),
    [
        ({"identity_token": "t"}, Credential("login", identity_token="t")),
        ({"identity_token": "t", "username": "<token>"}, Credential("login", "<token>", identity_token="t")),
        ({"identity_token": "t", "username": "urn:x"}, Credential("login", "urn:x", identity_token="t")),
        ({"registry_token": "a.b-c_d~e+f/g="}, Credential("login", registry_token="a.b-c_d~e+f/g=")),
        ({"username": "Zoë $oauth2 robot", "password": "p: ü\t "}, Credential("login", "Zoë $oauth2 robot", "p: ü\t ")),
    ],
)
def test_a_token_may_be_in_their_place(fields: dict[str, str], credential: Credential) -> None:
    assert read(**fields).credential == credential


@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_a_password_may_be_a_key_file_of_several_lines(line: str) -> None:
    # `docker login -u _json_key --password-stdin < key.json`, as Google has it, keeps all but the last line break.
    key = line.join(["{", '  "type": "service_account",', '  "private_key": "-----BEGIN PRIVATE KEY-----"', "}"])
    assert read(username="_json_key", password=key).credential.password == key


def test_what_it_is_for_is_normalised_as_references_are() -> None:
    assert read(registry="Index.Docker.IO/team", registry_token="t").scope == "docker.io/team"


def test_it_may_be_forgotten_earlier() -> None:
    assert read(**BASIC, expires_in=90.5).expires_at == NOON + timedelta(seconds=90.5)
    assert read(**BASIC, expires_in=None).expires_at is None


def test_the_longest_secret_is_taken() -> None:
    assert len(read(registry_token="t" * 16384).credential.registry_token) == 16384
    assert len(read(username="ü" * 255, password="ü" * 8192).credential.password) == 8192


# --------------------------------------------------------------------------------------------------- what they are not

FORMS = "must have username and password, or identity_token, or registry_token"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"username": "u"},
        {"password": CANARY},
        {"username": "u", "password": "p", "identity_token": CANARY},
        {"identity_token": CANARY, "registry_token": CANARY},
        {"identity_token": CANARY, "password": CANARY},
        {"username": "u", "registry_token": CANARY},
        {"username": "", "password": "", "registry_token": CANARY},
    ],
)
def test_a_credential_has_one_form(fields: dict[str, str]) -> None:
    error = refused(**fields)

    assert (error.code, error.subject, error.detail) == (Code.REQUEST_MALFORMED, "body", FORMS)


@pytest.mark.parametrize(
    ("fields", "field", "detail"),
    [
        ({"username": "", "password": "p"}, "username", "must be 1 to 255 characters"),
        ({"username": "u" * 256, "password": "p"}, "username", "must be 1 to 255 characters"),
        ({"username": "u\x00", "password": "p"}, "username", "must be 1 to 255 characters"),
        ({"username": "u\x7f", "identity_token": "t"}, "username", "must be 1 to 255 characters"),
        ({"username": "u\n", "password": "p"}, "username", "must be 1 to 255 characters"),
        ({"username": "u:v", "password": "p"}, "username", "must have no colon"),
        ({"username": "u", "password": ""}, "password", "must not be empty"),
        ({"username": "u", "password": "p\n"}, "password", "must not end with a line break, and have no NUL"),
        ({"username": "u", "password": "p\r\n"}, "password", "must not end with a line break, and have no NUL"),
        ({"username": "u", "password": "\x00"}, "password", "must not end with a line break, and have no NUL"),
        ({"username": "u", "password": "ü" * 8193}, "password", "must be at most 16384 bytes"),
        ({"identity_token": ""}, "identity_token", "must not be empty"),
        ({"identity_token": "t" * 16385}, "identity_token", "must be at most 16384 bytes"),
        ({"registry_token": ""}, "registry_token", "must not be empty"),
        ({"registry_token": "a b"}, "registry_token", "must be visible ASCII characters"),
        ({"registry_token": "tü"}, "registry_token", "must be visible ASCII characters"),
        ({"registry_token": "t", "expires_in": 0}, "expires_in", "must be more than 0 and at most 31622400 seconds"),
        (
            {"registry_token": "t", "expires_in": 1e300},
            "expires_in",
            "must be more than 0 and at most 31622400 seconds",
        ),
        ({"registry_token": "t", "expires_in": "1h"}, "expires_in", "expected number or null, got string"),
        ({"username": None, "password": "p"}, "username", "expected string, got null"),
        ({"registry_token": "t", "auth": "x"}, "auth", "is not known here"),
    ],
)
def test_a_wrong_field_is_refused_by_name(fields: dict[str, Any], field: str, detail: str) -> None:
    error = refused(**fields)

    assert (error.code, error.subject) == (Code.REQUEST_MALFORMED, field)
    assert error.detail.startswith(detail)


def test_a_registry_that_is_none_is_refused_by_name() -> None:
    error = refused(registry="team/app", registry_token="t")

    assert (error.code, error.subject) == (Code.REQUEST_INVALID_REFERENCE, "registry")


def test_each_of_several_has_its_place_in_what_is_said_of_it() -> None:
    with pytest.raises(RequestError) as caught:
        read_all(BASIC, {"registry": "c.d", "username": "u:v", "password": "p"})
    assert caught.value.subject == "credentials[1].username"
    with pytest.raises(RequestError) as caught:
        read_all(BASIC, {"registry": "c", "registry_token": "t"})
    assert caught.value.subject == "credentials[1].registry"
    with pytest.raises(RequestError) as caught:
        read_all({"registry": "c.d"})
    assert (caught.value.subject, caught.value.detail) == ("credentials[0]", FORMS)


def test_two_for_the_same_are_refused_however_they_are_written() -> None:
    with pytest.raises(RequestError) as caught:
        read_all(BASIC, {**BASIC, "registry": "c.d"}, {"registry": "A.B", "registry_token": "t"})

    assert (caught.value.code, caught.value.subject, caught.value.detail) == (
        Code.REQUEST_MALFORMED,
        "credentials[2].registry",
        "is that of credentials[0]",
    )


def test_one_for_a_registry_and_one_for_a_part_of_it_go_together() -> None:
    handed = read_all(BASIC, {**BASIC, "registry": "a.b/team"}, {**BASIC, "registry": "a.b/team/app"})

    assert [each.scope for each in handed] == ["a.b", "a.b/team", "a.b/team/app"]
    assert {each.credential.source for each in handed} == {"caller"}


def test_as_many_come_as_there_may_be_destinations_and_no_more() -> None:
    many = [{"registry": f"a.b/{number}", "registry_token": "t"} for number in range(65)]

    assert len(read_all(*many[:64])) == 64
    with pytest.raises(RequestError) as caught:
        read_all(*many)
    assert (caught.value.subject, caught.value.detail) == ("credentials", "must be at most 64, not 65")


@pytest.mark.parametrize("choice", ["daemon", "anonymous", "work"])
def test_what_is_handed_over_counts_only_where_nothing_else_is_chosen(choice: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_all(BASIC, choice=choice)

    assert (caught.value.code, caught.value.subject) == (Code.REQUEST_MALFORMED, "credentials")
    assert read_all(choice=choice) == ()


@pytest.mark.parametrize("name", ["a", "work", "4711", "Work.at_home:2-b", "x" * 128, "Auto", "autos"])
def test_a_login_has_a_plain_name(name: str) -> None:
    assert login_name(name) == name
    assert read_all(choice=name) == ()


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "ä", "a\n", "a\x00", "x" * 129, "%ff"])
def test_a_login_with_an_odd_name_is_refused(name: str) -> None:
    with pytest.raises(RequestError) as caught:
        login_name(name)
    assert (caught.value.code, caught.value.subject) == (Code.REQUEST_MALFORMED, "name")
    with pytest.raises(RequestError) as caught:
        read_all(choice=name)
    assert (caught.value.code, caught.value.subject) == (Code.REQUEST_MALFORMED, "credential")


@pytest.mark.parametrize("word", ["auto", "daemon", "anonymous"])
def test_no_login_is_called_like_a_choice(word: str) -> None:
    with pytest.raises(RequestError) as caught:
        login_name(word)

    assert (caught.value.code, caught.value.subject) == (Code.REQUEST_MALFORMED, "name")


# --------------------------------------------------------------------------------------------------- nothing shows them

SECRETS = ("password", "identity_token", "registry_token")
SPOILT: list[Any] = [
    f"{CANARY}\n",
    f"\x00{CANARY}",
    CANARY * 2000,
    {CANARY: CANARY},
    [CANARY],
    {"password": CANARY},
]


def submitted(*credentials: Any, **fields: Any) -> bytes:
    return json.dumps({"source": "oci:/x", "destinations": ["a.b/c"], "credentials": credentials, **fields}).encode()


def test_a_credential_is_shown_by_nothing() -> None:
    given = Given(registry=CANARY, username=CANARY, password=CANARY, identity_token=CANARY, registry_token=CANARY)

    assert repr(given) == str(given) == "Given(...)"
    assert list(given.__rich_repr__()) == []
    assert CANARY not in repr(read(registry_token=CANARY))


@pytest.mark.parametrize("name", [*SECRETS, "username", "registry", "expires_in"])
@pytest.mark.parametrize("value", SPOILT, ids=range(len(SPOILT)))
def test_no_value_is_in_what_is_said_of_it(name: str, value: Any) -> None:
    credential = {"registry": "a.b", "username": "u", "password": CANARY, name: value}
    with pytest.raises(RequestError) as caught:
        read_submission(submitted(credential), now=NOON)

    assert CANARY not in trace(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        submitted({**BASIC, "password": CANARY}, credential="daemon"),
        submitted({**BASIC, "password": CANARY}, {**BASIC, "password": CANARY}),
        submitted(*[{**BASIC, "password": CANARY}] * 65),
        submitted({**BASIC, "password": CANARY}, x=1),
        submitted({**BASIC, "password": CANARY}, CANARY),
        submitted({"registry": f"https://u:{CANARY}@a.b", "registry_token": "t"}),
        submitted({**BASIC, "password": CANARY}).replace(b'"password"', b'"username"'),
        submitted({**BASIC, "password": CANARY}) + b"x",
        submitted({**BASIC, "password": CANARY})[:-2],
        submitted({**BASIC, "password": CANARY}).replace(CANARY.encode(), CANARY.encode() + b"\xff"),
        submitted({**BASIC, "password": CANARY}).replace(CANARY.encode(), CANARY.encode() + b"\\ud800"),
        submitted({**BASIC, "password": CANARY}).replace(CANARY.encode(), CANARY.encode() + b"\n"),
        submitted({**BASIC, "password": CANARY}).decode().encode("utf-16"),
        submitted({**BASIC, "password": CANARY}, priority=10**400),
    ],
)
def test_no_secret_is_in_what_is_said_of_its_body(content: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        read_submission(content, now=NOON)

    assert caught.value.code in (Code.REQUEST_MALFORMED, Code.REQUEST_INVALID_REFERENCE)
    assert CANARY not in trace(caught.value)


@drawn(
    st.dictionaries(
        st.sampled_from([*Given.__struct_fields__, "x"]),
        st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.lists(st.text(), max_size=2),
    )
)
def test_no_json_at_all_is_anything_but_a_credential_or_refused(document: dict[str, Any]) -> None:
    try:
        handed = read(**document)
    except RequestError:
        assert str(refused(**document)).isprintable()
    else:
        assert handed.scope
