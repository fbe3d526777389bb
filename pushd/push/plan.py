"""What a delivery still needs: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError
from pushd.job import ABSENT

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.document import Document
    from pushd.oci.image import Image
    from pushd.oci.reference import Reference


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be brought to the repository.

    Attributes:
        blobs: each digest once; in no order that matters.
        documents: manifests and indexes, children before parents; the root last.
    """

    blobs: tuple[Descriptor, ...]
    documents: tuple[Document, ...]


def make_plan(image: Image, present: AbstractSet[Digest]) -> Plan:
    """Plan the push of `image` to a repository that has the manifests in `present`.

    A manifest that is there vouches for its blobs, and for nothing else: the children of an index must be asked for
    one by one (REGISTRIES: a deleted child, and 200 for its parent all the same). When anything is missing the root
    is put again, because that is what moves the tag. Nothing missing: an empty plan.
    """
    missing = [document for document in image.documents if document.descriptor.digest not in present]
    if not missing:
        return Plan((), ())
    if missing[-1] is not image.root:
        missing.append(image.root)
    blobs = {blob.digest: blob for document in missing for blob in document.manifest.blobs}
    for document in image.documents:
        if document not in missing:
            for blob in document.manifest.blobs:
                blobs.pop(blob.digest, None)
    return Plan(tuple(blobs.values()), tuple(missing))


def check_tag(destination: Reference, found: Digest | None, *, wanted: Digest | None, if_tag: str | None) -> None:
    """Refuse to move a tag that names something else than the job allows.

    Args:
        destination: with the tag.
        found: what it names now, or None where there is none.
        wanted: the image to be pushed: a tag that names it already is right, whatever the job says. None where nobody
            knows what it will be called.
        if_tag: as in `JobSpec`.

    Raises:
        RegistryError: `registry.tag_exists`.
    """
    if (
        if_tag is None
        or (found is not None and found == wanted)
        or (if_tag == ABSENT if found is None else if_tag == str(found))
    ):
        return
    stands = "does not exist" if found is None else f"names {found} already"
    only = "where there is none" if if_tag == ABSENT else f"where it names {if_tag}"
    raise RegistryError(
        Code.REGISTRY_TAG_EXISTS,
        str(destination),
        f"{stands}, and the job puts it only {only}",
        hint="nothing was overwritten; push to another tag, or say what else may be overwritten",
    )
