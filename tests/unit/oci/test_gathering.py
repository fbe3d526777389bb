"""All that refers to an image, gathered: what is listed, what refers to that, and nothing that only claims to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.gathering import Found, with_referrers
from pushd.oci.image import MAX_DEPTH, MAX_DOCUMENTS
from pushd.oci.media_types import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from tests.unit.oci.test_image import Shelf, _json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.oci.image import Image


class Registry(Shelf):
    """Documents, and what is found about them."""

    def __init__(self) -> None:
        super().__init__()
        self.about: dict[Digest, Found] = {}
        self.asked: list[Digest] = []

    def refer(self, subject: Descriptor, note: str = "", *, listed: bool = True) -> Descriptor:
        config = _json(Descriptor(OCI_CONFIG, Digest.of(b"{}"), 2))
        annotations = {"note": note}
        fields = {"config": config, "layers": [], "subject": _json(subject), "annotations": annotations}
        made = self.put(fields, OCI_MANIFEST)
        if listed:
            self.list(subject, made)
        return made

    def list(self, subject: Descriptor, *referrers: Descriptor) -> None:
        known = self.about.get(subject.digest, Found())
        self.about[subject.digest] = Found((*known.listed, *referrers), known.tagged)

    def look(self, subjects: Sequence[Digest]) -> Sequence[Found]:
        self.asked.extend(subjects)
        return [self.about.get(subject, Found()) for subject in subjects]

    def gather(self, root: Descriptor) -> Image:
        return with_referrers(self.read(root), self.look, self.fetch)

    def not_gathered(self, root: Descriptor) -> SourceError:
        with pytest.raises(SourceError) as caught:
            self.gather(root)
        return caught.value


@pytest.fixture
def registry() -> Registry:
    return Registry()


def digests(image: Image) -> list[Digest]:
    return [document.descriptor.digest for document in image.documents]


def test_what_nothing_refers_to_stays_as_it_is(registry: Registry) -> None:
    root = registry.index(registry.image(b"a"), registry.image(b"b"))
    assert registry.gather(root) == registry.read(root)
    assert not registry.gather(root).referrers


def test_what_refers_to_the_root_a_child_and_a_referrer_comes_before_the_root(registry: Registry) -> None:
    child = registry.image(b"a")
    root = registry.index(child)
    signature, sbom = registry.refer(root), registry.refer(child)
    of_sbom = registry.refer(sbom)
    image = registry.gather(root)
    assert digests(image) == [one.digest for one in (child, sbom, signature, of_sbom, root)]
    assert [document.descriptor for document in image.referrers] == [sbom, signature, of_sbom]
    assert sorted(map(str, registry.asked)) == sorted(map(str, digests(image))), "each is asked about once"


def test_an_index_that_refers_brings_what_it_lists(registry: Registry) -> None:
    root, child = registry.image(b"a"), registry.image(b"b")
    index = registry.put({"manifests": [_json(child)], "subject": _json(root)}, OCI_INDEX)
    registry.list(root, index)
    image = registry.gather(root)
    assert digests(image) == [child.digest, index.digest, root.digest]
    assert [document.descriptor for document in image.referrers] == [child, index]


def test_what_is_listed_twice_is_read_once(registry: Registry) -> None:
    root = registry.image(b"a")
    signature = registry.refer(root)
    registry.list(root, signature)
    image = registry.gather(root)
    assert digests(image) == [signature.digest, root.digest]
    assert registry.fetched.count(signature) == 1


def test_what_a_tag_names_keeps_its_tag_and_needs_no_subject(registry: Registry) -> None:
    root, sig = registry.image(b"a"), registry.image(b"signature")
    registry.about[root.digest] = Found((), (("root.sig", sig),))
    registry.about[sig.digest] = Found((), (("sig.sig", sig),))
    image = registry.gather(root)
    assert digests(image) == [sig.digest, root.digest]
    assert image.tags == (("root.sig", sig.digest), ("sig.sig", sig.digest))


def test_a_tag_may_name_the_image_itself(registry: Registry) -> None:
    root = registry.image(b"a")
    registry.about[root.digest] = Found((), (("root.sig", root),))
    image = registry.gather(root)
    assert (digests(image), image.tags) == ([root.digest], (("root.sig", root.digest),))


def test_what_is_listed_and_refers_to_something_else_is_refused(registry: Registry) -> None:
    root, other = registry.image(b"a"), registry.image(b"other")
    liar = registry.refer(other, listed=False)
    registry.list(root, liar)
    error = registry.not_gathered(root)
    assert error.code is Code.SOURCE_MANIFEST_INVALID
    assert str(liar.digest) in error.subject
    assert error.detail == f"is listed as a referrer of {root.digest}, and refers to {other.digest}"


def test_so_is_what_refers_to_nothing_the_image_itself_too(registry: Registry) -> None:
    root = registry.image(b"a")
    registry.list(root, root)
    assert registry.not_gathered(root).detail == f"is listed as a referrer of {root.digest}, and refers to nothing"


def test_what_is_listed_and_gone_is_told_with_what_it_was_about(registry: Registry) -> None:
    root = registry.image(b"a")
    gone = registry.refer(root)

    def fetch(document: Descriptor) -> bytes:
        raise SourceError(Code.SOURCE_NOT_FOUND, str(document.digest), "is not there")

    with pytest.raises(SourceError) as caught:
        with_referrers(registry.read(root), registry.look, fetch)
    assert caught.value.code is Code.SOURCE_BLOB_MISSING
    assert str(gone.digest) in caught.value.subject
    assert caught.value.hint


def test_what_cannot_be_read_now_is_told_as_it_is(registry: Registry) -> None:
    root = registry.image(b"a")
    registry.refer(root)

    def fetch(_: Descriptor) -> bytes:
        raise SourceError(Code.SOURCE_THROTTLED, "x", "later")

    with pytest.raises(SourceError, match="later") as caught:
        with_referrers(registry.read(root), registry.look, fetch)
    assert caught.value.code is Code.SOURCE_THROTTLED


def test_a_manifest_of_another_size_than_it_is_listed_with_is_refused(registry: Registry) -> None:
    root = registry.image(b"a")
    signature = registry.refer(root, listed=False)
    registry.list(root, Descriptor(signature.media_type, signature.digest, signature.size + 1))
    assert registry.not_gathered(root).code is Code.SOURCE_BLOB_SIZE


def test_what_is_no_manifest_is_refused_by_its_type(registry: Registry) -> None:
    root = registry.image(b"a")
    registry.list(root, Descriptor("application/vnd.example", Digest.of(b"x"), 1))
    assert registry.not_gathered(root).code is Code.SOURCE_MANIFEST_UNSUPPORTED


def test_referrers_of_referrers_end_somewhere(registry: Registry) -> None:
    root = subject = registry.image(b"a")
    for _ in range(MAX_DEPTH):
        subject = registry.refer(subject)
    assert len(registry.gather(root).referrers) == MAX_DEPTH
    registry.refer(subject)
    error = registry.not_gathered(root)
    assert error.code is Code.SOURCE_MANIFEST_UNSUPPORTED
    assert str(MAX_DEPTH) in error.detail


def test_there_are_no_more_of_them_than_an_image_may_have_documents(registry: Registry) -> None:
    root = registry.image(b"a")
    for number in range(MAX_DOCUMENTS - 1):
        registry.refer(root, str(number))
    assert len(registry.gather(root).documents) == MAX_DOCUMENTS
    registry.refer(root, "one more")
    assert registry.not_gathered(root).code is Code.SOURCE_MANIFEST_TOO_LARGE
