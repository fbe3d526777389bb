"""Archives as docker, podman and others write them, built in memory for tests.

    saved = SavedImage(layers=[b"one", b"two"], names=["app:1"])
    docker_archive([saved]), docker_archive([saved], links=True), docker_archive([saved], oci=True)

What stands in them follows moby's `image/tarexport/save.go` of Docker 24 (plain, with `links` for a layer that two
images share) and of Docker 25 (`oci`), and go-containerregistry's tarball (`flat`).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, slots=True)
class Link:
    """A member that leads to another."""

    target: str
    hard: bool = False


Member: TypeAlias = "bytes | Link | tarfile.TarInfo"
"""The bytes of a file, a link, or the header of another thing."""


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image as a daemon saves it.

    Attributes:
        layers: their bytes, as they are in the archive.
        plain: the bytes that the config's diff_ids are of; `layers` unless they are compressed.
    """

    layers: Sequence[bytes]
    names: Sequence[str] = ("app:1",)
    plain: Sequence[bytes] | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> bytes:
        digests = [f"sha256:{_hex(layer)}" for layer in (self.plain or self.layers)]
        return json.dumps(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": digests}, **self.more}
        ).encode()


def docker_archive(
    images: Sequence[SavedImage], *, links: bool = False, oci: bool = False, flat: bool = False
) -> bytes:
    """Give what `docker save` writes."""
    return tar(docker_members(images, links=links, oci=oci, flat=flat))


def docker_members(
    images: Sequence[SavedImage], *, links: bool = False, oci: bool = False, flat: bool = False
) -> dict[str, Member]:
    """Give the members of it by name."""
    members: dict[str, Member] = {}
    listed, manifests = [], []
    first: dict[bytes, str] = {}
    for number, image in enumerate(images):
        layers = []
        for position, layer in enumerate(image.layers):
            if oci:
                name = f"blobs/sha256/{_hex(layer)}"
            elif flat:
                name = f"{_hex(layer)}.tar.gz"
            else:
                directory = _hex(f"{number}/{position}".encode())
                name = f"{directory}/layer.tar"
                members[f"{directory}/VERSION"] = b"1.0"
                members[f"{directory}/json"] = json.dumps({"id": directory}).encode()
            layers.append(name)
            shared = first.setdefault(layer, name)
            members[name] = Link(f"../{shared}") if links and shared != name else layer
        name = f"sha256:{_hex(image.config)}" if flat else f"{_hex(image.config)}.json"
        name = f"blobs/sha256/{_hex(image.config)}" if oci else name
        members[name] = image.config
        listed.append({"Config": name, "RepoTags": list(image.names) or None, "Layers": layers})
        if oci:
            manifests += _oci_manifest(image, members)
    members["manifest.json"] = json.dumps(listed).encode()
    if oci:
        members["index.json"] = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()
        members["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    return dict(sorted(members.items()))


def tar(members: Mapping[str, Member] | Iterable[tuple[str, Member]]) -> bytes:
    """Pack members, in their order; those of the same name too."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members if isinstance(members, list) else dict(members).items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo()
            info.name = name
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(info)
            elif isinstance(content, Link):
                info.type = tarfile.LNKTYPE if content.hard else tarfile.SYMTYPE
                info.linkname = content.target
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def of_kind(kind: bytes) -> tarfile.TarInfo:
    """Give the header of something of another kind, by its type flag."""
    info = tarfile.TarInfo()
    info.type = kind
    return info


def descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    """Give the descriptor of some content."""
    return {"mediaType": media_type, "digest": f"sha256:{_hex(content)}", "size": len(content)}


def manifest_of(image: SavedImage, suffixes: Sequence[str] = ()) -> bytes:
    """Give the OCI manifest an image has when nothing is changed of it."""
    suffixes = suffixes or [""] * len(image.layers)
    layers = [descriptor(LAYER + suffix, layer) for layer, suffix in zip(image.layers, suffixes, strict=True)]
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, image.config), "layers": layers}
    return json.dumps(document, separators=(",", ":")).encode()


def _oci_manifest(image: SavedImage, members: dict[str, Member]) -> list[dict[str, Any]]:
    content = manifest_of(image) + b"\n"  # not what the client would make
    members[f"blobs/sha256/{_hex(content)}"] = content
    return [
        descriptor(MANIFEST, content)
        | {
            "annotations": {
                "io.containerd.image.name": f"docker.io/library/{name}",
                "org.opencontainers.image.ref.name": name.rpartition(":")[2],
            }
        }
        for name in image.names
    ]


def _hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
