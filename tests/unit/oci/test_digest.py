"""Digests name content exactly, or are refused."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.errors import Code, RequestError
from pushd.oci.digest import Digest

EMPTY = "sha256:" + hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize("text", [EMPTY, "sha512:" + "0a" * 64])
def test_a_registered_digest_reads_and_writes_back(text: str) -> None:
    assert str(Digest.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "algorithm:hex"),
        ("sha256", "algorithm:hex"),
        (":" + "0" * 64, "algorithm:hex"),
        ("sha256:", "algorithm:hex"),
        (" " + EMPTY, "algorithm:hex"),
        (EMPTY + "\n", "algorithm:hex"),
        ("SHA256:" + "0" * 64, "algorithm:hex"),
        ("sha256:../../etc/passwd", "algorithm:hex"),
        ("md5:" + "0" * 32, "algorithm md5"),
        ("sha256+b64:" + "0" * 64, "algorithm sha256+b64"),
        ("sha256:" + "0" * 63, "64 lower-case hexadecimal digits"),
        ("sha256:" + "0" * 65, "64 lower-case hexadecimal digits"),
        ("sha256:" + "A" * 64, "64 lower-case hexadecimal digits"),
        ("sha256:" + "g" * 64, "64 lower-case hexadecimal digits"),
        ("sha512:" + "0" * 64, "128 lower-case hexadecimal digits"),
    ],
)
def test_a_malformed_digest_is_refused_with_what_is_wrong(text: str, detail: str) -> None:
    with pytest.raises(RequestError) as caught:
        Digest.parse(text)
    assert caught.value.code is Code.REQUEST_INVALID_DIGEST
    assert caught.value.subject == repr(text)
    assert detail in caught.value.detail


@pytest.mark.parametrize("text", ["x" * 1_000_000, "a" * 1_000_000 + ":" + "0" * 64])
def test_a_huge_digest_is_refused_in_a_short_message(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        Digest.parse(text)
    assert len(str(caught.value)) < 250


def test_control_characters_of_a_digest_are_not_echoed() -> None:
    with pytest.raises(RequestError) as caught:
        Digest.parse("\x1b[2J\u202e")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_content_matches_the_digest_computed_of_it_and_no_other(algorithm: str) -> None:
    digest = Digest.of(b"layer", algorithm)
    assert digest == Digest.parse(f"{algorithm}:{hashlib.new(algorithm, b'layer').hexdigest()}")
    assert digest.matches(b"layer")
    assert not digest.matches(b"Layer")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_pieces_fed_to_a_hasher_come_to_the_digest_of_the_whole(algorithm: str) -> None:
    digest = Digest.of(b"one two", algorithm)
    hasher = digest.hasher()
    hasher.update(b"one ")
    snapshot = hasher.copy()
    hasher.update(memoryview(b"two"))
    assert hasher.hexdigest() == digest.encoded
    assert snapshot.hexdigest() == Digest.of(b"one ", algorithm).encoded


def test_digests_are_values() -> None:
    assert len({Digest.of(b"a"), Digest.of(b"a"), Digest.of(b"b")}) == 2
    assert sorted([Digest("sha512", "0"), Digest("sha256", "1"), Digest("sha256", "0")]) == [
        Digest("sha256", "0"),
        Digest("sha256", "1"),
        Digest("sha512", "0"),
    ]


@given(st.binary())
def test_the_digest_of_any_content_reads_back(content: bytes) -> None:
    digest = Digest.of(content)
    assert Digest.parse(str(digest)) == digest


@given(st.text() | st.from_regex(r"[a-z0-9]{1,8}:[a-f0-9]{0,130}", fullmatch=True))
def test_any_text_is_a_digest_or_an_invalid_one(text: str) -> None:
    read = _read(text)
    if isinstance(read, RequestError):
        assert read.code is Code.REQUEST_INVALID_DIGEST
        assert str(read).isprintable()
    else:
        assert str(read) == text


def _read(text: str) -> Digest | RequestError:
    try:
        return Digest.parse(text)
    except RequestError as error:
        return error
