"""An image out of what `docker save` wrote before Docker 25, and podman, skopeo and others write still.

The archive has no manifest that a registry would take, only a list of configs and layers (Docker image specification
v1.2, "Combined Image JSON + Filesystem Changeset Format"), so one is made: always the same for the same image.

It is an OCI manifest, though the archive is Docker's, because its layers are not compressed. Docker's own manifest has
one media type for layers to be pushed, and that is gzip's (Image Manifest Version 2, Schema 2): what some write for
plain ones is no part of it, and Quay refuses it (its `image/docker/schema2/manifest.py`). OCI has a type for each, and
an OCI config is Docker's by another name. Docker 25 and newer save images in the same way.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pushd.client.forward import SUBJECT, invalid
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.json_object import read_object
from pushd.oci.media_types import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from pushd.oci.text import quoted
from pushd.source.index import Entry, choose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pushd.client.cargo import Brought

_COMPRESSED: Final = ((b"\x1f\x8b", "+gzip"), (b"\x28\xb5\x2f\xfd", "+zstd"))


@dataclass(frozen=True, slots=True)
class Listed:
    """One image of `manifest.json`.

    Attributes:
        config: the member with its config.
        layers: the members with its layers, the lowest first; one may be there twice.
        names: what it is called.
    """

    config: str
    layers: tuple[str, ...]
    names: tuple[str, ...]


def parse_list(content: bytes) -> tuple[Listed, ...]:
    """Read `manifest.json`.

    Raises:
        SourceError: `source.archive_invalid`; it is malformed.
    """
    try:
        images = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise invalid("has a manifest.json that is not JSON") from error
    if not isinstance(images, list):
        raise invalid("has a manifest.json that is no list of images")
    return tuple(_listed(image, position) for position, image in enumerate(images))


def select(images: Sequence[Listed], reference: str) -> Listed:
    """Choose the image that `reference` names; the only one, when it is empty; `@N` is the one at position N, from 0.

    Raises:
        SourceError: `source.reference_unknown`, `source.ambiguous`, or `source.layout_invalid` when there is none.
    """
    wanted = familiar(reference) if reference and not reference.startswith("@") else reference
    # What tells two images apart is what they are made of: an image listed twice is one.
    made_of = [Digest.of(json.dumps([image.config, image.layers]).encode()) for image in images]
    entries = [
        Entry(position, Descriptor(OCI_MANIFEST, made_of[position], 0), tuple(familiar(name) for name in image.names))
        for position, image in enumerate(images)
    ]
    return images[made_of.index(choose(entries, wanted, SUBJECT).digest)]


def build_manifest(image: Listed, config: bytes, find: Callable[[str], Brought]) -> bytes:
    """Make the manifest of an image, and check that its layers are those its config names.

    Args:
        image: as listed.
        config: the bytes of its config.
        find: gives the layer in a member.

    Raises:
        SourceError: `source.archive_invalid`, config and layers do not belong together; `source.manifest_invalid`, the
            config is malformed; whatever `find` raises.
    """
    plain = _plain_digests(config, image)
    layers = []
    for name, expected in zip(image.layers, plain, strict=True):
        layer = find(name)
        compression = next((suffix for magic, suffix in _COMPRESSED if layer.head.startswith(magic)), "")
        if not compression and str(layer.digest) != expected:
            raise invalid(
                f"has a layer {quoted(name)} of digest {layer.digest}; its config says {quoted(expected)}",
                hint="it is damaged: save the image again",
            )
        layers.append(_descriptor(OCI_LAYER + compression, layer.digest, layer.size))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(OCI_CONFIG, Digest.of(config), len(config)),
        "layers": layers,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _plain_digests(config: bytes, image: Listed) -> list[str]:
    """Give the digests a config names of the uncompressed layers (OCI image spec, config.md, `rootfs.diff_ids`)."""
    rootfs = read_object(config, f"{image.config} in {SUBJECT}").get("rootfs")
    digests = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if digests is None and not image.layers:
        return []
    if not isinstance(digests, list) or not all(isinstance(digest, str) for digest in digests):
        raise invalid(f"has a config {quoted(image.config)} that does not name its layers")
    if len(digests) != len(image.layers):
        raise invalid(f"lists {len(image.layers)} layers of an image whose config names {len(digests)}")
    return digests


def _listed(image: object, position: int) -> Listed:
    field = f"has a manifest.json whose image {position}"
    if not isinstance(image, dict):
        raise invalid(f"{field} is no object")
    config = image.get("Config")
    if not isinstance(config, str) or not config:
        raise invalid(f"{field} has no Config")
    return Listed(config, _strings(image, "Layers", field), _strings(image, "RepoTags", field))


def _strings(image: dict[str, Any], name: str, field: str) -> tuple[str, ...]:
    values = image.get(name) or []  # null is what Go programs write for an empty list
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise invalid(f"{field} has {name} that are no list of names")
    return tuple(values)


def familiar(name: str) -> str:
    """Give an image's name as Docker shows it: without its own registry, and with a tag."""
    for prefix in ("index.docker.io/", "docker.io/", "library/"):
        name = name.removeprefix(prefix)
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _descriptor(media_type: str, digest: Digest, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(digest), "size": size}
