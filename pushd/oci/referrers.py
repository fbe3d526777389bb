"""What is said about a manifest beside it: how it is found, and how those who find it by a tag list it.

A signature, an SBOM or an attestation is a manifest of its own. That it is about another one its `subject` says, and a
registry lists it by that, or the index under the referrers tag does where the registry has no API for it (OCI
distribution spec 1.1, "Listing Referrers", "Referrers Tag Schema", "Pushing Manifests with Subject"). Cosign does so in
another way by default: under a tag made of the digest that it is about.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pushd.oci import media_types
from pushd.oci.json_object import read_object, write_object
from pushd.oci.manifest import WHOLE, Manifest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.document import Document

_GROWING: Final = (".sig", ".att")
"""How cosign's tags end whose manifests grow by a layer for each signature or attestation."""
_ENDINGS: Final = (*_GROWING, ".sbom")

_ALGORITHM_MAX: Final = 32
_ENCODED_MAX: Final = 64
_NO_TAG: Final = re.compile(r"[^A-Za-z0-9._-]")


def referrers_tag(subject: Digest) -> str:
    """Give the tag of the index of a manifest's referrers ("Referrers Tag Schema")."""
    return _NO_TAG.sub("-", f"{subject.algorithm[:_ALGORITHM_MAX]}-{subject.encoded[:_ENCODED_MAX]}")


def cosign_tags(subject: Digest) -> tuple[str, ...]:
    """Give the tags under which cosign keeps what is about a manifest."""
    return tuple(f"{subject.algorithm}-{subject.encoded}{ending}" for ending in _ENDINGS)


def read_listing(content: bytes) -> tuple[Descriptor, ...]:
    """Read an index of referrers, as a registry answers it or keeps it under the referrers tag.

    Raises:
        SourceError: `source.manifest_invalid` and its like, with the field as its subject; it is no such index.
    """
    return Manifest.parse(content, media_types.OCI_INDEX).children


def listing_with(content: bytes | None, referrers: Iterable[Document]) -> bytes | None:
    """Write an index of referrers that lists these as well; what else it says stays as it is and where it is.

    Args:
        content: the index there is; None where there is none.
        referrers: each with the subject that the index is of.

    Returns:
        The index, or None where it lists them all already.

    Raises:
        SourceError: as `read_listing`.
    """
    there = {listed.digest for listed in read_listing(content)} if content is not None else ()
    missing = [document for document in referrers if document.descriptor.digest not in there]
    if not missing:
        return None
    empty: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": []}
    fields = empty if content is None else read_object(content, WHOLE)
    entries = list(fields["manifests"] or ())
    return write_object(fields | {"manifests": entries + [_entry(document) for document in missing]})


def listing_without(content: bytes, gone: Collection[Digest]) -> bytes:
    """Write an index of referrers, which `read_listing` took, that lists these no longer; otherwise as it is."""
    fields = read_object(content, WHOLE)
    named = {str(digest) for digest in gone}
    return write_object(fields | {"manifests": [one for one in fields["manifests"] if one["digest"] not in named]})


def _entry(document: Document) -> dict[str, Any]:
    """Give the descriptor of a referrer, with the type and the annotations that it has itself."""
    fields, descriptor = read_object(document.content, WHOLE), document.descriptor
    config = fields.get("config")
    artifact_type = fields.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else None)
    annotations = fields.get("annotations")
    entry = descriptor.fields
    if artifact_type:
        entry["artifactType"] = artifact_type
    if annotations:
        entry["annotations"] = annotations
    return entry


def tagged_with(tag: str, theirs: bytes, ours: bytes) -> bytes | None:
    """Give what a tag of cosign's is to name where somebody else has put something there: nothing of either is lost.

    Under `.sig` and `.att` each layer is a signature or an attestation by itself, and to add one is to append a layer.
    One is told from another by all that its descriptor says: whoever signs the same image signs the same bytes, and
    the signature is an annotation. So where each has some that the other lacks, ours are appended to theirs; with the
    config that is there already, which nobody verifies anything by. A digest was promised of the layers, each signed
    by itself, and not of the manifest that collects them.

    Args:
        tag: the tag.
        theirs: the manifest it names now.
        ours: the manifest that was brought.

    Returns:
        The manifest it is to name; None where it is right as it is.

    Raises:
        ValueError: they cannot be joined: it is one SBOM or another, or no signatures.
    """
    before, brought = read_object(theirs, WHOLE), read_object(ours, WHOLE)
    if not tag.endswith(_GROWING) or not isinstance(before.get("layers"), list):
        raise ValueError(tag)
    there, wanted = before["layers"], brought.get("layers") or []
    missing = [layer for layer in wanted if layer not in there]
    if not missing:
        return None
    if all(layer in wanted for layer in there):
        return ours
    return write_object(before | {"layers": there + missing})
