"""Which image of an archive is meant, in what `docker save` of any age writes and in an OCI archive alike.

Since Docker 25 there are two lists in it: a layout's `index.json`, whose images are pushed as they are, and
`manifest.json`, which is all there was before. The first one decides where it can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from pushd.errors import Code, SourceError
from pushd.source.assembly import Apart
from pushd.source.faults import invalid
from pushd.source.index import check_marker, choose, parse_index
from pushd.source.listed import familiar, parse_list, select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.oci.descriptor import Descriptor
    from pushd.source.index import Entry

INDEX: Final = "index.json"
LIST: Final = "manifest.json"
PART: Final = "if it has only one platform of several, choose that with --platform"
"""The next step where a manifest or a blob that a layout's index leads to is not there."""
_MARKER: Final = "oci-layout"
_LEGACY: Final = "repositories"
_NOT_LISTED: Final = frozenset({Code.SOURCE_LAYOUT_INVALID, Code.SOURCE_REFERENCE_UNKNOWN})


class Documents(Protocol):
    """The small files of an archive."""

    def __contains__(self, name: str) -> bool:
        """Whether there is a file of that name."""

    def document(self, name: str, *, hint: str = "") -> bytes:
        """Give such a file, wherever a link at its name leads.

        Raises:
            SourceError: `source.blob_missing`, with the `hint`; `source.archive_invalid`, it is a link to nowhere;
                `source.manifest_too_large`; another code, it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Indexed:
    """An image of a layout.

    Attributes:
        names: what it is called.
    """

    root: Descriptor
    names: tuple[str, ...]


def find_image(documents: Documents, reference: str, subject: str) -> Indexed | Apart:
    """Find the image `reference`, or the only one, when that is empty; errors name the archive `subject`.

    Raises:
        SourceError: there is none, or more than one, or what there is of it is malformed.
    """
    if INDEX in documents:
        try:
            return _indexed(documents, reference, subject)
        except SourceError as error:
            # Docker 25 and newer leave images out of index.json that were named by digest, or all of them
            # (moby/moby#47210, #51389); manifest.json has them.
            if error.code not in _NOT_LISTED or LIST not in documents:
                raise
    if LIST in documents:
        listed = select(parse_list(documents.document(LIST), subject), reference, subject)
        return Apart.of(listed, documents.document(listed.config), subject)
    if _LEGACY in documents:
        # Docker 1.10 brought manifest.json (moby/moby#17924), and what was before it is read no more (moby/moby#50324).
        raise invalid(
            subject,
            f"was saved by a Docker before 1.10: it has {_LEGACY}, and no {LIST}",
            hint="load it with a Docker from 1.10 to 27, and save it again",
        )
    raise invalid(
        subject,
        f"is no image: it has neither an {INDEX} nor a {LIST}",
        hint="what docker save, podman save and skopeo copy write can be pushed; what docker export writes cannot",
    )


def _indexed(documents: Documents, reference: str, subject: str) -> Indexed:
    """Find an image of an OCI image layout (image-layout.md)."""
    if _MARKER not in documents:
        raise invalid(subject, f"is no OCI image layout, it has no {_MARKER}")
    check_marker(documents.document(_MARKER), subject)
    entries = parse_index(documents.document(INDEX), subject)
    wanted = reference
    if reference.startswith("@") and LIST in documents:
        # A place in manifest.json, as skopeo counts: index.json has an entry for each name. It does not tell apart
        # what has none, so that is not to be found by a name here, which is its config's, but in manifest.json.
        listed = select(parse_list(documents.document(LIST), subject), reference, subject)
        wanted = next(iter(listed.names), listed.config)
    root = choose(entries, _spelled(entries, wanted), subject)
    names = [name for entry in entries if entry.descriptor.digest == root.digest for name in entry.names]
    return Indexed(root, tuple(names))


def _spelled(entries: Sequence[Entry], reference: str) -> str:
    """Give `reference` as the archive writes it: what was saved as `app:1` is `docker.io/library/app:1` in there."""
    if not reference or any(reference in entry.names for entry in entries):
        return reference
    names = (name for entry in entries for name in entry.names)
    return next((name for name in names if familiar(name) == familiar(reference)), reference)
