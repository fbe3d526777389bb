"""Images in plain directories, as skopeo writes them to `dir:DIR`.

layout = build_layout(tmp_path / "app")
flatten(layout, tmp_path / "flat")
blob_file(tmp_path / "flat", layout.image.layers[0].digest)
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.oci.digest import Digest
    from tests.fakes.images import Layout


def flatten(layout: Layout, directory: Path) -> Path:
    """Write the only image of a layout to the new directory `directory`, and give that."""
    directory.mkdir()
    (directory / "version").write_text("Directory Transport Version: 1.1\n")
    image = layout.image
    shutil.copyfile(layout.blob_path(image.digest), directory / "manifest.json")
    for child in image.manifests[:-1]:
        shutil.copyfile(layout.blob_path(child.digest), child_file(directory, child.digest))
    for blob in image.blobs:
        shutil.copyfile(layout.blob_path(blob.digest), blob_file(directory, blob.digest))
    return directory


def blob_file(directory: Path, digest: Digest) -> Path:
    """Give where a blob is: under its hex, which is the digest without `sha256:`; others have `sha512-` in front."""
    prefix = "" if digest.algorithm == "sha256" else f"{digest.algorithm}-"
    return directory / f"{prefix}{digest.encoded}"


def child_file(directory: Path, digest: Digest) -> Path:
    """Give where a manifest below the root is."""
    return directory / f"{blob_file(directory, digest).name}.manifest.json"
