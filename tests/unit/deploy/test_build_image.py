from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from deploy.build_image import build

SCRIPT = Path(__file__).parents[3] / "deploy" / "build_image.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for name, content in {"docs/b.txt": b"second", "docs/a.txt": b"first", "bin/tool": b"\x7fELF" * 1000}.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tree / "bin" / "tool").chmod(0o755)
    (tree / "bin" / "alias").symlink_to("tool")
    os.mkfifo(tree / "bin" / "pipe")
    return tree


def read(layout: Path, digest: str) -> bytes:
    algorithm, _, encoded = digest.partition(":")
    return (layout / "blobs" / algorithm / encoded).read_bytes()


def manifest_of(layout: Path) -> dict[str, Any]:
    index = json.loads((layout / "index.json").read_bytes())
    manifest: dict[str, Any] = json.loads(read(layout, index["manifests"][0]["digest"]))
    return manifest


def contents(layout: Path) -> dict[str, bytes]:
    return {str(path.relative_to(layout)): path.read_bytes() for path in layout.rglob("*") if path.is_file()}


def test_every_blob_lies_under_its_own_digest_with_its_announced_size(tree: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    build(layout, "demo", [tree / "docs", tree / "bin"], budget=1 << 20)
    manifest = manifest_of(layout)
    descriptors = [manifest["config"], *manifest["layers"]]
    assert len(descriptors) == 3
    for descriptor in descriptors:
        content = read(layout, descriptor["digest"])
        assert descriptor["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert descriptor["size"] == len(content)
    assert len(list((layout / "blobs" / "sha256").iterdir())) == 4


def test_the_layout_names_its_version_and_its_one_image(tree: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    build(layout, "demo", [tree / "docs"], budget=1 << 20)
    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout / "index.json").read_bytes())
    assert [m["annotations"] for m in index["manifests"]] == [{"org.opencontainers.image.ref.name": "demo"}]


def test_the_configuration_lists_the_digests_of_the_uncompressed_layers(tree: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    build(layout, "demo", [tree / "docs", tree / "bin"], budget=1 << 20)
    manifest = manifest_of(layout)
    config = json.loads(read(layout, manifest["config"]["digest"]))
    layers = [gzip.decompress(read(layout, layer["digest"])) for layer in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]


def test_a_layer_holds_the_regular_files_with_their_content_and_nothing_else(tree: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    build(layout, "demo", [tree / "bin"], budget=1 << 20)
    layer = gzip.decompress(read(layout, manifest_of(layout)["layers"][0]["digest"]))
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == [str(tree / "bin" / "tool").lstrip("/")]
        extracted = archive.extractfile(members[0])
        assert extracted is not None
        assert extracted.read() == b"\x7fELF" * 1000
        assert members[0].mode == 0o755


def test_the_same_files_give_the_same_bytes_whenever_they_were_written(tree: Path, tmp_path: Path) -> None:
    build(tmp_path / "one", "demo", [tree / "docs", tree / "bin"], budget=1 << 20)
    for path in tree.rglob("*.txt"):
        os.utime(path, (1, 1))
    build(tmp_path / "two", "demo", [tree / "docs", tree / "bin"], budget=1 << 20)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_layer_stops_before_it_outgrows_its_budget(tree: Path, tmp_path: Path) -> None:
    layers = build(tmp_path / "layout", "demo", [tree / "docs"], budget=len(b"first"))
    assert [(layer.files, layer.raw) for layer in layers] == [(1, len(b"first"))]


def test_a_directory_without_files_makes_no_layer(tree: Path, tmp_path: Path) -> None:
    (tree / "empty").mkdir()
    layers = build(tmp_path / "layout", "demo", [tree / "empty", tree / "docs"], budget=1 << 20)
    assert [layer.directory for layer in layers] == [tree / "docs"]
    assert len(manifest_of(tmp_path / "layout")["layers"]) == 1


def test_no_file_at_all_is_an_error_that_names_where_it_looked(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "layout", "demo", empty], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"{empty}: no regular file there to put into a layer; name another directory\n"


def test_the_command_says_what_each_layer_holds(tree: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "layout", "demo", tree / "docs"],
        capture_output=True,
        text=True,
        check=True,
    )
    digest = manifest_of(tmp_path / "layout")["layers"][0]["digest"]
    first, last = done.stdout.splitlines()
    assert first.startswith(digest[:19])
    assert first.endswith(f"2 files of {tree / 'docs'}")
    assert last.startswith("layers: 1, ")
