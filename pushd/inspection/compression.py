"""How layers are compressed: what their media types say, and what their first bytes look like."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final

from pushd.oci.magic import Format, format_of
from pushd.oci.media_types import DOCKER_LAYER, DOCKER_LAYER_GZIP, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD


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
_SEEN: Final = {Format.GZIP: Compression.GZIP, Format.ZSTD: Compression.ZSTD}


def said(media_type: str) -> Compression | None:
    """Give how a layer of this media type is compressed; None for what is not known as a layer.

    Foreign (nondistributable) layers and encrypted ones are not known: nobody here can look into them.
    """
    return _LAYERS.get(media_type)


def seen(head: bytes) -> Compression:
    """Give how what begins with `head`, of `magic.HEAD` bytes where there are as many, is compressed."""
    found = format_of(head)
    return Compression.NONE if found is None else _SEEN.get(found, Compression.NONE)
