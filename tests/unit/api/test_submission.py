from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushd.api.submission import fingerprint, read_submission
from pushd.errors import Code, RequestError
from pushd.job import JobSpec

GOOD: dict[str, Any] = {"source": "oci:/srv/app:1", "destinations": ["localhost:5000/app:1"]}


def body(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def refused(content: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read_submission(content)
    assert caught.value.code is Code.REQUEST_MALFORMED
    return caught.value


def test_the_least_submission_has_the_documented_defaults() -> None:
    assert read_submission(body()) == JobSpec(
        source="oci:/srv/app:1", destinations=("localhost:5000/app:1",), priority=0, labels={}, deadline=None
    )


def test_a_whole_submission_is_read_field_by_field() -> None:
    spec = read_submission(
        body(destinations=["a/b", "c/d"], priority=-3, labels={"build": "47 11\n", "ci/stage": ""}, deadline=90)
    )

    assert spec.destinations == ("a/b", "c/d")
    assert (spec.priority, spec.labels, spec.deadline) == (-3, {"build": "47 11\n", "ci/stage": ""}, 90.0)


@pytest.mark.parametrize(
    ("content", "field", "detail"),
    [
        (b'{"destinations": ["a"]}', "source", "is missing"),
        (b'{"source": "x"}', "destinations", "is missing"),
        (body(source=1), "source", "expected string, got integer"),
        (body(source=" "), "source", "must not be empty"),
        (body(source="x" * 8193), "source", "must be at most 8192 characters"),
        (body(destinations=["a" * 1025]), "destinations[0]", "must be at most 1024 characters"),
        (body(destinations="a/b"), "destinations", "expected array, got string"),
        (body(destinations=[]), "destinations", "must be 1 to 64 references, not 0"),
        (body(destinations=["a"] * 65), "destinations", "must be 1 to 64 references, not 65"),
        (body(destinations=["a", 1]), "destinations[1]", "expected string, got integer"),
        (body(destinations=["a", ""]), "destinations[1]", "must not be empty"),
        (body(priority=1.5), "priority", "expected integer, got number"),
        (body(priority=True), "priority", "expected integer, got boolean"),
        (body(priority=10**30), "priority", "must be from -1000 to 1000"),
        (body(priority=1001), "priority", "must be from -1000 to 1000"),
        (body(labels=[]), "labels", "expected object, got array"),
        (body(labels={"a": 1}), "labels[...]", "expected string, got integer"),
        (body(labels={str(n): "" for n in range(65)}), "labels", "must be at most 64, not 65"),
        (body(labels={"a": "ü" * 513}), "labels.a", "must be at most 1024 bytes"),
        (body(deadline="1h"), "deadline", "expected number or null, got string"),
        (body(deadline=0), "deadline", "must be more than 0 and at most 31622400 seconds"),
        (body(deadline=1e300), "deadline", "must be more than 0 and at most 31622400 seconds"),
        (b"[]", "body", "expected object, got array"),
        (b'{"source": "a", "source": "b", "destinations": ["c"]}', "source", "is given 2 times"),
        (b'{"source": "a", "destinations": ["c"], "labels": {"k": "1", "k": "2"}}', "k", "is given 2 times"),
    ],
)
def test_a_wrong_field_is_refused_by_name(content: bytes, field: str, detail: str) -> None:
    error = refused(content)

    assert (error.subject, error.detail) == (field, detail)


@pytest.mark.parametrize("key", ["", "a=b", "-a", "a" * 64, "ä", "a\n"])
def test_a_label_with_an_odd_name_is_refused(key: str) -> None:
    assert refused(body(labels={key: ""})).detail.startswith("must be named with 1 to 63 letters")


def test_an_unknown_field_is_refused_and_the_nearest_known_one_named() -> None:
    error = refused(body(destination="a"))

    assert (error.subject, error.hint) == ("destination", "did you mean destinations?")
    assert refused(body(x=1)).hint == "known are source, destinations, priority, labels, deadline, verify"


def test_a_hostile_field_name_reaches_no_terminal_raw_and_is_cut() -> None:
    error = refused(body(**{"\x1b[31m`\n" + "x" * 500: 1}))

    assert str(error).isprintable()
    assert len(error.subject) == 80


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"source=oci:/x",
        b'{"source": NaN}',
        b'{"source": "a", "destinations": ["b"], "deadline": 1e999}',
        b'{"source": "a", "destinations": ["b"], "deadline": Infinity}',
        b'{"source": "\\ud800", "destinations": ["b"]}',
        b'{"source": "\xff", "destinations": ["b"]}',
        b'\xef\xbb\xbf{"source": "a", "destinations": ["b"]}',
        '{"source": "a", "destinations": ["b"]}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"source":' * 100_000,
        b'{"source": "a", "destinations": ["b"], "x": ' + b"[" * 100_000,
        b'{"source": "a", "destinations": ["b"], "priority": ' + b"9" * 5000 + b"}",
        b'{"source": "a", "destinations": ["b"]} {}',
    ],
)
def test_what_is_not_one_json_object_in_utf8_is_refused(content: bytes) -> None:
    assert str(refused(content))


@given(st.binary())
def test_no_bytes_at_all_are_anything_but_a_submission_or_malformed(content: bytes) -> None:
    refused(content)


# The first text drawn loads Unicode's tables, which takes a second on a busy machine.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["source", "destinations", "priority", "labels", "deadline", "x"]),
        st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=3)
        | st.dictionaries(st.text(), st.text()),
    )
)
def test_no_json_at_all_is_anything_but_a_submission_or_malformed(document: dict[str, Any]) -> None:
    content = json.dumps({**GOOD, **document}).encode()
    try:
        spec = read_submission(content)
    except RequestError:
        refused(content)
    else:
        assert spec.source == document.get("source", GOOD["source"])


def test_equal_requests_have_equal_fingerprints_however_they_are_written() -> None:
    one = read_submission(b'{"source":"a","destinations":["b"],"labels":{"x":"1","y":"2"}}')
    two = read_submission(b'{ "labels": {"y":"2","x":"1"}, "destinations": ["b"], "priority": 0, "source":"a"}')

    assert fingerprint(one) == fingerprint(two)


@pytest.mark.parametrize(
    "change", [{"source": "z"}, {"destinations": ["z"]}, {"priority": 1}, {"labels": {"a": ""}}, {"deadline": 1}]
)
def test_a_request_that_differs_in_any_field_has_another_fingerprint(change: dict[str, Any]) -> None:
    assert fingerprint(read_submission(body(**change))) != fingerprint(read_submission(body()))
