"""What a registry says when it refuses: the spec's errors, or whatever a proxy made of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.oci.error_body import ErrorEntry, excerpt, parse_errors

JSON = "application/json; charset=utf-8"


def _errors(*entries: object) -> bytes:
    return json.dumps({"errors": entries}).encode()


def test_the_errors_of_the_spec_are_read() -> None:
    body = _errors(
        {"code": "BLOB_UNKNOWN", "message": "blob unknown to registry", "detail": {"digest": "sha256:aa"}},
        {"code": "DENIED", "message": "requested access is denied", "detail": "quota"},
    )
    assert parse_errors(body, JSON) == (
        ErrorEntry("BLOB_UNKNOWN", "blob unknown to registry", '{"digest": "sha256:aa"}'),
        ErrorEntry("DENIED", "requested access is denied", "quota"),
    )


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/vnd.oci.error+json"])
def test_json_is_read_whatever_it_is_called(content_type: str | None) -> None:
    assert parse_errors(b' \n{"errors":[{"code":"DENIED"}]}', content_type) == (ErrorEntry("DENIED", "", ""),)


@pytest.mark.parametrize("detail", [None, "", {}, []])
def test_a_detail_that_says_nothing_is_empty(detail: object) -> None:
    assert parse_errors(_errors({"code": "DENIED", "detail": detail}), JSON) == (ErrorEntry("DENIED", "", ""),)


def test_an_entry_without_a_code_keeps_its_message() -> None:
    body = _errors({"status": 403, "message": "forbidden"})
    assert parse_errors(body, JSON) == (ErrorEntry("", "forbidden", ""),)


def test_entries_that_say_nothing_are_left_out() -> None:
    body = _errors({}, {"code": 7}, "DENIED", None, {"detail": "x"}, {"code": "DENIED"})
    assert parse_errors(body, JSON) == (ErrorEntry("DENIED", "", ""),)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"null",
        b"[]",
        b"{}",
        b'"errors"',
        b'{"errors":null}',
        b'{"errors":{"code":"DENIED"}}',
        b'{"errors":[{"code":"DENIED"}',
        b'{"errors":[{"code":"DEN\xff"}]}',
        b"\xff\xfe\x00",
        b"<html><title>502 Bad Gateway</title></html>",
        b'{"errors":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"errors":[{"code":"DENIED","detail":' + b"9" * 5_000 + b"}]}",
        b'{"errors":[{"code":"DENIED"}]}' + b" " * 65_536,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_the_specs_errors_gives_none(body: bytes) -> None:
    assert parse_errors(body, JSON) == ()


def test_a_page_that_calls_itself_html_is_not_read_as_json() -> None:
    assert parse_errors(_errors({"code": "DENIED"}), "text/html") == ()


def test_control_characters_of_a_registry_do_not_pass() -> None:
    (entry,) = parse_errors(_errors({"code": "A\x1b[2J", "message": "b\x00\nc", "detail": "\u202ed"}), JSON)
    assert entry == ErrorEntry("A[2J", "b c", "d")


def test_a_wordy_registry_is_cut_short() -> None:
    entries = parse_errors(_errors(*[{"code": "C" * 500, "message": "m" * 500, "detail": "d" * 500}] * 30), JSON)
    assert len(entries) == 8
    assert {(len(entry.code), len(entry.message), len(entry.detail)) for entry in entries} == {(64, 300, 300)}


@pytest.mark.parametrize(
    ("body", "content_type", "shown"),
    [
        (
            b"<html><head><title>413 Request\n Entity Too Large</title></head>",
            "text/html",
            "413 Request Entity Too Large",
        ),
        (b"<TITLE lang=en>Denied &amp; logged&#27;[2J</TITLE>", None, "Denied & logged[2J"),
        (b"<html><body><h1>Bad <i>Gateway</i></h1>", "text/html", "Bad"),
        (b"<html><title> </title><h1>Bad Gateway</h1>", "text/html", "Bad Gateway"),
        (b"<?xml version='1.0'?><Error><Message>Access Denied</Message>", "application/xml", "Access Denied"),
        (b"<html><body>long talk", "text/html", ""),
        (b"upstream connect error\n", "text/plain", "upstream connect error"),
        (b'{"details":"incorrect username or password"}', JSON, '{"details":"incorrect username or password"}'),
        (b"", None, ""),
        (b"\x1f\x8b\x08\x00gzip", None, ""),
        ("accès refusé".encode("latin-1"), "text/plain", "acc\ufffds refus\ufffd"),
    ],
)
def test_a_body_that_is_no_json_gives_a_line_to_read(body: bytes, content_type: str | None, shown: str) -> None:
    assert excerpt(body, content_type) == shown


def test_markup_shows_its_title_alone_because_error_pages_of_stores_quote_signatures() -> None:
    body = b"<Error><Message>Mismatch</Message><StringToSign>AWS4 canary-secret</StringToSign></Error>"
    assert excerpt(body, "application/xml") == "Mismatch"


def test_an_excerpt_is_short() -> None:
    assert excerpt(b"x" * 1_000_000, None) == "x" * 197 + "..."


@given(st.binary() | st.text().map(str.encode), st.none() | st.text())
def test_no_body_is_an_error(body: bytes, content_type: str | None) -> None:
    for entry in parse_errors(body, content_type):
        assert entry.code or entry.message
    assert excerpt(body, content_type).isprintable()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["code", "message", "detail"]), inner),
    max_leaves=10,
)


@given(_JSON)
def test_no_errors_document_is_an_error(entries: object) -> None:
    for entry in parse_errors(json.dumps({"errors": entries}).encode(), JSON):
        assert (entry.code + entry.message + entry.detail).isprintable()


@pytest.mark.timeout(5)
@pytest.mark.parametrize("piece", [b"<title", b"<title>", b"<title ", b"<h1>", b"< "])
def test_a_hostile_page_is_read_in_linear_time(piece: bytes) -> None:
    assert isinstance(excerpt(piece * 500_000, "text/html"), str)
