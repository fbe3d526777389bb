"""The list of images that `docker save` and its like write: `manifest.json`.

It is no manifest of an image, but says of each which members hold its config and its layers, and what it is called
(Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format").
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.media_types import OCI_MANIFEST
from pushd.source.faults import malformed
from pushd.source.index import Entry, choose

if TYPE_CHECKING:
    from collections.abc import Sequence


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


def parse_list(content: bytes, subject: str) -> tuple[Listed, ...]:
    """Read `manifest.json`; errors name the archive `subject`.

    Raises:
        SourceError: `source.archive_invalid`; it is malformed.
    """
    try:
        images = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise malformed(subject, "has a manifest.json that is not JSON") from error
    if not isinstance(images, list):
        raise malformed(subject, "has a manifest.json that is no list of images")
    return tuple(_listed(image, position, subject) for position, image in enumerate(images))


def select(images: Sequence[Listed], reference: str, subject: str) -> Listed:
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
    return images[made_of.index(choose(entries, wanted, subject).digest)]


def familiar(name: str) -> str:
    """Give an image's name as Docker shows it: without its own registry, and with a tag."""
    for prefix in ("index.docker.io/", "docker.io/", "library/"):
        name = name.removeprefix(prefix)
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _listed(image: object, position: int, subject: str) -> Listed:
    field = f"has a manifest.json whose image {position}"
    if not isinstance(image, dict):
        raise malformed(subject, f"{field} is no object")
    config = image.get("Config")
    if not isinstance(config, str) or not config:
        raise malformed(subject, f"{field} has no Config")
    return Listed(config, _strings(image, "Layers", field, subject), _strings(image, "RepoTags", field, subject))


def _strings(image: dict[str, Any], name: str, field: str, subject: str) -> tuple[str, ...]:
    values = image.get(name) or []  # null is what Go programs write for an empty list
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise malformed(subject, f"{field} has {name} that are no list of names")
    return tuple(values)
