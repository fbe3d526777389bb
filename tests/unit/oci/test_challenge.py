"""`WWW-Authenticate` as registries and the proxies before them really send it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.oci.challenge import Challenge, parse_challenges

BEARER = 'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:team/app:pull,push"'


def test_a_bearer_challenge_gives_realm_service_and_scope() -> None:
    assert parse_challenges([BEARER]) == (
        Challenge(
            "bearer",
            {
                "realm": "https://auth.example/token",
                "service": "registry.example",
                "scope": "repository:team/app:pull,push",
            },
        ),
    )


def test_several_challenges_in_one_header_are_told_apart() -> None:
    assert parse_challenges([f'Negotiate, {BEARER}, Basic realm="x"']) == (
        Challenge("negotiate", {}),
        *parse_challenges([BEARER]),
        Challenge("basic", {"realm": "x"}),
    )


def test_several_headers_are_read_in_order() -> None:
    assert [challenge.scheme for challenge in parse_challenges(['Basic realm="a"', BEARER])] == ["basic", "bearer"]


def test_scheme_and_parameter_names_are_lower_cased_and_values_are_kept() -> None:
    assert parse_challenges(['BEARER Realm="https://A.example/T"']) == (
        Challenge("bearer", {"realm": "https://A.example/T"}),
    )


@pytest.mark.parametrize(
    ("header", "parameters"),
    [
        ('Basic realm="a \\"b\\" \\\\ c"', {"realm": 'a "b" \\ c'}),
        ('Basic realm="a, b=c, Digest x=y"', {"realm": "a, b=c, Digest x=y"}),
        ('Basic realm=""', {"realm": ""}),
        ("Basic realm=token", {"realm": "token"}),
        ("Basic realm=https://auth.example/token?a=b", {"realm": "https://auth.example/token?a=b"}),
        ('Basic realm = "a" , service\t=\tb', {"realm": "a", "service": "b"}),
        ('Basic ,, realm="a",, service=b,,', {"realm": "a", "service": "b"}),
        ('Basic realm="a" service="b"', {"realm": "a", "service": "b"}),
        ('Basic realm="a", realm="b"', {"realm": "a"}),
        ("Basic", {}),
        ("Basic    ", {}),
    ],
    ids=str,
)
def test_odd_spelling_is_understood(header: str, parameters: dict[str, str]) -> None:
    assert parse_challenges([header]) == (Challenge("basic", parameters),)


@pytest.mark.parametrize("token", ["abc==", "YII/+~_-.", "x"])
def test_a_token68_belongs_to_its_scheme_and_is_no_parameter(token: str) -> None:
    assert parse_challenges([f'Negotiate {token}, Basic realm="x"']) == (
        Challenge("negotiate", {}),
        Challenge("basic", {"realm": "x"}),
    )


@pytest.mark.parametrize("header", ["", " , ,", '"Basic realm=x"', 'realm="x"', "=", "@@@, ///", '"', "\x00"])
def test_garbage_is_skipped(header: str) -> None:
    assert parse_challenges([header]) == ()


def test_a_challenge_after_garbage_is_found() -> None:
    assert parse_challenges(['@@ "a, b", realm="lost", Basic realm="x"']) == (Challenge("basic", {"realm": "x"}),)


def test_a_quote_that_never_closes_takes_its_parameter_with_it() -> None:
    """Half a realm must not be asked for a token."""
    assert parse_challenges(['Bearer service="s", realm="https://auth.example/tok']) == (
        Challenge("bearer", {"service": "s"}),
    )


@given(st.lists(st.text(alphabet=st.sampled_from('Basic realm="x",\\ =\t/+é\x00')), max_size=3))
def test_nothing_a_header_says_is_an_error(headers: list[str]) -> None:
    for challenge in parse_challenges(headers):
        assert challenge.scheme
        assert challenge.scheme == challenge.scheme.lower()


_TOKEN = st.from_regex(r"[a-z][a-z0-9!#$%&'*+.^_`|~-]*", fullmatch=True)
_VALUE = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]))
_CHALLENGE = st.builds(Challenge, _TOKEN, st.dictionaries(_TOKEN, _VALUE, max_size=4))


def _written(challenge: Challenge) -> str:
    pairs = (
        '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"'))
        for name, value in challenge.parameters.items()
    )
    return f"{challenge.scheme} {', '.join(pairs)}".rstrip()


@given(st.lists(_CHALLENGE, max_size=4))
def test_challenges_written_by_the_rules_read_back_in_one_header_and_in_many(challenges: list[Challenge]) -> None:
    written = [_written(challenge) for challenge in challenges]
    assert parse_challenges(written) == tuple(challenges)
    assert parse_challenges([", ".join(written)]) == tuple(challenges)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ['a="', "a=", "a ", "a=,", '"\\', "a/", "a \t"])
def test_a_hostile_header_is_read_in_linear_time(piece: str) -> None:
    assert isinstance(parse_challenges([piece * 100_000]), tuple)
