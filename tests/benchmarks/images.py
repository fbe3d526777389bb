"""The images that are pushed: layouts on disk, valid gzip throughout, of bytes that do not compress."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fakes.images import ImageSpec, build_layout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TAG = "latest"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image, alone in a layout of its own, and where in a registry it is to go.

    Attributes:
        layout: the directory.
        tag: its name in there, and at the registry.
        repository: at the registry.
        digest: of its manifest.
        size: bytes of its blobs.
    """

    layout: Path
    repository: str
    digest: str
    size: int
    tag: str = _TAG

    @property
    def layers(self) -> list[Path]:
        """The files of its layers, each once."""
        blobs = self.layout / "blobs" / "sha256"
        manifest = json.loads((blobs / self.digest.partition(":")[2]).read_bytes())
        return [blobs / name for name in dict.fromkeys(it["digest"].partition(":")[2] for it in manifest["layers"])]


@dataclass(frozen=True, slots=True)
class Push:
    """An image and all the places it goes to.

    Attributes:
        image: what.
        addresses: the registries, `host:port`.
    """

    image: Image
    addresses: Sequence[str]

    @property
    def source(self) -> str:
        """The image as pushd and skopeo name it."""
        return f"oci:{self.image.layout}:{self.image.tag}"

    @property
    def destinations(self) -> list[str]:
        """References."""
        return [f"{address}/{self.image.repository}:{self.image.tag}" for address in self.addresses]


def one(directory: Path, layers: Sequence[int]) -> list[Image]:
    """Build an image of layers of these sizes."""
    return [_build(directory, "image", layers, seed=directory.name)]


def of_their_own(directory: Path, layers: Sequence[int], count: int) -> list[Image]:
    """Build images that have nothing in common."""
    return [_build(directory, f"app-{number}", layers, seed=f"{number}") for number in range(count)]


def sharing(directory: Path, layers: Sequence[int], count: int) -> list[Image]:
    """Build images that differ in their last layer alone, each for a repository of its own."""
    *shared, own = layers
    # Layers of one seed are the same where their sizes are.
    return [_build(directory, f"service-{it}", [*shared, own + 512 * it], seed="shared") for it in range(count)]


def settle(directory: Path, age: float) -> None:
    """Wait until all files are so many seconds old and on disk: what is written back later disturbs the runs."""
    os.sync()
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(_PIECE):
                    pass  # into the page cache, whence every tool is to read them
    time.sleep(age)


def _build(directory: Path, name: str, layers: Sequence[int], *, seed: str) -> Image:
    layout = build_layout(directory / name, [ImageSpec(tag=_TAG, layers=layers, seed=seed)])
    return Image(
        layout=layout.path,
        repository=f"bench/{name}",
        digest=str(layout.image.digest),
        size=sum(blob.size for blob in layout.image.blobs),
    )
