"""How what refers to a manifest is found, and listed by whoever pushes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pushd.errors import Code, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.document import Document
from pushd.oci.media_types import OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST
from pushd.oci.referrers import cosign_tags, listing_with, listing_without, read_listing, referrers_tag, tagged_with

if TYPE_CHECKING:
    from collections.abc import Sequence

SUBJECT = Digest.of(b"subject")


def referrer(config: str = OCI_EMPTY, **more: object) -> Document:
    described = {"mediaType": config, "digest": str(Digest.of(b"{}")), "size": 2}
    subject = {"mediaType": OCI_MANIFEST, "digest": str(SUBJECT), "size": 7}
    fields = {"schemaVersion": 2, "config": described, "layers": [], "subject": subject, **more}
    content = json.dumps(fields).encode()
    return Document.read(Descriptor(OCI_MANIFEST, Digest.of(content), len(content)), content)


def described(document: Document, **more: object) -> dict[str, Any]:
    descriptor = document.descriptor
    return {"mediaType": OCI_MANIFEST, "digest": str(descriptor.digest), "size": descriptor.size, **more}


def index(*entries: dict[str, Any], **more: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **more}).encode()


def entries_of(content: bytes | None) -> Sequence[dict[str, Any]]:
    assert content is not None
    listed: list[dict[str, Any]] = json.loads(content)["manifests"]
    return listed


def test_the_tags_are_made_of_the_digest() -> None:
    digest = Digest("sha256", "ab" * 32)
    assert referrers_tag(digest) == f"sha256-{'ab' * 32}"
    assert cosign_tags(digest) == tuple(f"sha256-{'ab' * 32}{ending}" for ending in (".sig", ".att", ".sbom"))


def test_a_long_digest_is_cut_to_what_a_tag_can_have() -> None:
    assert referrers_tag(Digest("sha512", "cd" * 64)) == f"sha512-{'cd' * 32}"


def test_the_first_that_is_listed_makes_the_list() -> None:
    one = referrer(artifactType="a/b", annotations={"k": "v"})
    content = listing_with(None, [one])
    assert entries_of(content) == [described(one, artifactType="a/b", annotations={"k": "v"})]
    assert content is not None
    assert read_listing(content) == (one.descriptor,)


def test_without_a_type_of_its_own_its_config_tells_it() -> None:
    one = referrer("application/vnd.example.config")
    assert entries_of(listing_with(None, [one])) == [described(one, artifactType="application/vnd.example.config")]


def test_an_index_has_the_type_it_says_or_none() -> None:
    subject = {"mediaType": OCI_MANIFEST, "digest": str(SUBJECT), "size": 7}
    content = json.dumps({"schemaVersion": 2, "manifests": [], "subject": subject}).encode()
    one = Document.read(Descriptor(OCI_INDEX, Digest.of(content), len(content)), content)
    assert entries_of(listing_with(None, [one])) == [described(one, mediaType=OCI_INDEX)]


def test_what_is_listed_already_stays_as_it_is_and_is_not_listed_again() -> None:
    first, second = referrer(artifactType="a/b"), referrer(artifactType="c/d")
    before = index(described(first, annotations={"others": "said"}), annotations={"kept": "yes"})
    assert listing_with(before, [first]) is None
    after = listing_with(before, [first, second])
    assert entries_of(after) == [
        described(first, annotations={"others": "said"}),
        described(second, artifactType="c/d"),
    ]
    assert after is not None
    assert json.loads(after)["annotations"] == {"kept": "yes"}


def test_what_is_gone_is_taken_off_a_list_and_nothing_else() -> None:
    first, second = referrer(artifactType="a/b"), referrer(artifactType="c/d")
    before = index(described(first, annotations={"a": "b"}), described(second), annotations={"kept": "yes"})
    after = listing_without(before, [second.descriptor.digest])
    assert json.loads(after) == json.loads(index(described(first, annotations={"a": "b"}), annotations={"kept": "yes"}))


def test_a_list_that_go_wrote_with_nothing_in_it_is_one() -> None:
    one = referrer()
    content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": None}).encode()
    assert read_listing(content) == ()
    assert len(entries_of(listing_with(content, [one]))) == 1


@pytest.mark.parametrize(
    ("content", "subject"),
    [
        (b"[]", "manifest"),
        (b'{"schemaVersion":2}', "manifests"),
        (index({"mediaType": "a/b", "size": 1}), "manifests[0].digest"),
        (referrer().content, "config"),
    ],
    ids=["no object", "no list", "no digest", "an image"],
)
def test_what_is_no_list_is_refused_by_its_field(content: bytes, subject: str) -> None:
    for read in (lambda: read_listing(content), lambda: listing_with(content, [referrer()])):
        with pytest.raises(SourceError) as caught:
            read()
        assert (caught.value.code, caught.value.subject) == (Code.SOURCE_MANIFEST_INVALID, subject)


# ------------------------------------------------------------------------------------------------- cosign's tags


def signed(*keys: str, of: str = "payload", config: str = "config", layers: bool = True) -> bytes:
    payload = {"mediaType": "a/b", "digest": str(Digest.of(of.encode())), "size": 7}
    fields: dict[str, Any] = {
        "schemaVersion": 2,
        "config": {"mediaType": OCI_CONFIG, "digest": str(Digest.of(config.encode())), "size": 6},
    }
    if layers:
        fields["layers"] = [{**payload, "annotations": {"signature": key}} for key in keys]
    return json.dumps(fields).encode()


def keys_of(content: bytes | None) -> list[str]:
    assert content is not None
    return [layer["annotations"]["signature"] for layer in json.loads(content)["layers"]]


def test_where_ours_are_there_nothing_is_put() -> None:
    assert tagged_with("x.sig", signed("bob", "alice"), signed("alice")) is None
    assert tagged_with("x.sig", signed("alice"), signed("alice", config="another")) is None


def test_where_nothing_of_theirs_would_be_lost_ours_is_put_byte_for_byte() -> None:
    ours = signed("carol", "alice")
    assert tagged_with("x.att", signed("alice"), ours) == ours
    assert tagged_with("x.att", signed(), ours) == ours


def test_where_each_has_some_of_its_own_ours_follow_theirs() -> None:
    joined = tagged_with("x.sig", signed("bob", "alice", config="theirs"), signed("alice", "carol", config="ours"))
    assert keys_of(joined) == ["bob", "alice", "carol"]
    assert joined is not None
    assert json.loads(joined)["config"] == json.loads(signed(config="theirs"))["config"]


def test_the_same_bytes_signed_by_another_are_another_signature() -> None:
    assert keys_of(tagged_with("x.sig", signed("bob"), signed("alice"))) == ["bob", "alice"]


@pytest.mark.parametrize(
    ("tag", "theirs"), [("x.sbom", signed("bob")), ("x.sig", signed(layers=False))], ids=["an SBOM", "no layers"]
)
def test_what_cannot_be_joined_is_told(tag: str, theirs: bytes) -> None:
    with pytest.raises(ValueError, match=tag):
        tagged_with(tag, theirs, signed("alice"))
