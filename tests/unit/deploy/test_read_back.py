from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from deploy.build_image import build
from deploy.read_back import scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parents[3] / "deploy" / "read_back.py"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
        pass


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name * 100)
    build(tmp_path / "layout", "demo", [tmp_path / "one", tmp_path / "two"], budget=1 << 20)
    return tmp_path / "layout"


@pytest.fixture
def stored(layout: Path, tmp_path: Path) -> Path:
    """The registry's side: a directory served as it is, in the shape of the pull API."""
    repository = tmp_path / "served" / "v2" / "team" / "app"
    (repository / "manifests").mkdir(parents=True)
    (repository / "blobs").mkdir()
    for blob in (layout / "blobs" / "sha256").iterdir():
        shutil.copy(blob, repository / "blobs" / f"sha256:{blob.name}")
    root = json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]
    shutil.move(repository / "blobs" / root, repository / "manifests" / "1")
    return repository


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "served")))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def read_back(layout: Path, reference: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(layout), "demo", reference]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_an_image_that_came_through_whole_is_told_blob_by_blob(layout: Path, stored: Path, registry: str) -> None:
    done = read_back(layout, f"{registry}/team/app:1")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["manifest", "config", "layer", "layer"]
    assert all("same" in line for line in lines[:4])
    assert lines[4] == "4 of 4 digests agree with the layout"


def test_a_blob_with_one_byte_changed_is_named_and_fails(layout: Path, stored: Path, registry: str) -> None:
    blob = max((stored / "blobs").iterdir())
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    done = read_back(layout, f"{registry}/team/app:1")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if "DIFFERS" in line and blob.name in line]
    assert done.stdout.splitlines()[-1] == "3 of 4 digests agree with the layout"


def test_a_manifest_that_is_not_the_one_of_the_layout_fails(layout: Path, stored: Path, registry: str) -> None:
    manifest = stored / "manifests" / "1"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    done = read_back(layout, f"{registry}/team/app:1")
    assert done.returncode == 1
    assert "DIFFERS" in done.stdout.splitlines()[0]


def test_a_blob_the_registry_does_not_give_is_named_and_fails(layout: Path, stored: Path, registry: str) -> None:
    blob = max((stored / "blobs").iterdir())
    blob.unlink()
    done = read_back(layout, f"{registry}/team/app:1")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if "404" in line and blob.name in line]


def test_a_registry_that_is_not_there_is_told_in_one_line(layout: Path) -> None:
    done = read_back(layout, "127.0.0.1:1/team/app:1")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "127.0.0.1:1" in done.stdout


@pytest.mark.parametrize(
    ("host", "scheme"),
    [
        ("127.0.0.1:5000", "http"),
        ("localhost:5000", "http"),
        ("[::1]:5000", "http"),
        ("registry.example.com", "https"),
        ("127.0.0.1.example.com:5000", "https"),
    ],
)
def test_plain_http_is_for_loopback_alone(host: str, scheme: str) -> None:
    assert scheme_of(host) == scheme
