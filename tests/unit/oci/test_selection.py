"""Of an index only the chosen platforms: which children stay, and what the index is that lists just those."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.errors import Code, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.image import read_image
from pushd.oci.manifest import MAX_SIZE, Manifest
from pushd.oci.media_types import DOCKER_CONFIG, DOCKER_MANIFEST_LIST, OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST
from pushd.oci.platform import Platform

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from pushd.oci.image import Image

AMD64, ARM64, ARM, S390X = "linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"
KNOWN = (AMD64, ARM64, ARM)
ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}
UNKNOWN = {"os": "unknown", "architecture": "unknown"}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["os", "linux", "amd64", *ATTESTATION.values()]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["os", "architecture", *ATTESTATION]), inner),
    max_leaves=4,
)

Entry = dict[str, Any]


class Shelf:
    """Documents and configs by digest, and which were asked for."""

    def __init__(self) -> None:
        self.contents: dict[Digest, bytes] = {}
        self.fetched: list[Digest] = []

    def fetch(self, descriptor: Descriptor) -> bytes:
        self.fetched.append(descriptor.digest)
        return self.contents[descriptor.digest]

    def put(self, document: dict[str, Any], media_type: str, **more: object) -> Entry:
        """Store a document; give its descriptor as an index has it."""
        content = json.dumps(document).encode()
        digest = Digest.of(content)
        self.contents[digest] = content
        return {"mediaType": media_type, "digest": str(digest), "size": len(content), **more}

    def bare(self, name: str, config: dict[str, Any] | None = None, *, kind: str = OCI_CONFIG) -> Entry:
        """Store an image; its descriptor says no platform."""
        layer = {"mediaType": "application/x-layer", "digest": str(Digest.of(name.encode())), "size": len(name)}
        config = self.put(config or {}, kind)
        return self.put({"schemaVersion": 2, "config": config, "layers": [layer]}, OCI_MANIFEST)

    def image(self, platform: str, name: str = "") -> Entry:
        system, architecture, *variant = platform.split("/")
        said = {"os": system, "architecture": architecture} | ({"variant": variant[0]} if variant else {})
        return self.bare(f"{platform} {name}", said) | {"platform": said}

    def attestation(self, of: Entry) -> Entry:
        attested = {**ATTESTATION, "vnd.docker.reference.digest": of["digest"]}
        return self.bare(f"of {of['digest']}", {"kind": "in-toto"}) | {"platform": UNKNOWN, "annotations": attested}

    def index(self, *children: Entry, **more: object) -> Entry:
        return self.put({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children), **more}, OCI_INDEX)

    def read(self, root: Entry, *platforms: str) -> Image:
        return read_image(_descriptor(root), self.fetch, [Platform.parse(platform) for platform in platforms])

    def refused(self, root: Entry, *platforms: str) -> SourceError:
        with pytest.raises(SourceError) as caught:
            self.read(root, *platforms)
        return caught.value


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def _descriptor(entry: Entry) -> Descriptor:
    return Descriptor(entry["mediaType"], Digest.parse(entry["digest"]), entry["size"])


def _listed(image: Image) -> list[Entry]:
    listed: list[Entry] = json.loads(image.root.content)["manifests"]
    return listed


def _digests(image: Image) -> set[str]:
    return {str(document.descriptor.digest) for document in image.documents}


# ----------------------------------------------------------------------------------------------------- what stays


def test_only_the_chosen_are_left_in_their_order(shelf: Shelf) -> None:
    first, second, third = shelf.image(ARM64), shelf.image(S390X), shelf.image(AMD64)
    image = shelf.read(shelf.index(first, second, third), AMD64, ARM64)
    assert _listed(image) == [first, third]
    assert _digests(image) == {first["digest"], third["digest"], str(image.root.descriptor.digest)}


def test_the_index_names_what_it_is_now(shelf: Shelf) -> None:
    root = shelf.index(shelf.image(ARM64), shelf.image(AMD64))
    written = shelf.read(root, AMD64).root
    assert written.descriptor == Descriptor(OCI_INDEX, Digest.of(written.content), len(written.content))
    assert written.manifest == Manifest.parse(written.content, OCI_INDEX)
    assert str(written.descriptor.digest) != root["digest"]


def test_docker_s_manifest_lists_are_chosen_from_as_well(shelf: Shelf) -> None:
    chosen = shelf.image(AMD64)
    root = shelf.put(
        {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST_LIST, "manifests": [shelf.image(ARM), chosen]},
        DOCKER_MANIFEST_LIST,
    )
    image = shelf.read(root, AMD64)
    assert image.root.descriptor.media_type == image.root.manifest.media_type == DOCKER_MANIFEST_LIST
    assert _listed(image) == [chosen]


def test_a_digest_stays_one_of_its_algorithm(shelf: Shelf) -> None:
    content = shelf.contents[Digest.parse(shelf.index(shelf.image(ARM64), shelf.image(AMD64))["digest"])]
    root = Descriptor(OCI_INDEX, Digest.of(content, "sha512"), len(content))
    shelf.contents[root.digest] = content
    written = read_image(root, shelf.fetch, [Platform.parse(AMD64)]).root
    assert written.descriptor.digest == Digest.of(written.content, "sha512")


def test_one_platform_is_an_index_still(shelf: Shelf) -> None:
    assert (
        shelf.read(shelf.index(shelf.image(ARM64), shelf.image(AMD64)), AMD64).root.descriptor.media_type == OCI_INDEX
    )


def test_without_a_choice_nothing_is_written_anew(shelf: Shelf) -> None:
    root = shelf.index(shelf.image(ARM64), shelf.image(AMD64), shelf.bare("artifact", kind=OCI_EMPTY))
    image = shelf.read(root)
    assert str(image.root.descriptor.digest) == root["digest"]
    assert len(image.documents) == 4


def test_an_index_of_which_all_is_chosen_keeps_its_bytes(shelf: Shelf) -> None:
    content = json.dumps({"schemaVersion": 2, "manifests": [shelf.image(ARM64), shelf.image(AMD64)]}, indent=3).encode()
    root = Descriptor(OCI_INDEX, Digest.of(content), len(content))
    shelf.contents[root.digest] = content
    image = read_image(root, shelf.fetch, [Platform.parse(AMD64), Platform.parse(ARM64)])
    assert image.root.descriptor == root
    assert image.root.content == content


def test_everything_else_of_the_index_stays_as_it_is(shelf: Shelf) -> None:
    chosen = shelf.image(AMD64) | {"annotations": {"é": "\u2028"}, "x-more": [1, None, {"a": 1.5}]}
    more = {
        "artifactType": "application/x-set", "annotations": {"org.opencontainers.image.created": "2026"},
        "subject": shelf.image(S390X), "x-unknown": {"big": 2**80, "small": -1.25e-7, "none": None, "text": "\ud800é"},
    }  # fmt: skip
    root = shelf.index(shelf.image(ARM64), chosen, **more)
    before = json.loads(shelf.contents[Digest.parse(root["digest"])])
    after = json.loads(shelf.read(root, AMD64).root.content)
    assert list(after) == list(before)
    assert after == before | {"manifests": [chosen]}


def test_what_differs_in_the_system_s_version_alone_is_chosen_together(shelf: Shelf) -> None:
    old, new = shelf.image("windows/amd64", "2019"), shelf.image("windows/amd64", "2022")
    old["platform"] |= {"os.version": "10.0.17763"}
    image = shelf.read(shelf.index(old, new, shelf.image(AMD64)), "windows/amd64")
    assert _listed(image) == [old, new]


def test_another_variant_is_another_platform(shelf: Shelf) -> None:
    plain, third = shelf.image(AMD64), shelf.image("linux/amd64/v3")
    assert _listed(shelf.read(shelf.index(third, plain), AMD64)) == [plain]
    assert _listed(shelf.read(shelf.index(third, plain), "linux/amd64/v3")) == [third]


def test_an_image_listed_twice_stays_where_it_is_chosen(shelf: Shelf) -> None:
    once = shelf.image(AMD64)
    again = once | {"platform": {"os": "linux", "architecture": "arm64"}}
    root = shelf.index(once, again, once)
    assert _listed(shelf.read(root, AMD64)) == [once, once]
    assert _listed(shelf.read(root, ARM64)) == [again]


# --------------------------------------------------------------------------------------------- what is not asked for


def test_what_is_not_chosen_is_not_read(shelf: Shelf) -> None:
    gone = shelf.image(ARM64)
    root = shelf.index(gone, shelf.attestation(gone), chosen := shelf.image(AMD64))
    shelf.read(root, AMD64)
    assert {str(digest) for digest in shelf.fetched} == {root["digest"], chosen["digest"]}


def test_what_is_not_chosen_may_be_what_cannot_be_pushed(shelf: Shelf) -> None:
    chosen = shelf.image(AMD64)
    odd = shelf.put({}, "application/x-odd", platform={"os": "linux", "architecture": "arm64"})
    assert _listed(shelf.read(shelf.index(odd, chosen, shelf.put({}, "application/x-odd")), AMD64)) == [chosen]
    error = shelf.refused(shelf.index(chosen, odd), ARM64)
    assert error.code is Code.SOURCE_MANIFEST_UNSUPPORTED
    assert "manifests[1].mediaType" in error.subject


# ---------------------------------------------------------------------------------------- where the index says nothing


@pytest.mark.parametrize("said", [None, {}, {"os": "", "architecture": ""}])
@pytest.mark.parametrize("kind", [OCI_CONFIG, DOCKER_CONFIG])
def test_where_the_index_says_no_platform_the_config_does(shelf: Shelf, said: object, kind: str) -> None:
    arm64 = shelf.bare("arm64", {"os": "linux", "architecture": "arm64", "variant": "v8"}, kind=kind)
    amd64 = shelf.bare("amd64", {"os": "linux", "architecture": "amd64"}, kind=kind)
    root = shelf.index(arm64 | {"platform": said}, amd64)
    image = shelf.read(root, ARM64)
    assert [entry["digest"] for entry in _listed(image)] == [arm64["digest"]]
    assert shelf.fetched.count(Digest.parse(arm64["digest"])) == 1


def test_what_has_no_platform_at_all_is_left_out(shelf: Shelf) -> None:
    artifact, chosen = shelf.bare("artifact", kind=OCI_EMPTY), shelf.image(AMD64)
    config = shelf.bare("no platform", {"created": "2026"})
    assert _listed(shelf.read(shelf.index(artifact, config, chosen), AMD64)) == [chosen]


def test_a_platform_that_is_none_is_refused_by_the_name_of_its_field(shelf: Shelf) -> None:
    odd = shelf.image(AMD64)
    for said, where in (("linux", "platform"), ({"os": 1, "architecture": "x"}, "platform.os")):
        error = shelf.refused(shelf.index(shelf.image(ARM64), odd | {"platform": said}), ARM64)
        assert error.code is Code.SOURCE_MANIFEST_INVALID
        assert error.subject.endswith(f"manifests[1].{where}")


@given(st.dictionaries(st.sampled_from(["platform", "annotations", "data"]), JSON))
def test_whatever_an_index_says_of_a_child_it_is_read_or_refused(said: dict[str, Any]) -> None:
    shelf = Shelf()
    root = shelf.index(shelf.image(AMD64), shelf.image(ARM64, "odd") | said)
    with suppress(SourceError):
        assert _listed(shelf.read(root, AMD64))[0] == shelf.image(AMD64)


def test_a_config_that_is_not_what_it_is_said_to_be_is_refused(shelf: Shelf) -> None:
    root = shelf.bare("app", {"os": "linux", "architecture": "amd64"})
    manifest = json.loads(shelf.contents[Digest.parse(root["digest"])])
    config = Digest.parse(manifest["config"]["digest"])
    shelf.contents[config] = shelf.contents[config].replace(b"amd64", b"arm64")
    error = shelf.refused(root, ARM64)
    assert error.code is Code.SOURCE_BLOB_DIGEST
    assert str(config) in error.subject


def test_a_config_too_large_to_be_read_at_once_is_refused_before_it_is_read(shelf: Shelf) -> None:
    huge = {"mediaType": OCI_CONFIG, "digest": str(Digest.of(b"huge")), "size": MAX_SIZE + 1}
    root = shelf.put({"schemaVersion": 2, "config": huge, "layers": []}, OCI_MANIFEST)
    error = shelf.refused(root, ARM64)
    assert error.code is Code.SOURCE_MANIFEST_TOO_LARGE
    assert str(Digest.of(b"huge")) in error.subject


# ------------------------------------------------------------------------------------------------------- attestations


def test_an_attestation_stays_with_what_it_is_about_and_goes_with_it(shelf: Shelf) -> None:
    amd64, arm64 = shelf.image(AMD64), shelf.image(ARM64)
    of_arm64, of_amd64 = shelf.attestation(arm64), shelf.attestation(amd64)
    root = shelf.index(of_arm64, amd64, arm64, of_amd64)
    image = shelf.read(root, AMD64)
    assert _listed(image) == [amd64, of_amd64]
    assert _digests(image) == {amd64["digest"], of_amd64["digest"], str(image.root.descriptor.digest)}
    assert _listed(shelf.read(root, ARM64)) == [of_arm64, arm64]
    assert str(shelf.read(root, ARM64, AMD64).root.descriptor.digest) == root["digest"]


def test_an_attestation_of_nothing_that_is_there_goes(shelf: Shelf) -> None:
    amd64 = shelf.image(AMD64)
    stray = shelf.attestation(shelf.image(S390X))
    nameless = shelf.bare("nameless") | {"platform": UNKNOWN, "annotations": ATTESTATION}
    assert _listed(shelf.read(shelf.index(stray, nameless, amd64), AMD64)) == [amd64]


def test_an_attestation_is_no_platform(shelf: Shelf) -> None:
    amd64 = shelf.image(AMD64)
    error = shelf.refused(shelf.index(amd64, shelf.attestation(amd64)), "unknown/unknown")
    assert error.detail.endswith("there is linux/amd64")


# ------------------------------------------------------------------------------------------------------ nested indexes


def test_nested_indexes_are_chosen_through(shelf: Shelf) -> None:
    amd64, arm64, arm = shelf.image(AMD64), shelf.image(ARM64), shelf.image(ARM)
    mixed = shelf.index(amd64, arm64) | {"annotations": {"a": "b"}, "data": "e30=", "x": 1}
    root = shelf.index(shelf.index(arm), mixed, shelf.index(amd64, shelf.attestation(amd64)))
    image = shelf.read(root, AMD64)
    inner, whole = _listed(image)
    # Embedded content would be that of the index as it was.
    assert inner == {key: value for key, value in mixed.items() if key != "data"} | {
        "digest": inner["digest"], "size": inner["size"]
    }  # fmt: skip
    document = next(one for one in image.documents if str(one.descriptor.digest) == inner["digest"])
    assert inner["size"] == len(document.content)
    assert json.loads(document.content)["manifests"] == [amd64]
    assert whole == json.loads(shelf.contents[Digest.parse(root["digest"])])["manifests"][2]


def test_an_index_listed_twice_is_chosen_from_once(shelf: Shelf) -> None:
    inner = shelf.index(shelf.image(AMD64), shelf.image(ARM64))
    empty = shelf.index(shelf.image(ARM))
    image = shelf.read(shelf.index(inner, empty, inner, empty), AMD64)
    first, second = _listed(image)
    assert first == second
    assert len(image.documents) == 3
    assert shelf.fetched.count(Digest.parse(inner["digest"])) == 1


def test_two_indexes_that_become_the_same_are_one_document(shelf: Shelf) -> None:
    amd64 = shelf.image(AMD64)
    root = shelf.index(shelf.index(amd64, shelf.image(ARM64)), shelf.index(amd64, shelf.image(ARM)))
    image = shelf.read(root, AMD64)
    first, second = _listed(image)
    assert first == second
    assert len(image.documents) == 3


# ------------------------------------------------------------------------------------------------ what is not there


def test_a_platform_that_is_not_there_is_named_beside_those_that_are(shelf: Shelf) -> None:
    root = shelf.index(shelf.image(ARM64), shelf.index(shelf.image(AMD64)), shelf.image("linux/arm"))
    error = shelf.refused(root, AMD64, S390X, "linux/ppc64le")
    assert error.code is Code.SOURCE_PLATFORM_UNKNOWN
    assert root["digest"] in error.subject
    assert (
        error.detail == "has nothing for linux/ppc64le, linux/s390x; there are linux/amd64, linux/arm/v7, linux/arm64"
    )


def test_of_many_platforms_some_are_named(shelf: Shelf) -> None:
    root = shelf.index(*(shelf.image(f"linux/a{number:02}") for number in range(12)))
    assert shelf.refused(root, AMD64).detail.endswith("linux/a09, 2 more")


def test_an_index_without_platforms_says_so(shelf: Shelf) -> None:
    assert shelf.refused(shelf.index(), AMD64).detail == "has nothing for linux/amd64; there is nothing with a platform"


def test_a_name_of_a_platform_commands_no_terminal(shelf: Shelf) -> None:
    odd = shelf.image(AMD64) | {"platform": {"os": "a\x1b[2J\nb", "architecture": "x" * 500}}
    detail = shelf.refused(shelf.index(odd), AMD64).detail
    assert detail.isprintable()
    assert len(detail) < 200


def test_a_single_image_must_be_for_the_platform_its_config_says(shelf: Shelf) -> None:
    root = shelf.bare("app", {"os": "linux", "architecture": "arm64", "variant": "v8"})
    image = shelf.read(root, "linux/aarch64")
    assert str(image.root.descriptor.digest) == root["digest"]
    assert shelf.refused(root, AMD64).detail == "has nothing for linux/amd64; there is linux/arm64"
    assert shelf.refused(root, ARM64, AMD64).code is Code.SOURCE_PLATFORM_UNKNOWN
    assert shelf.refused(shelf.bare("artifact", kind=OCI_EMPTY), AMD64).code is Code.SOURCE_PLATFORM_UNKNOWN


def test_numbers_no_json_can_hold_are_refused_and_not_written(shelf: Shelf) -> None:
    content = json.dumps({"schemaVersion": 2, "manifests": [shelf.image(ARM64), shelf.image(AMD64)]})
    content = content.replace('"schemaVersion": 2', '"schemaVersion": 2, "x": 1e999')
    root = Descriptor(OCI_INDEX, Digest.of(content.encode()), len(content))
    shelf.contents[root.digest] = content.encode()
    with pytest.raises(SourceError) as caught:
        read_image(root, shelf.fetch, [Platform.parse(AMD64)])
    assert caught.value.code is Code.SOURCE_MANIFEST_INVALID
    assert str(root.digest) in caught.value.subject


def test_what_is_nested_too_deeply_is_refused_and_nothing_worse(shelf: Shelf) -> None:
    """Wherever Python's limit is met: what can be read can be written."""
    content = json.dumps({"schemaVersion": 2, "manifests": [shelf.image(ARM64), shelf.image(AMD64)], "x": "here"})
    for depth in range(0, sys.getrecursionlimit() + 50, 3):
        deep = content.replace('"here"', "[" * depth + "]" * depth).encode()
        root = Descriptor(OCI_INDEX, Digest.of(deep), len(deep))
        shelf.contents[root.digest] = deep
        with suppress(SourceError):
            read_image(root, shelf.fetch, [Platform.parse(AMD64)])


# ------------------------------------------------------------------------------------------------------ of any index


@dataclass
class Tree:
    """An index of any shape: platforms of its images, whether each is attested, and indexes in it."""

    images: list[tuple[str | None, bool]] = field(default_factory=list)
    inner: list[Tree] = field(default_factory=list)

    def put(self, shelf: Shelf, name: str = "0") -> Entry:
        children: list[Entry] = []
        for number, (platform, attested) in enumerate(self.images):
            label = f"{name}.{number}"
            child = shelf.image(platform, label) if platform else shelf.bare(label, kind=OCI_EMPTY)
            children += [child, shelf.attestation(child)] if attested else [child]
        children += [tree.put(shelf, f"{name}/{number}") for number, tree in enumerate(self.inner)]
        return shelf.index(*children, annotations={"name": name})

    @property
    def platforms(self) -> set[str]:
        return {platform for platform, _ in self.images if platform} | {
            platform for tree in self.inner for platform in tree.platforms
        }


IMAGES = st.lists(st.tuples(st.sampled_from([*KNOWN, None]), st.booleans()), max_size=4)
TREES: SearchStrategy[Tree] = st.recursive(
    st.builds(Tree, IMAGES), lambda trees: st.builds(Tree, IMAGES, st.lists(trees, max_size=2)), max_leaves=4
)


@given(TREES, st.data())
def test_what_is_kept_is_a_part_of_what_there_was_and_no_child_changes(tree: Tree, data: st.DataObject) -> None:
    shelf = Shelf()
    root = tree.put(shelf)
    before = shelf.read(root)
    if not tree.platforms:
        return
    chosen = data.draw(st.sets(st.sampled_from(sorted(tree.platforms)), min_size=1))
    after = shelf.read(root, *sorted(chosen))

    images = {one.descriptor: one for one in before.documents if one.descriptor.media_type == OCI_MANIFEST}
    kept = [one for one in after.documents if one.descriptor.media_type == OCI_MANIFEST]
    assert all(images[one.descriptor] == one for one in kept)
    assert set(after.blobs) <= set(before.blobs)
    # Children before parents, each digest once, and all that is listed is there.
    seen: set[Digest] = set()
    for document in after.documents:
        assert {child.digest for child in document.manifest.children} <= seen
        assert document.descriptor.digest not in seen
        assert document.descriptor.digest.matches(document.content)
        seen.add(document.descriptor.digest)
    # No index is empty, and the same bytes come out of it every time; of what was chosen all is chosen.
    assert all(one.manifest.children for one in after.documents if one.descriptor.media_type == OCI_INDEX)
    assert shelf.read(root, *sorted(chosen, reverse=True)) == after
    for document in after.documents:
        shelf.contents[document.descriptor.digest] = document.content
    again = after.root.descriptor
    assert read_image(again, shelf.fetch, [Platform.parse(one) for one in chosen]) == after


@given(TREES)
def test_all_platforms_are_all_images_that_have_one_and_their_attestations(tree: Tree) -> None:
    shelf = Shelf()
    root = tree.put(shelf)
    if not tree.platforms:
        return
    after = shelf.read(root, *tree.platforms)

    def expected(one: Tree) -> int:
        here = sum(1 + attested for platform, attested in one.images if platform)
        return here + sum(map(expected, one.inner))

    assert sum(one.descriptor.media_type == OCI_MANIFEST for one in after.documents) == expected(tree)
