from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushd.api import submission
from pushd.api.submission import fingerprint
from pushd.errors import Code, RequestError
from pushd.job import ABSENT, Compress, JobSpec, Retain, Spooled, Tags, Validate, Verify
from tests.fakes.jobs import NOON

GOOD: dict[str, Any] = {"source": "oci:/srv/app:1", "destinations": ["localhost:5000/app:1"]}


DIGEST = f"sha256:{'ab' * 32}"
SPOOLED = {"entry": "e_1-Z", "media_type": "application/vnd.oci.image.index.v1+json", "digest": DIGEST, "size": 500}


def read_submission(content: bytes) -> JobSpec:
    return submission.read_submission(content, now=NOON)[0]


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


def test_when_it_begins_what_the_tag_must_be_and_where_the_bytes_are_is_read_too() -> None:
    spec = read_submission(
        body(not_before="2026-07-02T01:30:00.5+02:00", if_tag=DIGEST, retain="spool", verify="blobs", spooled=SPOOLED)
    )

    assert spec.not_before == datetime(2026, 7, 1, 23, 30, 0, 500_000, tzinfo=UTC)
    assert spec.not_before.tzinfo is UTC
    assert (spec.if_tag, spec.retain, spec.verify) == (DIGEST, Retain.SPOOL, Verify.BLOBS)
    assert spec.spooled == Spooled(**SPOOLED)  # type: ignore[arg-type] # a table of JSON


def test_platforms_are_read_as_they_are_spelled_everywhere_each_once_and_in_order() -> None:
    spec = read_submission(body(platforms=["Linux/x86_64", "linux/arm", "linux/amd64", "linux/arm64/v8"]))

    assert spec.platforms == ("linux/amd64", "linux/arm/v7", "linux/arm64")


def test_a_request_says_how_far_the_image_is_looked_into() -> None:
    assert read_submission(body(validate="full")).validate is Validate.FULL
    assert read_submission(body(validate="digest")) == read_submission(body())
    assert fingerprint(read_submission(body(validate="digest"))) == fingerprint(read_submission(body()))


def test_a_request_says_when_tags_move() -> None:
    assert read_submission(body(tags="together")).tags is Tags.TOGETHER
    assert read_submission(body(tags="each")) == read_submission(body())
    assert fingerprint(read_submission(body(tags="each"))) == fingerprint(read_submission(body()))
    assert refused(body(tags="none")).subject == "tags"


def test_what_is_null_is_as_if_it_were_not_given() -> None:
    nothing = dict.fromkeys(("deadline", "not_before", "if_tag", "spooled"))

    assert read_submission(body(**nothing)) == read_submission(body())


@pytest.mark.parametrize("text", ["2020-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "2026-07-01T12:00:00+12:00"])
def test_a_time_in_the_past_is_fine(text: str) -> None:
    begin = read_submission(body(not_before=text)).not_before

    assert begin is not None
    assert begin <= NOON


def test_a_job_may_begin_in_a_year_but_not_later() -> None:
    latest = NOON + timedelta(days=366)

    assert read_submission(body(not_before=latest.isoformat())).not_before == latest
    error = refused(body(not_before=(latest + timedelta(seconds=1)).isoformat()))
    assert (error.subject, error.detail) == ("not_before", "must be at most 366 days ahead")


@pytest.mark.parametrize("source", ["", "  ", "app:1 out of a pipe\n"])
def test_bytes_that_are_there_already_may_be_called_anything(source: str) -> None:
    assert read_submission(body(source=source, spooled=SPOOLED)).source == source


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
        (body(verify="all\x1b[2J"), "verify", "invalid enum value 'all\\x1b[2J'"),
        (body(not_before="tomorrow"), "not_before", "invalid RFC3339 encoded datetime"),
        (body(not_before="2026-07-01"), "not_before", "invalid RFC3339 encoded datetime"),
        (body(not_before="2026-07-01T12:00:00"), "not_before", "must say its offset from UTC"),
        (body(not_before="9999-12-31T23:59:59-23:59"), "not_before", "must be at most 366 days ahead"),
        (body(not_before=1), "not_before", "expected time or null, got integer"),
        (body(if_tag="latest"), "if_tag", 'must be "absent" or a digest'),
        (body(if_tag="sha256:AB"), "if_tag", 'must be "absent" or a digest'),
        (body(if_tag=False), "if_tag", "expected string or null, got boolean"),
        (body(platforms="linux/amd64"), "platforms", "expected array, got string"),
        (body(platforms=[None]), "platforms[0]", "expected string, got null"),
        (body(platforms=["linux/amd64", "arm64"]), "platforms[1]", "must be a platform"),
        (body(platforms=["linux/amd64", " "]), "platforms[1]", "must not be empty"),
        (body(platforms=["x/" + "y" * 127]), "platforms[0]", "must be at most 128 characters"),
        (body(platforms=["linux/amd64"] * 65), "platforms", "must be at most 64, not 65"),
        (body(validate="deep"), "validate", "invalid enum value 'deep'"),
        (body(validate=None), "validate", "expected string, got null"),
        (body(retain="ram"), "retain", "invalid enum value 'ram'"),
        (body(retain=None), "retain", "expected string, got null"),
        (body(spooled="e"), "spooled", "expected object or null, got string"),
        (body(spooled={}), "spooled.entry", "is missing"),
        (body(spooled={**SPOOLED, "x": 1}), "spooled.x", "is not known here"),
        (body(spooled={**SPOOLED, "entry": "../e"}), "spooled.entry", "must be the id of a spool entry"),
        (body(spooled={**SPOOLED, "media_type": "tar\n"}), "spooled.media_type", "must be a media type"),
        (body(spooled={**SPOOLED, "digest": "sha256:1"}), "spooled.digest", "must be a digest"),
        (body(spooled={**SPOOLED, "size": "1"}), "spooled.size", "expected integer, got string"),
        (body(spooled={**SPOOLED, "size": -1}), "spooled.size", "must be from 1 to 4194304 bytes, as a manifest has"),
        (
            body(spooled={**SPOOLED, "size": 1 << 63}),
            "spooled.size",
            "must be from 1 to 4194304 bytes, as a manifest has",
        ),
        (body(source="x" * 8193, spooled=SPOOLED), "source", "must be at most 8192 characters"),
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
    assert refused(body(x=1)).hint == (
        "known are source, destinations, priority, labels, deadline, verify, not_before, if_tag, retain, spooled, "
        "platforms, validate, compress, tags, with_referrers, credential, credentials"
    )
    assert refused(body(spooled={**SPOOLED, "mediaType": ""})).hint == "did you mean media_type?"


def test_a_field_named_like_a_message_about_another_is_refused_all_the_same() -> None:
    assert refused(body(**{"x` - at `$.y": 1})).detail == "is not known here"


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
        st.sampled_from([*JobSpec.__dataclass_fields__, "credentials", "x"]),
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
    "change",
    [
        {"source": "z"},
        {"destinations": ["z"]},
        {"priority": 1},
        {"labels": {"a": ""}},
        {"deadline": 1},
        {"verify": "blobs"},
        {"not_before": "2020-01-01T00:00:00Z"},
        {"if_tag": "absent"},
        {"retain": "spool"},
        {"platforms": ["linux/amd64"]},
        {"validate": "full"},
        {"compress": "gzip"},
        {"compress": "default"},
        {"tags": "together"},
        {"with_referrers": True},
        {"credential": "daemon"},
        {"credential": "work"},
    ],
)
def test_a_request_that_differs_in_any_field_has_another_fingerprint(change: dict[str, Any]) -> None:
    assert fingerprint(read_submission(body(**change))) != fingerprint(read_submission(body()))


def test_a_request_that_leaves_it_to_its_source_is_the_same_whether_it_says_so_or_not() -> None:
    assert fingerprint(read_submission(body(compress="auto"))) == fingerprint(read_submission(body()))
    assert fingerprint(read_submission(body(compress="none"))) != fingerprint(read_submission(body()))
    assert read_submission(body(compress="zstd")).compress is Compress.ZSTD
    assert refused(body(compress="lz4")).subject == "compress"


def test_what_refers_to_the_image_goes_along_only_where_that_is_asked_for() -> None:
    assert read_submission(body(with_referrers=True)).with_referrers
    assert read_submission(body(with_referrers=False)) == read_submission(body())
    assert fingerprint(read_submission(body(with_referrers=False))) == fingerprint(read_submission(body()))
    assert refused(body(with_referrers="yes")).subject == "with_referrers"


def test_what_refers_to_an_image_in_the_spool_is_listed_in_a_document_there() -> None:
    spec = read_submission(body(spooled={**SPOOLED, "referrers": DIGEST}))
    assert spec.spooled is not None
    assert spec.spooled.referrers == DIGEST
    assert refused(body(spooled={**SPOOLED, "referrers": "index.json"})).subject == "spooled.referrers"


def test_a_request_for_the_same_platforms_is_the_same_request_however_they_are_spelled() -> None:
    asked = [["linux/arm64", "linux/amd64"], ["linux/x86_64", "linux/aarch64", "linux/amd64"]]

    assert len({fingerprint(read_submission(body(platforms=platforms))) for platforms in asked}) == 1
    assert fingerprint(read_submission(body(platforms=[]))) == fingerprint(read_submission(body()))


def test_a_request_asked_again_with_its_bytes_brought_again_is_the_same_request() -> None:
    first, again = ({**SPOOLED, "entry": entry} for entry in ("one", "two"))

    prints = {fingerprint(read_submission(body(spooled=spooled))) for spooled in (first, again)}

    assert len(prints) == 1


def test_a_request_asked_again_with_other_credentials_is_the_same_request() -> None:
    asked = [[], [{"registry": "a.b", "registry_token": "t"}], [{"registry": "a.b", "username": "u", "password": "p"}]]

    prints = {fingerprint(read_submission(body(credentials=credentials))) for credentials in asked}

    assert prints == {fingerprint(read_submission(body()))}


def test_a_request_repeated_to_a_newer_daemon_is_the_same_request() -> None:
    whole = read_submission(
        body(
            priority=-3,
            labels={"b": "2", "a": "ü"},
            deadline=90,
            verify="blobs",
            not_before="2026-07-02T01:30:00.5+02:00",
            if_tag=ABSENT,
            retain="spool",
        )
    )

    # As version 0.1.0 had them before there were credentials. They are in databases: they never change.
    assert fingerprint(read_submission(body())).hex() == (
        "13087c3b8b8a9bbf6ab3584482176b4bf9ca47816742c4e8b2b03d4dbee0dd54"
    )
    assert fingerprint(whole).hex() == "3bbd3167437339b8f39b6d29a7dac1a5e4bb4ad56c66bfc7e9e5f7a0b7591786"


def test_what_the_destinations_are_spoken_to_with_is_read_and_what_is_handed_over_is_beside_it() -> None:
    content = body(credentials=[{"registry": "A.B:5000/team", "username": "u", "password": "p"}])

    spec, handed = submission.read_submission(content, now=NOON)

    assert spec == read_submission(body())
    assert [each.scope for each in handed] == ["a.b:5000/team"]
    assert read_submission(body(credential="work")).credential == "work"
    assert read_submission(body()).credential == "auto"


@pytest.mark.parametrize(
    ("changes", "field", "detail"),
    [
        ({"credential": ""}, "credential", "must be auto, daemon, anonymous, or the name of a login"),
        ({"credential": "-x"}, "credential", "must be auto, daemon, anonymous, or the name of a login"),
        ({"credential": None}, "credential", "expected string, got null"),
        ({"credentials": None}, "credentials", "expected array, got null"),
        ({"credentials": {}}, "credentials", "expected array, got object"),
        ({"credentials": ["a"]}, "credentials[0]", "expected object, got string"),
        ({"credentials": [{"username": "u"}]}, "credentials[0].registry", "is missing"),
        (
            {"credentials": [{"registry": "a.b"}]},
            "credentials[0]",
            "must have username and password, or identity_token",
        ),
        ({"credentials": [{"registry": "a.b", "passwort": "p"}]}, "credentials[0].passwort", "is not known here"),
    ],
)
def test_wrong_credentials_are_refused_by_name(changes: dict[str, Any], field: str, detail: str) -> None:
    error = refused(body(**changes))

    assert (error.subject, error.detail[: len(detail)]) == (field, detail)


def test_who_mistypes_a_field_of_a_credential_is_told_the_right_one() -> None:
    assert refused(body(credentials=[{"registry": "a.b", "passwort": "p"}])).hint == "did you mean password?"


def test_one_moment_written_with_two_offsets_is_the_same_request() -> None:
    times = ("2020-01-01T00:00:00Z", "2020-01-01T02:00:00.000+02:00")

    assert len({fingerprint(read_submission(body(not_before=time))) for time in times}) == 1
