"""An image put together again that `docker save` took apart: the manifest that its archive does not have.

It is always the same for the same image, and an OCI manifest, though the archive is Docker's, because its layers are
not compressed. Docker's own manifest has one media type for layers to be pushed, and that is gzip's (Image Manifest
Version 2, Schema 2): what some write for plain ones is no part of it, and Quay refuses it (its
`image/docker/schema2/manifest.py`). OCI has a type for each, and an OCI config is Docker's by another name. Docker 25
and newer save images in the same way.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pushd.errors import RequestError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.json_object import read_object
from pushd.oci.magic import Format, format_of
from pushd.oci.media_types import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from pushd.oci.text import printable, quoted
from pushd.source.faults import malformed
from pushd.source.name import SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushd.source.listed import Listed

_COMPRESSED: Final = (Format.GZIP, Format.ZSTD)
"""How layers may be."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as it lies in the archive.

    Attributes:
        size: its bytes.
        head: the first few of them, `magic.HEAD` where there are so many.
        digest: of all of them; None where nobody read a plain one: it is sent as what its config says, and whoever
            sends it looks whether that is true.
    """

    size: int
    head: bytes
    digest: Digest | None


@dataclass(frozen=True, slots=True)
class Apart:
    """An image as it lies in the archive.

    Attributes:
        listed: which members it is made of.
        config: the bytes of its config.
        plain: the digests of its layers, uncompressed, as the config names them (OCI image spec, config.md,
            `rootfs.diff_ids`); as many as there are members.
    """

    listed: Listed
    config: bytes
    plain: tuple[str, ...]

    @classmethod
    def of(cls, listed: Listed, config: bytes, subject: str) -> Apart:
        """Look into the config; errors name the archive `subject`.

        Raises:
            SourceError: `source.archive_invalid`, config and layers do not belong together; `source.manifest_invalid`,
                the config is malformed.
        """
        return cls(listed, config, tuple(_plain_digests(listed, config, subject)))

    def assemble(self, find: Callable[[str], Layer], subject: str) -> bytes:
        """Make the manifest, and check that the layers are those the config names.

        Args:
            find: gives the layer in a member.
            subject: what errors name the archive.

        Raises:
            SourceError: `source.archive_invalid`, config and layers do not belong together; whatever `find` raises.
        """
        layers = []
        for name, expected in zip(self.listed.layers, self.plain, strict=True):
            layer = find(name)
            compression = compression_of(layer.head)
            digest = layer.digest
            if not compression:
                digest = _plain_digest(layer, name, expected, subject)
            if digest is None:
                raise ValueError(f"the digest of {name!r}, which is compressed, is not known")
            layers.append(Descriptor(OCI_LAYER + compression, digest, layer.size).fields)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": Descriptor(OCI_CONFIG, Digest.of(self.config), len(self.config)).fields,
            "layers": layers,
        }
        return json.dumps(document, separators=(",", ":")).encode()


def compression_of(head: bytes) -> str:
    """Give how a layer that begins so is compressed, as its media type says it: `+gzip`, `+zstd`, or nothing."""
    found = format_of(head)
    return f"+{found}" if found in _COMPRESSED else ""


def root_of(manifest: bytes) -> Descriptor:
    """Give the descriptor of a manifest made here."""
    return Descriptor(OCI_MANIFEST, Digest.of(manifest), len(manifest))


def _plain_digests(listed: Listed, config: bytes, subject: str) -> list[str]:
    named = printable(listed.config, SHOWN)
    rootfs = read_object(config, f"{named} in {subject}").get("rootfs")
    digests = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if digests is None and not listed.layers:
        return []
    if not isinstance(digests, list) or not all(isinstance(digest, str) for digest in digests):
        raise malformed(subject, f"has a config {quoted(listed.config)} that does not name its layers")
    if len(digests) != len(listed.layers):
        raise malformed(subject, f"lists {len(listed.layers)} layers of an image whose config names {len(digests)}")
    return digests


def _plain_digest(layer: Layer, name: str, expected: str, subject: str) -> Digest:
    """Give the digest of a layer that is not compressed."""
    try:
        digest = Digest.parse(expected)
    except RequestError as error:
        raise malformed(subject, f"has a config that names a layer {error.subject}, which {error.detail}") from error
    if digest.algorithm != "sha256":  # where layers are read first, as from a pipe, they get no other digest
        raise malformed(subject, f"has a config that names a layer {quoted(expected)}, which is no sha256")
    if layer.digest not in (None, digest):
        raise malformed(
            subject,
            f"has a layer {quoted(name)} of digest {layer.digest}; its config says {quoted(expected)}",
        )
    return digest
