"""What of an image is to be looked into: its layers, beside what its configs say of them (OCI config.md)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

from pushd.errors import Code, RequestError, SourceError
from pushd.inspection import compression
from pushd.inspection.layer import Layer
from pushd.oci.digest import Digest
from pushd.oci.document import check_content
from pushd.oci.json_object import read_object
from pushd.oci.manifest import MAX_SIZE, REBUILD, WHOLE, is_elsewhere, too_large
from pushd.oci.media_types import CONFIGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.document import Document
    from pushd.oci.image import Image


@dataclass(frozen=True, slots=True)
class Worklist:
    """What is to be looked into.

    Attributes:
        layers: each once.
        skipped: layers that nobody here can look into: foreign or encrypted ones, and what is no layer of files.
    """

    layers: tuple[Layer, ...]
    skipped: int


def make_worklist(image: Image, fetch: Callable[[Descriptor], bytes]) -> Worklist:
    """Say what is to be looked into of an image.

    A manifest is an image's if it has an image's config, and a layer of files or none at all: attestations and
    signatures come with such a config too. Of any other nothing is claimed but that the media types of what it calls
    layers of files are right.

    Args:
        image: all documents.
        fetch: gives the bytes of a config; it need not check them.

    Raises:
        SourceError: `source.manifest_invalid`, a config does not say what an image's must, or not of as many layers as
            there are; `source.blob_digest`, it is not what its digest says; what `fetch` raises.
    """
    layers: dict[Layer, None] = {}
    skipped = 0
    for document in image.documents:
        for layer in _layers_of(document, fetch):
            if layer is None:
                skipped += 1
            else:
                layers[layer] = None
    return Worklist(tuple(layers), skipped)


def _layers_of(document: Document, fetch: Callable[[Descriptor], bytes]) -> Iterator[Layer | None]:
    """Give the layers of one document, None for each that is skipped."""
    if not document.manifest.blobs:
        return  # an index
    config, *pushed = document.manifest.blobs
    listed = read_object(document.content, WHOLE)["layers"] or ()
    here = [not is_elsewhere(entry, f"layers[{number}]") for number, entry in enumerate(listed)]
    kinds = [compression.said(blob.media_type) for blob in pushed]
    of_image = config.media_type in CONFIGS and (not kinds or any(kind is not None for kind in kinds))
    diff_ids = iter(_diff_ids(config, fetch, here) if of_image else [None] * len(pushed))
    for blob, kind, diff_id in zip(pushed, kinds, diff_ids, strict=True):
        yield None if kind is None else Layer(blob, kind, diff_id)
    yield from [None] * here.count(False)


def _diff_ids(config: Descriptor, fetch: Callable[[Descriptor], bytes], here: Sequence[bool]) -> Sequence[Digest]:
    """Read what a config says of the layers of its image; give the digests of the tars of those that are `here`."""
    name = f"config {config.digest}"
    if config.size > MAX_SIZE:
        raise too_large(name, config.size)
    content = fetch(config)
    check_content(config, content, name)
    fields = read_object(content, name)
    for field in ("os", "architecture"):
        if not isinstance(fields.get(field), str) or not fields[field]:
            raise _invalid(f"{name}, {field}", "is missing, or no text")
    rootfs = fields.get("rootfs")
    if not isinstance(rootfs, dict) or rootfs.get("type") != "layers":
        raise _invalid(f"{name}, rootfs.type", 'is not "layers"')
    diff_ids = rootfs.get("diff_ids") or []
    if not isinstance(diff_ids, list) or len(diff_ids) != len(here):
        found = len(diff_ids) if isinstance(diff_ids, list) else "no list of"
        raise _invalid(f"{name}, rootfs.diff_ids", f"has {found} layers; the manifest has {len(here)}")
    read = [_digest(diff_id, f"{name}, rootfs.diff_ids[{number}]") for number, diff_id in enumerate(diff_ids)]
    return list(compress(read, here))


def _digest(text: object, field: str) -> Digest:
    if not isinstance(text, str):
        raise _invalid(field, "is no text")
    try:
        return Digest.parse(text)
    except RequestError as error:
        raise _invalid(field, f"is {error.subject}, which {error.detail}") from error


def _invalid(field: str, detail: str) -> SourceError:
    return SourceError(Code.SOURCE_MANIFEST_INVALID, field, detail, hint=REBUILD)
