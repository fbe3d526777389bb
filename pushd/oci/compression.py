"""Plain layers and what they become: which of an image's are plain, and the documents that list them compressed.

OCI image spec, layer.md, "+gzip Media Types" and "+zstd Media Types"; Docker's types know gzip alone. A config stays as
it is: its `diff_ids` are the digests of plain layers (config.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from functools import partial
from typing import TYPE_CHECKING, Any

from pushd.oci import media_types
from pushd.oci.descriptor import Descriptor, renamed
from pushd.oci.digest import Digest
from pushd.oci.image import Image
from pushd.oci.json_object import read_object, write_object
from pushd.oci.manifest import WHOLE
from pushd.oci.selection import ABOUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushd.oci.document import Document


@unique
class Encoding(StrEnum):
    """How a layer is compressed."""

    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class Plain:
    """A plain layer, and how it is to be compressed.

    Attributes:
        digest: of the plain bytes; `size` is how many they are.
    """

    digest: Digest
    size: int
    encoding: Encoding

    @property
    def blob(self) -> Descriptor:
        """What to ask a source for."""
        return Descriptor(media_types.OCI_LAYER, self.digest, self.size)


@dataclass(frozen=True, slots=True)
class Packed:
    """What a plain layer became: digest and size in bytes of the compressed one."""

    digest: Digest
    size: int


def plain_layers(image: Image, encoding: Encoding) -> tuple[Plain, ...]:
    """Give what is to be compressed of an image, each once, in the order in which the documents need it.

    A layer of Docker's plain type is compressed with gzip whatever `encoding` is: there is no type for another.
    """
    layers = (layer for document in image.documents for layer in document.manifest.blobs[1:])
    return tuple(dict.fromkeys(_plain(layer, encoding) for layer in layers if layer.media_type in _PLAIN_TYPES))


def with_packed(image: Image, encoding: Encoding, packed: Mapping[Plain, Packed]) -> Image:
    """Write an image anew that lists compressed layers in place of the plain ones; always the same for the same.

    What else its documents say stays as it is and where it is, what nobody knows included; documents that list nothing
    that changed stay as they are. What an index lists as an attestation of a child is listed as one of what the child
    is called now; what the attestation itself says, and what is signed, cannot follow. Nor does a `subject`.

    Args:
        image: with the plain layers.
        encoding: as `plain_layers` was asked.
        packed: what each layer that `plain_layers` gave became.

    Raises:
        SourceError: `source.manifest_invalid` or `.manifest_too_large`, a document cannot be written anew.
    """
    names: dict[str, Descriptor] = {}
    documents: dict[Digest, Document] = {}
    for document in image.documents:
        if document.descriptor.media_type in media_types.INDEXES:
            after = _changed(document, partial(_listing, names=names))
        else:
            after = _changed(document, partial(_layered, encoding=encoding, packed=packed))
        names[str(document.descriptor.digest)] = after.descriptor
        documents[after.descriptor.digest] = after
    return Image(tuple(documents.values()))


def _plain(layer: Descriptor, encoding: Encoding) -> Plain:
    docker = layer.media_type == media_types.DOCKER_LAYER
    return Plain(layer.digest, layer.size, Encoding.GZIP if docker else encoding)


_PLAIN_TYPES = frozenset({media_types.OCI_LAYER, media_types.DOCKER_LAYER})
_PACKED_TYPES = {
    (media_types.OCI_LAYER, Encoding.GZIP): media_types.OCI_LAYER_GZIP,
    (media_types.OCI_LAYER, Encoding.ZSTD): media_types.OCI_LAYER_ZSTD,
    (media_types.DOCKER_LAYER, Encoding.GZIP): media_types.DOCKER_LAYER_GZIP,
}


def _changed(document: Document, change: partial[dict[str, Any]]) -> Document:
    """Write a document anew, unless that changes nothing: then it keeps its bytes."""
    fields = read_object(document.content, WHOLE)
    after = change(fields)
    return document if after == fields else document.written(lambda _: write_object(after))


def _layered(fields: dict[str, Any], *, encoding: Encoding, packed: Mapping[Plain, Packed]) -> dict[str, Any]:
    layers = [_layer(entry, encoding, packed) for entry in fields["layers"] or ()]
    return fields | {"layers": layers} if layers else fields


def _layer(entry: dict[str, Any], encoding: Encoding, packed: Mapping[Plain, Packed]) -> dict[str, Any]:
    # A layer that is had from elsewhere need not say what others must.
    if entry.get("mediaType") not in _PLAIN_TYPES:
        return entry
    before = Descriptor(entry["mediaType"], Digest.parse(entry["digest"]), entry["size"])
    plain = _plain(before, encoding)
    after = packed[plain]
    return renamed(entry, Descriptor(_PACKED_TYPES[before.media_type, plain.encoding], after.digest, after.size))


def _listing(fields: dict[str, Any], *, names: Mapping[str, Descriptor]) -> dict[str, Any]:
    children = [_child(entry, names) for entry in fields["manifests"] or ()]
    return fields | {"manifests": children} if children else fields


def _child(entry: dict[str, Any], names: Mapping[str, Descriptor]) -> dict[str, Any]:
    entry = renamed(entry, names[entry["digest"]])
    annotations = entry.get("annotations")
    said = annotations.get(ABOUT) if isinstance(annotations, dict) else None
    if not isinstance(annotations, dict) or not isinstance(said, str) or said not in names:
        return entry
    return entry | {"annotations": annotations | {ABOUT: str(names[said].digest)}}
