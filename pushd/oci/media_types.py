"""The media types of manifests and layers (OCI image spec, media-types.md; Docker image manifest v2)."""

from __future__ import annotations

import re

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = f"{OCI_LAYER}+gzip"
OCI_LAYER_ZSTD = f"{OCI_LAYER}+zstd"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = f"{DOCKER_LAYER}.gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA_1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"

IMAGES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
"""Documents with a config and layers."""
INDEXES = frozenset({OCI_INDEX, DOCKER_MANIFEST_LIST})
"""Documents that list manifests."""
MANIFESTS = IMAGES | INDEXES
"""All documents that a registry keeps under `/manifests/`."""
SCHEMA_1 = frozenset({DOCKER_SCHEMA_1, DOCKER_SCHEMA_1_SIGNED})
"""Docker's first schema, which registries no longer take."""
CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
"""Configs of images that run somewhere, and say where; an artifact has others."""
OCI = frozenset({OCI_MANIFEST, OCI_INDEX})
"""Documents of the OCI image spec: those that may have a subject."""

FOREIGN_LAYERS = (
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
)
"""How the media types begin of layers that may have to be had from elsewhere (deprecated in OCI 1.1)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")


def is_media_type(text: str) -> bool:
    """Whether this is the name of a media type, without parameters (RFC 6838, 4.2; descriptor.md, "Properties")."""
    return _NAME.fullmatch(text) is not None
