"""How layers are compressed: what their media types say, and what their first bytes look like."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final

from pushd.oci.media_types import DOCKER_LAYER, DOCKER_LAYER_GZIP, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD

HEAD: Final = 4
"""First bytes that tell."""
_GZIP: Final = b"\x1f\x8b"  # RFC 1952, 2.3.1
_ZSTD: Final = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
_SKIPPABLE: Final = b"\x2a\x4d\x18"  # RFC 8878, 3.1.2: after a byte from 0x50 to 0x5f


@unique
class Compression(StrEnum):
    """How a layer's tar is compressed."""

    NONE = "not compressed"
    GZIP = "gzip"
    ZSTD = "zstd"


_LAYERS: Final = {
    OCI_LAYER: Compression.NONE,
    OCI_LAYER_GZIP: Compression.GZIP,
    OCI_LAYER_ZSTD: Compression.ZSTD,
    DOCKER_LAYER: Compression.NONE,
    DOCKER_LAYER_GZIP: Compression.GZIP,
    f"{DOCKER_LAYER}.zstd": Compression.ZSTD,  # which some write, and no specification has
}


def said(media_type: str) -> Compression | None:
    """Give how a layer of this media type is compressed; None for what is not known as a layer.

    Foreign (nondistributable) layers and encrypted ones are not known: nobody here can look into them.
    """
    return _LAYERS.get(media_type)


def seen(head: bytes) -> Compression:
    """Give how what begins with `head`, of `HEAD` bytes where there are as many, is compressed."""
    if head.startswith(_GZIP):
        return Compression.GZIP
    if head.startswith(_ZSTD) or (head[1:] == _SKIPPABLE and head[0] >> 4 == 0x5):  # noqa: PLR2004 (as above)
        return Compression.ZSTD
    return Compression.NONE
