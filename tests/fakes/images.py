"""OCI image layouts of any shape, built on disk for tests.

    layout = build_layout(tmp_path / "app", images=[ImageSpec(tag="1.4", layers=[1024, 2048])])
    layout.image.digest, layout.image.layers[0].size, layout.blob_path(layout.image.config.digest)
    pack(layout.path, tmp_path / "app.tar")

Everything is derived from the specs: the same call gives the same bytes.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from tests.fakes.layers import write_layer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """The image one entry of a layout's `index.json` is to name.

    Attributes:
        tag: its `org.opencontainers.image.ref.name`, or None for an image without a name.
        layers: bytes of each layer blob, exactly (at least `layers.MIN_LAYER` each when compressed).
        platforms: one: a plain image of that platform; several: an index over one image each.
        nested: put the index of the platforms into another index.
        attested: list an attestation of each image behind the images, as BuildKit does; then it is always an index.
        compressed: gzip layers; False gives plain bytes of any length, 0 included, that are no tar.
        seed: images of one seed share the layers of equal platform, position and size; by default the tag's.
    """

    tag: str | None = "latest"
    layers: Sequence[int] = (1024,)
    platforms: Sequence[str] = ("linux/amd64",)
    nested: bool = False
    attested: bool = False
    compressed: bool = True
    seed: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What an index has of one platform: its image, and the attestation of that where there is one."""

    manifests: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]

    @property
    def digests(self) -> set[str]:
        return {str(one.digest) for one in (*self.manifests, *self.blobs)}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """What was built for one spec.

    Attributes:
        root: the descriptor that stands in `index.json`.
        manifests: children before parents, the root last.
        configs: one for each platform, then one for each attestation.
        layers: of all platforms in order, each once; then the attestations' statements.
        parts: by platform.
    """

    tag: str | None
    root: Descriptor
    manifests: tuple[Descriptor, ...]
    configs: tuple[Descriptor, ...]
    layers: tuple[Descriptor, ...]
    parts: Mapping[str, Part] = field(default_factory=dict)

    @property
    def digest(self) -> Digest:
        return self.root.digest

    @property
    def config(self) -> Descriptor:
        """The only config."""
        (config,) = self.configs
        return config

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Configs and layers, each once."""
        return tuple(dict.fromkeys((*self.configs, *self.layers)))


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout on disk, and what was built into it."""

    path: Path
    images: dict[str | None, BuiltImage] = field(default_factory=dict)

    @property
    def image(self) -> BuiltImage:
        """The only image."""
        (image,) = self.images.values()
        return image

    def blob_path(self, digest: Digest) -> Path:
        return self.path / "blobs" / digest.algorithm / digest.encoded

    def put(
        self, content: bytes, media_type: str = "application/octet-stream", algorithm: str = "sha256"
    ) -> Descriptor:
        """Store a blob, whatever it is."""
        digest = Digest.of(content, algorithm)
        target = self.blob_path(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return Descriptor(media_type, digest, len(content))

    def put_json(self, document: dict[str, Any], media_type: str) -> Descriptor:
        """Store a document, encoded."""
        return self.put(json.dumps(document, separators=(",", ":")).encode(), media_type)

    def write_index(self, *entries: dict[str, Any]) -> None:
        """Write `index.json` anew with these descriptors."""
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}
        (self.path / "index.json").write_text(json.dumps(index))


def build_layout(path: Path, images: Sequence[ImageSpec] = (ImageSpec(),)) -> Layout:
    """Build an image layout in the directory `path`, which may exist and be empty."""
    (path / "blobs" / "sha256").mkdir(parents=True)
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    layout = Layout(path, {})
    entries = []
    for spec in images:
        built = layout.images[spec.tag] = _build_image(layout, spec)
        annotations = {REF_NAME: spec.tag} if spec.tag is not None else {}
        entries.append(entry(built.root, annotations=annotations))
    layout.write_index(*entries)
    return layout


def pack(layout_dir: Path, tar_path: Path) -> Path:
    """Pack a layout into an uncompressed tar, as `oci-archive` has it; give `tar_path`."""
    with tarfile.open(tar_path, "w", format=tarfile.PAX_FORMAT) as archive:
        for found in sorted(layout_dir.rglob("*")):
            archive.add(found, arcname=found.relative_to(layout_dir).as_posix(), recursive=False)
    return tar_path


def entry(descriptor: Descriptor, **more: object) -> dict[str, Any]:
    """Give a descriptor as JSON has it; what of `more` is empty is left out."""
    document: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
    }
    return document | {name: value for name, value in more.items() if value}


def _build_image(layout: Layout, spec: ImageSpec) -> BuiltImage:
    seed = spec.seed if spec.seed is not None else spec.tag or ""
    parts = {platform: _build_part(layout, spec, platform, seed) for platform in spec.platforms}
    manifests = [part.manifests[0] for part in parts.values()]
    children = [entry(part.manifests[0], platform=_platform(platform)) for platform, part in parts.items()]
    blobs = [blob for part in parts.values() for blob in part.blobs]
    if spec.attested:
        for platform, part in list(parts.items()):
            child, attestation = _attest(layout, part.manifests[0])
            children.append(child)
            manifests += attestation.manifests
            blobs += attestation.blobs
            parts[platform] = Part(part.manifests + attestation.manifests, part.blobs + attestation.blobs)
    if len(spec.platforms) > 1 or spec.nested or spec.attested:
        manifests.append(_put_index(layout, children))
    if spec.nested:
        manifests.append(_put_index(layout, [entry(manifests[-1])]))
    return BuiltImage(
        tag=spec.tag,
        root=manifests[-1],
        manifests=tuple(dict.fromkeys(manifests)),
        configs=tuple(dict.fromkeys(blob for blob in blobs if blob.media_type == CONFIG)),
        layers=tuple(dict.fromkeys(blob for blob in blobs if blob.media_type != CONFIG)),
        parts=parts,
    )


def _build_part(layout: Layout, spec: ImageSpec, platform: str, seed: str) -> Part:
    """Build the image for one platform."""
    written = [
        _write_layer(layout, size, f"{seed}/{platform}/{position}", compressed=spec.compressed)
        for position, size in enumerate(spec.layers)
    ]
    config = layout.put_json(_config(platform, [diff_id for _, diff_id in written]), CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": entry(config),
        "layers": [entry(layer) for layer, _ in written],
        # Two images of the same seed and different tags are two images.
        "annotations": {"org.opencontainers.image.title": spec.tag or "untitled"},
    }
    return Part((layout.put_json(manifest, MANIFEST),), (config, *(layer for layer, _ in written)))


def _attest(layout: Layout, image: Descriptor) -> tuple[dict[str, Any], Part]:
    """Build an attestation of an image; give how an index lists it, and what it has."""
    statement = layout.put_json({"_type": "https://in-toto.io/Statement/v0.1", "of": str(image.digest)}, IN_TOTO)
    config = layout.put_json(_config("unknown/unknown", [str(statement.digest)]), CONFIG)
    manifest = layout.put_json(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": entry(config), "layers": [entry(statement)]}, MANIFEST
    )
    annotations = {
        "vnd.docker.reference.digest": str(image.digest),
        "vnd.docker.reference.type": "attestation-manifest",
    }
    listed = entry(manifest, annotations=annotations, platform=_platform("unknown/unknown"))
    return listed, Part((manifest,), (config, statement))


def _platform(platform: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))


def _put_index(layout: Layout, children: list[dict[str, Any]]) -> Descriptor:
    return layout.put_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}, INDEX)


def _config(platform: str, diff_ids: Sequence[str]) -> dict[str, Any]:
    created, said = "2024-01-01T00:00:00Z", _platform(platform)
    return {
        "created": created,
        "architecture": said.pop("architecture"),
        **said,
        "config": {"Cmd": ["/app"]},
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": [{"created": created, "created_by": f"COPY layer {n}"} for n, _ in enumerate(diff_ids)],
    }


def _write_layer(layout: Layout, size: int, seed: str, *, compressed: bool) -> tuple[Descriptor, str]:
    """Write a layer blob; give its descriptor and its diff_id, the digest of what it unpacks to."""
    draft = layout.path / "blobs" / "draft"
    encoded, unpacked = write_layer(draft, size, seed, compressed=compressed)
    digest = Digest("sha256", encoded)
    draft.rename(layout.blob_path(digest))
    return Descriptor(LAYER_GZIP if compressed else LAYER, digest, size), f"sha256:{unpacked}"
