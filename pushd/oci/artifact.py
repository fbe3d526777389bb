"""The manifest of an artifact, files as layers (OCI image spec 1.1, manifest.md, "Guidelines for Artifact Usage")."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.media_types import OCI_EMPTY, OCI_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EMPTY_CONTENT: Final = b"{}"
EMPTY: Final = Descriptor(OCI_EMPTY, Digest.of(EMPTY_CONTENT), len(EMPTY_CONTENT))
"""What stands where an artifact has nothing to say (manifest.md, "Guidance for an Empty Descriptor")."""
TITLE: Final = "org.opencontainers.image.title"
"""Annotation of a layer: the file's name (annotations.md)."""
CREATED: Final = "org.opencontainers.image.created"
"""Annotation of a manifest: a time as RFC 3339 writes it."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One file, and what is said of it."""

    descriptor: Descriptor
    annotations: Mapping[str, str]


def build_artifact(artifact_type: str, layers: Sequence[Layer], annotations: Mapping[str, str]) -> bytes:
    """Give the manifest: the same bytes for the same arguments. Without layers it has the empty one, as is advised."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": _described(EMPTY),
        "layers": [_described(layer.descriptor, layer.annotations) for layer in layers] or [_described(EMPTY)],
    }
    if annotations:
        document["annotations"] = _sorted(annotations)
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _described(descriptor: Descriptor, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    return descriptor.fields | ({"annotations": _sorted(annotations)} if annotations else {})


def _sorted(annotations: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(annotations.items()))
