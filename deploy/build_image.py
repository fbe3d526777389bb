# ruff: noqa: INP001, T201 (a script to be run and read, not a package; what it prints is its result)
"""Build an OCI image layout from directories of this machine, one layer for each, on the standard library alone.

    python build_image.py LAYOUT NAME DIRECTORY...

The same files give the same bytes: entries are sorted, and owners and times are left out.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import platform
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BUDGET = 24 << 20
"""Bytes of files in one layer, before compression."""

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The names the image specification borrows from Go, where they differ from the kernel's."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer as built.

    Attributes:
        digest: of the compressed bytes, which is what a registry stores.
        diff_id: of the uncompressed tar archive (OCI image spec, config.md, "Layer DiffID").
        size: bytes, compressed.
        files: how many files it holds.
        raw: bytes of those files.
    """

    directory: Path
    digest: str
    diff_id: str
    size: int
    files: int
    raw: int


def regular_files(directory: Path) -> Iterator[Path]:
    """Give the regular files below `directory` that can be read, always in the same order."""
    for parent, subdirectories, names in os.walk(directory):
        subdirectories.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                yield path


def digest_of(content: bytes | memoryview) -> str:
    """Give the digest as the specifications write it: `sha256:` and lower-case hex."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def add_blob(blobs: Path, content: bytes) -> str:
    """Store `content` under its digest, and give that."""
    digest = digest_of(content)
    (blobs / digest.removeprefix("sha256:")).write_bytes(content)
    return digest


def add_layer(blobs: Path, directory: Path, budget: int) -> Layer | None:
    """Store one layer with the files of `directory`, as many as fit into `budget` bytes; None when there is none."""
    files = raw = 0
    plain = io.BytesIO()
    with tarfile.open(mode="w", fileobj=plain, format=tarfile.PAX_FORMAT) as archive:
        for path in regular_files(directory):
            if raw + path.stat().st_size > budget:
                continue
            content = path.read_bytes()
            entry = tarfile.TarInfo(str(path.absolute()).lstrip("/"))
            entry.size = len(content)
            entry.mode = path.stat().st_mode & 0o777
            archive.addfile(entry, io.BytesIO(content))
            files += 1
            raw += len(content)
    if not files:
        return None
    # Level 1: the layer is sent once and thrown away. No time in the header: the same bytes each time.
    compressed = gzip.compress(plain.getbuffer(), compresslevel=1, mtime=0)
    diff_id = digest_of(plain.getbuffer())
    return Layer(directory, add_blob(blobs, compressed), diff_id, len(compressed), files, raw)


def add_json(blobs: Path, value: object, media_type: str) -> dict[str, Any]:
    """Write `value` as a blob and give its descriptor."""
    content = json.dumps(value, separators=(",", ":")).encode()
    return {"mediaType": media_type, "digest": add_blob(blobs, content), "size": len(content)}


def build(layout: Path, name: str, directories: Sequence[Path], *, budget: int = BUDGET) -> list[Layer]:
    """Write an image layout (OCI image spec, image-layout.md) with one image called `name`.

    Args:
        layout: a directory that does not exist yet.
        name: what the image is called inside the layout, as in `oci:LAYOUT:NAME`.
        directories: one layer is made from each that holds a file.
        budget: bytes of files in one layer, before compression.

    Raises:
        ValueError: none of them holds a file that fits.
    """
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    made = [add_layer(blobs, directory, budget) for directory in directories]
    layers = [layer for layer in made if layer is not None]
    if not layers:
        named = ", ".join(map(str, directories))
        raise ValueError(f"{named}: no regular file there to put into a layer; name another directory")
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created_by": f"files of {layer.directory}"} for layer in layers],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": add_json(blobs, config, CONFIG),
        "layers": [{"mediaType": LAYER, "digest": layer.digest, "size": layer.size} for layer in layers],
    }
    root = add_json(blobs, manifest, MANIFEST)
    root["annotations"] = {"org.opencontainers.image.ref.name": name}
    index = {"schemaVersion": 2, "manifests": [root]}
    (layout / "index.json").write_text(json.dumps(index, indent=2) + "\n")
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}\n')
    return layers


def main() -> int:
    """Build what the command line asks for and say what each layer holds."""
    parser = argparse.ArgumentParser(description="Build an OCI image layout, one layer for each directory.")
    parser.add_argument("layout", type=Path, help="where to write it; must not exist yet")
    parser.add_argument("name", help="what the image is called inside the layout")
    parser.add_argument("directories", type=Path, nargs="+", metavar="directory", help="makes one layer")
    asked = parser.parse_args()
    try:
        layers = build(asked.layout, asked.name, asked.directories)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for layer in layers:
        short = layer.digest[: len("sha256:") + 12]
        print(f"{short}  {layer.size / 1e6:5.1f} MB  {layer.files:5} files of {layer.directory}")
    print(f"layers: {len(layers)}, {sum(layer.size for layer in layers) / 1e6:.1f} MB compressed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
