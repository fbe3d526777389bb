"""What is written to a list that others write as well: kept, read back, and written again where it was lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest

from pushd.errors import Code, RegistryError, SourceError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.document import Document
from pushd.oci.image import Image
from pushd.oci.manifest import MAX_SIZE
from pushd.oci.media_types import OCI_EMPTY, OCI_INDEX, OCI_MANIFEST
from pushd.oci.referrers import listing_with, read_listing, referrers_tag
from pushd.push import referrers
from pushd.push.locks import KeyedLocks
from pushd.push.referrers import Referring

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushd.push.ports.registry import Registry

SUBJECT = Digest.of(b"subject")
TAG = referrers_tag(SUBJECT)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(referrers, "_PAUSE", 0.0)
    monkeypatch.setattr(referrers, "_SETTLED", 0.0)


def referrer(note: str) -> Document:
    empty = {"mediaType": OCI_EMPTY, "digest": str(Digest.of(b"{}")), "size": 2}
    subject = {"mediaType": OCI_MANIFEST, "digest": str(SUBJECT), "size": 7}
    fields = {"schemaVersion": 2, "config": empty, "layers": [], "subject": subject, "annotations": {"note": note}}
    content = json.dumps(fields).encode()
    return Document.read(Descriptor(OCI_MANIFEST, Digest.of(content), len(content)), content)


class Tags:
    """The tags of one repository; `meddle` is called after each that is put, with how many were."""

    name = "registry.test"

    def __init__(self, meddle: Callable[[Tags, int], None] = lambda *_: None) -> None:
        self.tags: dict[str, tuple[str, bytes]] = {}
        self.puts = 0
        self._meddle = meddle

    async def find_manifest(self, _: str, tag: str) -> tuple[str, bytes] | None:
        return self.tags.get(tag)

    async def get_manifest(self, _: str, digest: str) -> tuple[str, bytes]:
        return next(one for one in self.tags.values() if str(Digest.of(one[1])) == digest)

    async def head_manifest(self, _: str, tag: str) -> Digest | None:
        return Digest.of(self.tags[tag][1]) if tag in self.tags else None

    async def put(self, tag: str, content: bytes, media_type: str) -> None:
        self.tags[tag] = media_type, content
        self.puts += 1
        self._meddle(self, self.puts)

    def write(self, *documents: Document) -> None:
        """Write a list anew, as somebody does who has not read it."""
        content = listing_with(None, documents)
        assert content is not None
        self.tags[TAG] = OCI_INDEX, content

    @property
    def listed(self) -> set[Digest]:
        return {one.digest for one in read_listing(self.tags[TAG][1])}


def referring(tags: Tags) -> Referring:
    return Referring(cast("Registry", tags), "app", locks=KeyedLocks(), put=tags.put, rng=lambda: 0.5)


OURS, THEIRS = referrer("ours"), referrer("theirs")
BOTH = {OURS.descriptor.digest, THEIRS.descriptor.digest}


async def test_what_others_overwrite_is_put_again_and_theirs_stays() -> None:
    def overwrite(tags: Tags, puts: int) -> None:
        if puts < 3:
            tags.write(THEIRS)

    tags = Tags(overwrite)
    await referring(tags).listing([OURS])
    assert tags.listed == BOTH
    assert tags.puts == 3


async def test_what_is_lost_later_is_found_so_and_looked_at_until_it_stays() -> None:
    tags = Tags()
    it = referring(tags)
    await it.listing([OURS])
    tags.write(THEIRS)
    await it.settle()
    assert tags.listed == BOTH
    assert tags.puts == 2
    tags.write(THEIRS)
    await it.settle()
    assert tags.listed == {THEIRS.descriptor.digest}, "it had settled, and what is done to it later is meant"


async def test_what_settles_at_the_very_last_has_settled() -> None:
    tags = Tags()

    class Overwritten(Referring):
        seen = 0

        async def _see_to(self, *one: object) -> None:
            await super()._see_to(*one)  # type: ignore[arg-type]  # as it is called
            self.seen += 1
            if self.seen < referrers._TRIES:
                tags.write(THEIRS)

    it = Overwritten(cast("Registry", tags), "app", locks=KeyedLocks(), put=tags.put, rng=lambda: 0.5)
    await it.listing([OURS])
    await it.settle()
    assert tags.listed == BOTH


async def test_what_is_never_left_alone_is_held_and_tried_later() -> None:
    tags = Tags()

    class Overwritten(Referring):
        async def _see_to(self, *one: object) -> None:
            await super()._see_to(*one)  # type: ignore[arg-type]  # as it is called
            tags.write(THEIRS)

    it = Overwritten(cast("Registry", tags), "app", locks=KeyedLocks(), put=tags.put, rng=lambda: 0.5)
    await it.listing([OURS])
    with pytest.raises(RegistryError) as caught:
        await it.settle()
    assert caught.value.code is Code.REGISTRY_UNAVAILABLE
    assert TAG in caught.value.subject


async def test_what_is_lost_again_and_again_is_held_and_tried_later() -> None:
    tags = Tags(lambda tags, _: tags.write(THEIRS))
    with pytest.raises(RegistryError) as caught:
        await referring(tags).listing([OURS])
    assert caught.value.code is Code.REGISTRY_UNAVAILABLE
    assert caught.value.retryable
    assert TAG in caught.value.subject


async def test_what_is_there_after_the_last_try_is_there() -> None:
    def overwrite(tags: Tags, puts: int) -> None:
        if puts < referrers._TRIES:
            tags.write(THEIRS)

    tags = Tags(overwrite)
    await referring(tags).listing([OURS])
    assert tags.listed == BOTH


async def test_a_registry_that_refuses_a_list_says_so_itself() -> None:
    class Closed(Tags):
        async def put(self, tag: str, content: bytes, media_type: str) -> None:
            raise RegistryError(Code.REGISTRY_DENIED, tag, "no")

    with pytest.raises(RegistryError) as caught:
        await referring(Closed()).listing([OURS])
    assert caught.value.code is Code.REGISTRY_DENIED


async def test_only_what_is_wanted_is_tagged() -> None:
    tags = Tags()
    await referring(tags).tagging(tagged("x.sig", OURS), {THEIRS.descriptor.digest})
    assert not tags.tags


async def test_what_is_listed_is_not_put() -> None:
    tags = Tags()
    tags.write(THEIRS, OURS)
    it = referring(tags)
    await it.listing([OURS])
    await it.settle()
    assert tags.puts == 0


async def test_a_list_without_room_is_left_as_it_is() -> None:
    tags = Tags()
    content = json.dumps({"schemaVersion": 2, "manifests": [], "annotations": {"x": "y" * (MAX_SIZE - 100)}}).encode()
    tags.tags[TAG] = OCI_INDEX, content
    with pytest.raises(RegistryError, match="no room") as caught:
        await referring(tags).listing([OURS])
    assert caught.value.code is Code.REGISTRY_MALFORMED
    assert tags.puts == 0


async def test_one_that_is_too_long_to_be_read_is_the_registrys() -> None:
    class Long(Tags):
        async def find_manifest(self, _: str, tag: str) -> tuple[str, bytes] | None:
            raise SourceError(Code.SOURCE_MANIFEST_TOO_LARGE, tag, "is too large")

    with pytest.raises(RegistryError) as caught:
        await referring(Long()).listing([OURS])
    assert caught.value.code is Code.REGISTRY_MALFORMED


def tagged(tag: str, document: Document) -> Image:
    """Give an image beside which a tag names a manifest."""
    return Image((document, THEIRS), ((tag, document.descriptor.digest),))


async def test_a_tag_that_others_move_is_moved_again() -> None:
    other = json.dumps({**json.loads(OURS.content), "layers": [{"theirs": 1}]}).encode()

    def move(tags: Tags, puts: int) -> None:
        if puts == 1:
            tags.tags["x.sig"] = OCI_MANIFEST, other

    tags = Tags(move)
    ours = json.dumps({**json.loads(OURS.content), "layers": [{"ours": 1}]}).encode()
    document = Document(Descriptor(OCI_MANIFEST, Digest.of(ours), len(ours)), ours, OURS.manifest)
    await referring(tags).tagging(tagged("x.sig", document), {document.descriptor.digest})
    assert json.loads(tags.tags["x.sig"][1])["layers"] == [{"theirs": 1}, {"ours": 1}]


async def test_a_tag_that_is_moved_later_is_found_so() -> None:
    tags = Tags()
    it = referring(tags)
    await it.tagging(tagged("x.sig", OURS), {OURS.descriptor.digest})
    assert tags.tags["x.sig"] == (OCI_MANIFEST, OURS.content)
    del tags.tags["x.sig"]
    await it.settle()
    assert tags.tags["x.sig"] == (OCI_MANIFEST, OURS.content)


async def test_a_tag_of_another_type_is_never_overwritten() -> None:
    tags = Tags()
    tags.tags["x.sig"] = OCI_INDEX, b'{"schemaVersion":2,"manifests":[]}'
    with pytest.raises(RegistryError) as caught:
        await referring(tags).tagging(tagged("x.sig", OURS), {OURS.descriptor.digest})
    assert caught.value.code is Code.REGISTRY_TAG_EXISTS
    assert tags.puts == 0
