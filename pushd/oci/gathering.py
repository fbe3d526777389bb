"""All that is said about an image, and about each manifest in it, as a part of what is pushed with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushd.errors import Code, SourceError
from pushd.oci.document import name_of
from pushd.oci.image import MAX_DEPTH, Image, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.document import Document

_WITHOUT = "or push the image without what refers to it"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found about one manifest.

    Attributes:
        listed: what is listed as its referrers.
        tagged: what cosign's tags for it name, with the tag.
    """

    listed: tuple[Descriptor, ...] = ()
    tagged: tuple[tuple[str, Descriptor], ...] = ()


def with_referrers(
    image: Image, look: Callable[[Sequence[Digest]], Sequence[Found]], fetch: Callable[[Descriptor], bytes]
) -> Image:
    """Give an image with all that refers to its manifests, and to what refers to those, and so on.

    Nothing is left out that is listed: an image would pass for one that nobody said more about.

    Args:
        image: as it is to be pushed; its own documents stay as they are.
        look: gives what is found about some manifests, in their order; asked once about each.
        fetch: as `read_image` has it.

    Raises:
        SourceError: as `read_image`, whose limits are for all of it together; `source.blob_missing`, what is listed is
            not there; `source.manifest_invalid`, what is listed refers to something else;
            `source.manifest_unsupported`, it goes on for more than `MAX_DEPTH` levels.
    """
    reading = Reading(fetch, image)
    tags: dict[str, Digest] = {}
    subjects = [document.descriptor.digest for document in image.documents]
    for _ in range(MAX_DEPTH + 1):  # the last finds nothing more
        read = len(reading.documents)
        for subject, found in zip(subjects, look(subjects), strict=True):
            for referrer in found.listed:
                _check_refers(_read(reading, referrer, subject), subject)
            for tag, referrer in found.tagged:
                tags[tag] = _read(reading, referrer, subject).descriptor.digest
        subjects = list(reading.documents)[read:]
        if not subjects:
            *before, root = image.documents
            referrers = list(reading.documents.values())[len(image.documents) :]
            return Image((*before, *referrers, root), tuple(tags.items()))
    detail = f"refers to what refers to another, and so on for more than {MAX_DEPTH} levels"
    raise SourceError(Code.SOURCE_MANIFEST_UNSUPPORTED, name_of(subjects[0]), detail, hint=_WITHOUT.removeprefix("or "))


def _read(reading: Reading, referrer: Descriptor, subject: Digest) -> Document:
    try:
        return reading.read(referrer)
    except SourceError as error:
        if error.code not in (Code.SOURCE_BLOB_MISSING, Code.SOURCE_NOT_FOUND):
            raise
        detail = f"is listed as a referrer of {subject}, and is not there"
        hint = f"have it taken off the list where it is kept, {_WITHOUT}"
        raise SourceError(Code.SOURCE_BLOB_MISSING, name_of(referrer.digest), detail, hint=hint) from error


def _check_refers(document: Document, subject: Digest) -> None:
    named = document.manifest.subject
    if named is None or named.digest != subject:
        refers = "refers to nothing" if named is None else f"refers to {named.digest}"
        detail = f"is listed as a referrer of {subject}, and {refers}"
        hint = f"have it taken off the list where it is kept, {_WITHOUT}"
        raise SourceError(Code.SOURCE_MANIFEST_INVALID, name_of(document.descriptor.digest), detail, hint=hint)
