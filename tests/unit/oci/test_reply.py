from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.errors import Code
from pushd.oci.error_body import ErrorEntry
from pushd.oci.reply import Reply, refusal, retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def reply(status: int, *codes: str) -> Reply:
    return Reply(status, errors=tuple(ErrorEntry(code, "", "") for code in codes))


@pytest.mark.parametrize(
    ("status", "codes", "expected"),
    [
        # The status alone.
        (200, (), Code.REGISTRY_MALFORMED),
        (204, (), Code.REGISTRY_MALFORMED),
        (301, (), Code.REGISTRY_REDIRECTED),
        (307, (), Code.REGISTRY_REDIRECTED),
        (400, (), Code.REGISTRY_REFUSED),
        (401, (), Code.REGISTRY_UNAUTHORIZED),
        (403, (), Code.REGISTRY_DENIED),
        (404, (), Code.REGISTRY_NOT_FOUND),
        (405, (), Code.REGISTRY_REFUSED),
        (408, (), Code.REGISTRY_UNAVAILABLE),
        (411, (), Code.REGISTRY_REFUSED),
        (413, (), Code.REGISTRY_REFUSED),
        (416, (), Code.REGISTRY_REFUSED),
        (425, (), Code.REGISTRY_UNAVAILABLE),
        (429, (), Code.REGISTRY_THROTTLED),
        (500, (), Code.REGISTRY_UNAVAILABLE),
        (501, (), Code.REGISTRY_REFUSED),
        (502, (), Code.REGISTRY_UNAVAILABLE),
        (503, (), Code.REGISTRY_UNAVAILABLE),
        (504, (), Code.REGISTRY_UNAVAILABLE),
        (505, (), Code.REGISTRY_REFUSED),
        (507, (), Code.REGISTRY_UNAVAILABLE),
        (511, (), Code.REGISTRY_REFUSED),
        (521, (), Code.REGISTRY_UNAVAILABLE),
        # The registry's own code says more than the status.
        (400, ("NAME_INVALID",), Code.REGISTRY_NAME_INVALID),
        (404, ("NAME_INVALID",), Code.REGISTRY_NAME_INVALID),
        (400, ("DIGEST_INVALID",), Code.REGISTRY_DIGEST_MISMATCH),
        (400, ("MANIFEST_INVALID",), Code.REGISTRY_MANIFEST_INVALID),
        (400, ("MANIFEST_UNVERIFIED",), Code.REGISTRY_MANIFEST_INVALID),
        (404, ("MANIFEST_BLOB_UNKNOWN",), Code.REGISTRY_BLOB_UNKNOWN),
        (400, ("MANIFEST_BLOB_UNKNOWN",), Code.REGISTRY_BLOB_UNKNOWN),
        (404, ("BLOB_UPLOAD_UNKNOWN",), Code.REGISTRY_UPLOAD_LOST),
        (403, ("TOOMANYREQUESTS",), Code.REGISTRY_THROTTLED),
        (503, ("TOOMANYREQUESTS",), Code.REGISTRY_THROTTLED),
        # A code that says no more than the status leaves it to the status.
        (404, ("NAME_UNKNOWN",), Code.REGISTRY_NOT_FOUND),
        (401, ("UNAUTHORIZED",), Code.REGISTRY_UNAUTHORIZED),
        (403, ("DENIED",), Code.REGISTRY_DENIED),
        (405, ("UNSUPPORTED",), Code.REGISTRY_REFUSED),
        (400, ("SOMETHING_NEW",), Code.REGISTRY_REFUSED),
        # A token service that is down makes registries answer 500 with UNAUTHORIZED or DENIED in it: that passes.
        (500, ("UNAUTHORIZED",), Code.REGISTRY_UNAVAILABLE),
        (503, ("DENIED",), Code.REGISTRY_UNAVAILABLE),
        # What cannot be told from the first code is told from the next.
        (404, ("UNKNOWN", "MANIFEST_BLOB_UNKNOWN"), Code.REGISTRY_BLOB_UNKNOWN),
    ],
)
def test_a_refusal_means_what_its_code_or_else_its_status_says(
    status: int, codes: tuple[str, ...], expected: Code
) -> None:
    assert refusal(reply(status, *codes), "app", "to open an upload").code is expected


@pytest.mark.parametrize(
    "codes",
    list(itertools.permutations(["DIGEST_INVALID", "MANIFEST_INVALID", "NAME_INVALID", "TOOMANYREQUESTS"])),
)
def test_of_several_codes_the_first_decides(codes: tuple[str, ...]) -> None:
    """Never the order of a set of strings, which is another in each process."""
    assert (
        refusal(reply(404, *codes), "app", "to take it").code is refusal(reply(404, codes[0]), "app", "to take it").code
    )


def test_a_blob_that_a_manifest_lacks_decides_wherever_it_is_named() -> None:
    """distribution 2.8 names it second when its link is just written anew: it is there, or can be brought."""
    reply = Reply(400, errors=tuple(ErrorEntry(code, "", "") for code in ("DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN")))
    assert refusal(reply, "it", "to take the manifest").code is Code.REGISTRY_BLOB_UNKNOWN


def test_a_refusal_says_what_was_asked_of_what_and_what_the_registry_answered() -> None:
    answered = Reply(403, errors=(ErrorEntry("DENIED", "requested access is denied", "[]"),))
    text = str(refusal(answered, "registry.example/app", "to open an upload"))
    assert text.startswith(
        "registry.example/app: the registry answered 403 when asked to open an upload "
        "(DENIED: requested access is denied); "
    )
    assert "the credential in use may not push there" in text


def test_a_refusal_repeats_every_error_the_registry_named() -> None:
    answered = Reply(
        400, errors=(ErrorEntry("FIRST", "", ""), ErrorEntry("SECOND", "why", ""), ErrorEntry("", "so", ""))
    )
    assert refusal(answered, "app", "to take it").detail.endswith("(FIRST; SECOND: why; so)")


def test_a_refusal_without_an_error_document_quotes_the_body() -> None:
    detail = refusal(Reply(502, excerpt="Bad Gateway"), "app", "to take it").detail
    assert detail == "the registry answered 502 when asked to take it (Bad Gateway)"


def test_a_refusal_carries_the_patience_the_registry_asked_for() -> None:
    assert refusal(Reply(429, retry_after=7.0), "app", "to take it").retry_after == 7.0


def test_a_redirect_names_where_it_points_without_the_secrets_of_the_url() -> None:
    location = "https://user:canary@storage.example/blob/1?signature=canary#canary"
    detail = refusal(Reply(307, location=location), "app", "to take it").detail
    assert detail.endswith("points to https://storage.example/blob/1")
    assert "canary" not in detail


def test_a_redirect_cannot_command_the_terminal_it_is_shown_on_nor_fill_it() -> None:
    location = "https://evil.example/\x1b[2J\u202e" + "a" * 5000
    detail = refusal(Reply(301, location=location), "app", "to take it").detail
    assert detail.isprintable()
    assert len(detail) < 500


def test_a_redirect_to_nowhere_is_still_a_redirect() -> None:
    error = refusal(Reply(302), "app", "to take it")
    assert error.code is Code.REGISTRY_REDIRECTED
    assert "points" not in error.detail


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507, 520, 599])
def test_these_statuses_say_not_now(status: int) -> None:
    assert Reply(status).transient
    assert refusal(Reply(status), "app", "to take it").retryable


@pytest.mark.parametrize("status", [200, 201, 202, 204, 307, 400, 401, 403, 404, 405, 411, 413, 416, 501, 505, 511])
def test_these_statuses_do_not_say_not_now(status: int) -> None:
    assert not Reply(status).transient


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("999999999", 999999999.0),
        ("1000000000", None),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90.0),
        ("Sun, 01 Mar 2026 12:01:30 -0000", 90.0),
        ("Sun, 01 Mar 2026 14:01:30 +0200", 90.0),
        ("Sunday, 01-Mar-26 12:01:30 GMT", 90.0),
        ("Sun Mar  1 12:01:30 2026", 90.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("\u0661\u0662", None),
        ("Sun, 01 Mar 2026 12:01:30 +99999999", None),
        ("Sun, 99 Mar 2026 12:01:30 GMT", None),
        ("Sun, 01 Mar 99999 12:01:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_anything_else_is_nothing(
    header: str | None, expected: float | None
) -> None:
    assert retry_after(header, NOW) == expected


def test_retry_after_counts_a_date_from_now_in_any_zone() -> None:
    here = NOW.astimezone(timezone(timedelta(hours=9)))
    assert retry_after("Sun, 01 Mar 2026 12:00:10 GMT", here) == 10.0


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,4} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{1,9} [+-][0-9]{1,8}"))
def test_retry_after_never_fails_and_is_never_negative(header: str) -> None:
    seconds = retry_after(header, NOW)
    assert seconds is None or 0 <= seconds < float("inf")
