"""OCI image layouts of any shape, built on disk for tests.

    layout = build_layout(tmp_path / "app", images=[ImageSpec(tag="1.4", layers=[1024, 2048])])
    layout.image.digest, layout.image.layers[0].size, layout.blob_path(layout.image.config.digest)
    pack(layout.path, tmp_path / "app.tar")

Everything is derived from the specs: the same call gives the same bytes. Layers are gzip over tar that any
tool can unpack, and have exactly the size asked for: small ones are compressed and padded in the gzip header,
larger ones are pseudo-random bytes in stored deflate blocks, made piece by piece at over 150 MiB a second.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import struct
import tarfile
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
REF_NAME = "org.opencontainers.image.ref.name"

MIN_LAYER = 256
"""The smallest gzip layer there is room for, in bytes."""

_PIECE = 1 << 20
_BLOCK = 0xFFFF  # the most a stored deflate block holds (RFC 1951, 3.2.4)
_GZIP_FRAME = 18  # header without optional fields, and trailer (RFC 1952, 2.3)
_TAR_FRAME = 512 + 1024  # one header, and the end of the archive


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """The image one entry of a layout's `index.json` is to name.

    Attributes:
        tag: its `org.opencontainers.image.ref.name`, or None for an image without a name.
        layers: bytes of each layer blob, exactly (at least `MIN_LAYER` each when compressed).
        platforms: one: a plain image of that platform; several: an index over one image each.
        nested: put the index of the platforms into another index.
        compressed: gzip layers; False gives plain bytes of any length, 0 included, that are no tar.
        seed: images of one seed share the layers of equal platform, position and size; by default the tag's.
    """

    tag: str | None = "latest"
    layers: Sequence[int] = (1024,)
    platforms: Sequence[str] = ("linux/amd64",)
    nested: bool = False
    compressed: bool = True
    seed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """What was built for one spec.

    Attributes:
        root: the descriptor that stands in `index.json`.
        manifests: children before parents, the root last.
        configs: one for each platform.
        layers: of all platforms in order, each once.
    """

    tag: str | None
    root: Descriptor
    manifests: tuple[Descriptor, ...]
    configs: tuple[Descriptor, ...]
    layers: tuple[Descriptor, ...]

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
    manifests: list[Descriptor] = []
    configs: list[Descriptor] = []
    layers: list[Descriptor] = []
    for platform in spec.platforms:
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
        manifests.append(layout.put_json(manifest, MANIFEST))
        configs.append(config)
        layers += [layer for layer, _ in written]
    if len(spec.platforms) > 1 or spec.nested:
        children = [
            entry(child, platform=dict(zip(("os", "architecture"), platform.split("/"), strict=True)))
            for child, platform in zip(manifests, spec.platforms, strict=True)
        ]
        manifests.append(_put_index(layout, children))
    if spec.nested:
        manifests.append(_put_index(layout, [entry(manifests[-1])]))
    return BuiltImage(
        tag=spec.tag,
        root=manifests[-1],
        manifests=tuple(dict.fromkeys(manifests)),
        configs=tuple(dict.fromkeys(configs)),
        layers=tuple(dict.fromkeys(layers)),
    )


def _put_index(layout: Layout, children: list[dict[str, Any]]) -> Descriptor:
    return layout.put_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}, INDEX)


def _config(platform: str, diff_ids: Sequence[str]) -> dict[str, Any]:
    system, architecture = platform.split("/")
    created = "2024-01-01T00:00:00Z"
    return {
        "created": created,
        "architecture": architecture,
        "os": system,
        "config": {"Cmd": ["/app"]},
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": [{"created": created, "created_by": f"COPY layer {n}"} for n, _ in enumerate(diff_ids)],
    }


def _write_layer(layout: Layout, size: int, seed: str, *, compressed: bool) -> tuple[Descriptor, str]:
    """Write a layer blob; give its descriptor and its diff_id, the digest of what it unpacks to."""
    blob, unpacked = hashlib.sha256(), hashlib.sha256()
    draft = layout.path / "blobs" / "draft"
    with draft.open("wb") as file:
        if not compressed:
            pieces: Iterator[bytes] = _noise(size, seed)
        elif size >= _GZIP_FRAME + 5 + _TAR_FRAME:
            pieces = _stored(size, seed, unpacked)
        else:
            pieces = iter([_small(size, seed, unpacked)])
        for piece in pieces:
            blob.update(piece)
            file.write(piece)
    digest = Digest("sha256", blob.hexdigest())
    draft.rename(layout.blob_path(digest))
    diff_id = unpacked.hexdigest() if compressed else digest.encoded
    return Descriptor(LAYER_GZIP if compressed else LAYER, digest, size), f"sha256:{diff_id}"


def _noise(length: int, seed: str) -> Iterator[bytes]:
    source = random.Random(seed)
    for start in range(0, length, _PIECE):
        yield source.randbytes(min(_PIECE, length - start))


def _stored(size: int, seed: str, unpacked: hashlib._Hash) -> Iterator[bytes]:
    """Give gzip of exactly `size` bytes whose deflate blocks are stored, not compressed.

    With b blocks over r bytes it has 18 + 5b + r bytes; the last block may be empty, so no size is left out.
    """
    blocks = -(-(size - _GZIP_FRAME) // (_BLOCK + 5))
    length = size - _GZIP_FRAME - 5 * blocks
    checksum = 0
    yield gzip.compress(b"", mtime=0)[:10]
    content = _blocks(_tar(length, seed))
    for left in range(blocks - 1, -1, -1):
        block = next(content, b"")
        unpacked.update(block)
        checksum = zlib.crc32(block, checksum)
        yield struct.pack("<BHH", left == 0, len(block), len(block) ^ 0xFFFF) + block
    yield struct.pack("<II", checksum, length & 0xFFFFFFFF)


def _small(size: int, seed: str, unpacked: hashlib._Hash) -> bytes:
    """Give gzip of exactly `size` bytes, filled up with an extra field in its header (RFC 1952, 2.3.1.1)."""
    content = b"".join(_tar(_TAR_FRAME, seed))
    unpacked.update(content)
    packed = gzip.compress(content, mtime=0)
    room = size - len(packed) - 6  # XLEN, and a subfield's identifier and length
    if room < 0 or size < MIN_LAYER:
        raise ValueError(f"a compressed layer of {size} bytes is not to be had; the smallest is {MIN_LAYER}")
    flags, extra = struct.pack("<B", 4), struct.pack("<H2sH", room + 4, b"pd", room)
    return packed[:3] + flags + packed[4:10] + extra + bytes(room) + packed[10:]


def _tar(length: int, seed: str) -> Iterator[bytes]:
    """Give a tar of `length` bytes with one file in it; what is left over follows its end as zeros."""
    inside = (length - _TAR_FRAME) // 512 * 512
    member = tarfile.TarInfo(f"layer-{hashlib.sha256(seed.encode()).hexdigest()[:12]}")
    member.size = inside
    yield member.tobuf(tarfile.GNU_FORMAT)
    yield from _noise(inside, seed)
    yield bytes(length - 512 - inside)


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Cut pieces anew, into full blocks and a last one that may be shorter."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) > _BLOCK:
            yield bytes(held[:_BLOCK])
            del held[:_BLOCK]
    yield bytes(held)
