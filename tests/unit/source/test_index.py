from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.errors import Code, SourceError
from pushd.oci.digest import Digest
from pushd.source.index import CONTAINERD_NAME, REF_NAME, check_marker, choose, parse_index
from tests.fakes.images import INDEX, MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


WHERE = "index.json in /srv/app"


def listed(content: str, name: str | None = None, media_type: str = MANIFEST, **more: object) -> dict[str, Any]:
    entry: dict[str, Any] = {"mediaType": media_type, "digest": str(Digest.of(content.encode())), "size": 7}
    annotations = {REF_NAME: name} if name is not None else {}
    return {**entry, "annotations": annotations, **more}


def chosen(reference: str, *entries: Mapping[str, Any]) -> Digest:
    content = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return choose(parse_index(content, "/srv/app"), reference, "/srv/app").digest


def refusal(reference: str, *entries: Mapping[str, Any]) -> SourceError:
    with pytest.raises(SourceError) as caught:
        chosen(reference, *entries)
    return caught.value


A = Digest.of(b"a")
B = Digest.of(b"b")


def test_the_only_image_needs_no_reference() -> None:
    assert chosen("", listed("a")) == A
    assert chosen("", listed("a", "1.4")) == A


def test_an_image_is_chosen_by_its_name() -> None:
    assert chosen("2", listed("a", "1"), listed("b", "2")) == B


def test_an_index_and_a_docker_manifest_are_images_too() -> None:
    assert chosen("1", listed("a", "1", INDEX)) == A
    assert chosen("1", listed("a", "1", DOCKER)) == A


def test_one_image_under_two_tags_is_one_image() -> None:
    assert chosen("", listed("a", "1"), listed("a", "latest")) == A
    assert chosen("1", listed("a", "1"), listed("a", "1")) == A


def test_the_whole_name_containerd_writes_is_a_name_too() -> None:
    first = listed("a", annotations={REF_NAME: "1", CONTAINERD_NAME: "example.com/app:1"})
    second = listed("b", annotations={REF_NAME: "1", CONTAINERD_NAME: "example.com/db:1"})

    assert chosen("example.com/db:1", first, second) == B
    error = refusal("1", first, second)
    assert error.code is Code.SOURCE_AMBIGUOUS
    assert "example.com/app:1, example.com/db:1" in str(error)


def test_an_unknown_name_is_answered_with_the_names_there_are() -> None:
    error = refusal("3", listed("a", "1"), listed("b", "2"), listed("c"))

    assert error.code is Code.SOURCE_REFERENCE_UNKNOWN
    assert str(error) == "/srv/app: has no image named 3; there are 1, 2, @2"


def test_several_images_without_a_reference_are_ambiguous_and_listed() -> None:
    error = refusal("", listed("a", "1"), listed("b", "2"))

    assert error.code is Code.SOURCE_AMBIGUOUS
    assert "more than one image: 1, 2" in str(error)


def test_several_images_of_one_name_are_ambiguous_and_can_be_chosen_by_position() -> None:
    error = refusal("1", listed("a", "1"), listed("b", "1"))

    assert error.code is Code.SOURCE_AMBIGUOUS
    assert "more than one image named 1: @0, @1" in str(error)
    assert chosen("@1", listed("a", "1"), listed("b", "1")) == B


@pytest.mark.parametrize("reference", ["@2", "@-1", "@", "@x", "@01"])
def test_a_position_where_nothing_is_is_unknown(reference: str) -> None:
    assert refusal(reference, listed("a"), listed("b")).code is Code.SOURCE_REFERENCE_UNKNOWN


def test_what_is_no_image_is_not_counted() -> None:
    other = listed("b", media_type="application/xml")

    assert chosen("", listed("a"), other) == A
    assert refusal("@1", listed("a"), other).code is Code.SOURCE_REFERENCE_UNKNOWN


def test_a_layout_of_other_things_alone_leaves_it_to_the_reader_to_say_what_they_are() -> None:
    assert chosen("", listed("a", media_type="application/xml")) == A


def test_a_layout_without_images_is_refused() -> None:
    error = refusal("1")

    assert error.code is Code.SOURCE_LAYOUT_INVALID
    assert "has no image in it" in str(error)


def test_many_names_are_not_all_listed() -> None:
    error = refusal("x", *(listed(str(n), f"tag-{n}") for n in range(25)))

    assert "tag-9, 15 more" in str(error)
    assert "tag-10" not in str(error)


def test_names_reach_no_terminal_with_control_characters() -> None:
    assert str(refusal("x\x1b[2J", listed("a", "1\x1b[2J"), listed("b", "\u202e2"))).isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"manifests":null}',
        b'{"manifests":{}}',
        b'{"manifests":[1]}',
        b'{"manifests":[{"digest":"sha256:x","size":1}]}',
        b'{"manifests":[{"mediaType":"\xff","digest":"","size":1}]}',
        b'{"manifests":[' + b"[" * 100_000,
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"manifests":[]}',
    ],
)
def test_a_malformed_index_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(SourceError) as caught:
        parse_index(content, "/srv/app")

    assert caught.value.code is Code.SOURCE_LAYOUT_INVALID
    assert str(caught.value).startswith("index.json in /srv/app: ")


def test_a_field_given_twice_is_refused_for_two_readers_would_read_two_things() -> None:
    with pytest.raises(SourceError) as caught:
        parse_index(b'{"manifests":[],"manifests":[]}', "/srv/app")

    assert caught.value.code is Code.SOURCE_LAYOUT_INVALID
    assert str(caught.value) == f"{WHERE}: 'manifests' is given twice in one object"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (listed("a", digest="sha256:../x"), "`manifests[0].digest` is 'sha256:../x', which is not algorithm:hex"),
        (listed("a", digest="md5:00"), "`manifests[0].digest` is 'md5:00', which has the algorithm md5"),
        (listed("a", digest=None), "`manifests[0].digest` is missing"),
        (listed("a", size=-1), "`manifests[0].size` is no number of bytes"),
        (listed("a", size="7"), "`manifests[0].size` is no number of bytes"),
        (listed("a", size=7.0), "`manifests[0].size` is no number of bytes"),
        (listed("a", size=True), "`manifests[0].size` is no number of bytes"),
        (listed("a", size=1 << 63), "`manifests[0].size` is no number of bytes"),
        (listed("a", annotations=[1]), "`manifests[0].annotations` is no object"),
        (listed("a", annotations={REF_NAME: 1}), f"`manifests[0].annotations.{REF_NAME}` is '1', no text"),
        (listed("a", mediaType=None), "`manifests[0].mediaType` is missing"),
        (listed("a", mediaType=["\x1b[2J"]), "`manifests[0].mediaType` is "),
    ],
)
def test_an_index_with_a_malformed_descriptor_is_refused_by_its_field(entry: dict[str, Any], words: str) -> None:
    error = refusal("", entry)
    assert error.code is Code.SOURCE_LAYOUT_INVALID
    assert str(error).startswith(f"{WHERE}: {words}")
    assert str(error).isprintable()


@pytest.mark.parametrize("annotations", [None, {}, {"more": 1}, {REF_NAME: "", CONTAINERD_NAME: None}])
def test_an_image_may_have_no_name_at_all(annotations: object) -> None:
    (entry,) = parse_index(json.dumps({"manifests": [listed("a", annotations=annotations)]}).encode(), "/srv/app")
    assert entry.names == ()


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,manifests0', max_size=60).map(str.encode))
def test_no_index_whatsoever_raises_anything_else(content: bytes) -> None:
    try:
        parse_index(content, "/srv/app")
    except SourceError as error:
        assert error.code is Code.SOURCE_LAYOUT_INVALID  # noqa: PT017 (most inputs raise, some parse)


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0", "1"])
def test_a_layout_of_version_1_is_accepted(version: str) -> None:
    check_marker(json.dumps({"imageLayoutVersion": version, "more": 1}).encode(), "/srv/app")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"imageLayoutVersion":1}', b'{"imageLayoutVersion":"2.0.0"}', b"\xff"]
)
def test_another_layout_is_refused(content: bytes) -> None:
    with pytest.raises(SourceError) as caught:
        check_marker(content, "/srv/app")

    assert caught.value.code is Code.SOURCE_LAYOUT_INVALID
    assert "/srv/app" in str(caught.value)
