"""What the index of a layout has about manifests: referrers, and what cosign's tags name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, SourceError
from pushd.oci.document import Document, name_of
from pushd.oci.gathering import Found
from pushd.oci.image import MAX_TOTAL
from pushd.oci.json_object import write_object
from pushd.oci.manifest import MAX_SIZE, located, too_large
from pushd.oci.media_types import OCI, OCI_INDEX
from pushd.oci.referrers import cosign_tags, read_listing, referrers_tag
from pushd.source.index import REF_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image
    from pushd.source.index import Entry


def listing_of(image: Image) -> bytes:
    """Write an index that has what refers to an image as `About` finds it: the `index.json` of a layout of these."""
    documents = {document.descriptor.digest: document.descriptor for document in image.documents}
    referring = [document.descriptor for document in image.referrers if document.manifest.subject is not None]
    entries = [descriptor.fields for descriptor in referring]
    entries += [documents[digest].fields | {"annotations": {REF_NAME: tag}} for tag, digest in image.tags]
    return write_object({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})


class About:
    """Looks for them.

    What is listed under a tag is found by that. What is listed in another way, as most tools do, says itself what it
    is about: for that each manifest that is listed is read once.

    Args:
        entries: those of `index.json`.
        fetch: gives the bytes of a document.
        image: what is asked about first: its documents need not be read.

    Raises:
        SourceError: one of them is not there, or is no manifest; `source.manifest_too_large`, they are too many.
    """

    def __init__(self, entries: Collection[Entry], fetch: Callable[[Descriptor], bytes], image: Image) -> None:
        self._fetch = fetch
        self._bytes = 0
        self._named = {name: entry.descriptor for entry in entries for name in entry.names}
        self._by_subject: dict[Digest, list[Descriptor]] = {}
        known = {document.descriptor.digest for document in image.documents}
        for descriptor in dict.fromkeys(entry.descriptor for entry in entries):
            if descriptor.media_type in OCI and descriptor.digest not in known:
                self._by_subject_of(descriptor)

    def look(self, subjects: Sequence[Digest]) -> Sequence[Found]:
        """Give what was found about some manifests, in their order.

        Raises:
            SourceError: a list of referrers is none.
        """
        return [self._found(subject) for subject in subjects]

    def _found(self, subject: Digest) -> Found:
        listed = dict.fromkeys(self._by_subject.get(subject, ()))
        index = self._named.get(referrers_tag(subject))
        if index is not None:
            try:
                listed |= dict.fromkeys(read_listing(self._read(index)))
            except SourceError as error:
                raise located(error, f"the referrers of {subject}") from error
        tagged = ((tag, self._named.get(tag)) for tag in cosign_tags(subject))
        return Found(tuple(listed), tuple((tag, descriptor) for tag, descriptor in tagged if descriptor is not None))

    def _by_subject_of(self, descriptor: Descriptor) -> None:
        self._bytes += descriptor.size
        if self._bytes > MAX_TOTAL:
            detail = f"is one too many to look through: all that index.json lists has at most {MAX_TOTAL} bytes"
            hint = "copy the image, and what refers to it, to a layout of its own"
            raise SourceError(Code.SOURCE_MANIFEST_TOO_LARGE, name_of(descriptor.digest), detail, hint=hint)
        subject = Document.read(descriptor, self._read(descriptor)).manifest.subject
        if subject is not None:
            self._by_subject.setdefault(subject.digest, []).append(descriptor)

    def _read(self, descriptor: Descriptor) -> bytes:
        if descriptor.size > MAX_SIZE:
            raise too_large(name_of(descriptor.digest), descriptor.size)
        return self._fetch(descriptor)
