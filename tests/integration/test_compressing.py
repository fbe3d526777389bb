"""Plain layers compressed by the daemon: pushed to real registries, and read back by skopeo."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from tests.fakes.images import ImageSpec, build_layout, pack
from tests.integration.parts import read_back, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.integration.daemon import Daemon
    from tests.integration.parts import RealRegistry

LARGE = 64 << 20


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    spec = ImageSpec(tag="1.4", layers=[400_000, 0, 1024], platforms=["linux/amd64", "linux/arm64"], compressed=False)
    return build_layout(tmp_path / "app", [spec])


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def check_there(layout: Layout, reference: str, digest: str, back: Path, how: str) -> None:
    """Check what skopeo reads: the same configs, and layers that unpack to what these say, compressed as was asked."""
    copy = read_back(reference, back)

    def read(blob: str) -> bytes:
        content = (copy / "blobs" / "sha256" / blob.removeprefix("sha256:")).read_bytes()
        assert digest_of(content) == blob
        return content

    documents = [json.loads(read(digest))]
    if "manifests" in documents[0]:
        documents = [json.loads(read(child["digest"])) for child in documents[0]["manifests"]]
    configs = [document["config"]["digest"] for document in documents]
    assert configs == [str(config.digest) for config in layout.image.configs]
    for document in documents:
        layers: list[dict[str, Any]] = document["layers"]
        assert {layer["mediaType"] for layer in layers} == {f"application/vnd.oci.image.layer.v1.tar+{how}"}
        plain = [digest_of(_unpacked(read(layer["digest"]), how)) for layer in layers]
        assert plain == json.loads(read(document["config"]["digest"]))["rootfs"]["diff_ids"]


def _unpacked(content: bytes, how: str) -> bytes:
    return gzip.decompress(content) if how == "gzip" else zstandard.ZstdDecompressor().decompress(content)


def check_nothing_is_left(daemon: Daemon) -> None:
    wait_until(lambda: not daemon.spooled(), "the spool is empty")


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_layers_are_compressed_once_for_all_places_and_never_sent_again(
    daemon: Daemon, real_registry: RealRegistry, layout: Layout, tmp_path: Path, how: str
) -> None:
    there = [f"{real_registry.address}/team/{name}:1.4" for name in ("app", "mirror")]
    arguments = ("push", f"oci:{layout.path}:1.4", *there, "--compress", how, "--wait", "--json")
    done = daemon.ctl(*arguments)
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert {delivery["digest"] for delivery in job["deliveries"]} == {job["digest"]}
    for number, reference in enumerate(there):
        check_there(layout, reference, job["digest"], tmp_path / f"back{number}", how)
    (told,) = daemon.events("image.compressed")
    assert (told["layers"], told["digest"]) == (5, job["digest"])
    again = json.loads(daemon.ctl(*arguments).stdout)
    assert again["digest"] == job["digest"]
    assert [delivery["transfers"] for delivery in again["deliveries"]] == [[], []]
    check_nothing_is_left(daemon)


def test_of_the_next_image_only_what_is_new_is_compressed(
    daemon: Daemon, real_registry: RealRegistry, tmp_path: Path
) -> None:
    image = ImageSpec(tag="1.4", layers=[400_000, 70_000], compressed=False)
    layouts = [
        build_layout(tmp_path / "app", [image]),
        build_layout(tmp_path / "next", [replace(image, layers=[400_000, 70_000, 1024])]),
    ]
    for number, layout in enumerate(layouts):
        archive = pack(layout.path, tmp_path / f"{number}.tar")
        reference = f"{real_registry.address}/team/app:{number}"
        job = daemon.wait(daemon.submit(f"oci-archive:{archive}:1.4", reference, compress="gzip"))
        assert job["state"] == "succeeded", job
        check_there(layout, reference, job["digest"], tmp_path / f"back{number}", "gzip")
    assert [(told["layers"], told["reused"]) for told in daemon.events("image.compressed")] == [(2, 0), (3, 2)]
    states = [transfer["state"] for transfer in job["deliveries"][0]["transfers"]]
    assert (states.count("present"), states.count("uploaded")) == (2, 2)
    check_nothing_is_left(daemon)


def test_an_archive_down_a_pipe_is_compressed(
    daemon: Daemon, real_registry: RealRegistry, layout: Layout, tmp_path: Path
) -> None:
    reference = f"{real_registry.address}/team/app:1.4"
    archive = pack(layout.path, tmp_path / "app.tar")
    with archive.open("rb") as piped:
        done = subprocess.run(
            [sys.executable, "-m", "pushd.ctl", "push", "-", reference, "--compress", "default", "--wait", "--json"],
            stdin=piped, capture_output=True, timeout=60, check=False, env=daemon.environment,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert job["compress"] == "gzip"
    check_there(layout, reference, job["digest"], tmp_path / "back", "gzip")
    check_nothing_is_left(daemon)


def test_killed_in_the_middle_it_is_done_again(daemon: Daemon, real_registry: RealRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "large", [ImageSpec(tag="1.4", layers=[LARGE] * 4, compressed=False)])
    reference = f"{real_registry.address}/team/app:1.4"
    job_id = daemon.submit(f"oci:{layout.path}:1.4", reference, compress="gzip")
    wait_until(lambda: _begun(daemon), "a layer is on its way", pause=0.001)
    os.kill(daemon.pid, signal.SIGSTOP)
    left = daemon.spooled()
    assert any(entry.glob("incoming/*") for entry in left), "it was stopped in the middle"
    daemon.kill()
    daemon.start('[spool]\nttl = "1s"\n')
    job = daemon.wait(job_id)
    assert job["state"] == "succeeded", job
    assert not real_registry.uploading()
    check_there(layout, reference, job["digest"], tmp_path / "back", "gzip")
    assert len(daemon.events("image.compressed")) == 1


def _begun(daemon: Daemon) -> bool:
    return any(path.stat().st_size for entry in daemon.spooled() for path in entry.glob("incoming/*"))


def test_killed_again_and_again_what_is_kept_is_whole_and_within_its_limit(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path
) -> None:
    chance = random.Random(8)
    config = '[spool]\nkeep_compressed = "2MiB"\n'
    sizes = [30_000, 600_000, 900_000, 1_300_000]  # of which some must go for others
    layouts = [
        build_layout(tmp_path / f"app{number}", [ImageSpec(layers=sizes[number:], compressed=False, tag="1.4")])
        for number in range(len(sizes))
    ]
    jobs: dict[str, int] = {}
    for life in range(8):
        for number, layout in enumerate(layouts):
            destination = f"{served.address}/team/app{number}:{life}"
            jobs[daemon.submit(f"oci:{layout.path}:1.4", destination, compress="gzip")] = number
        time.sleep(chance.uniform(0.0, 0.3))
        daemon.kill()
        daemon.start(config)
    digests: dict[int, set[str]] = {}
    for job_id, number in jobs.items():
        job = daemon.wait(job_id)
        assert job["state"] == "succeeded", job
        digests.setdefault(number, set()).add(job["digest"])
    check_nothing_is_left(daemon)
    for number, layout in enumerate(layouts):
        (digest,) = digests[number]
        shelf = served.repository(f"team/app{number}")
        assert set(shelf.tags.values()) == {digest}
        contents = [
            shelf.blobs[layer["digest"]].content for layer in json.loads(shelf.manifests[digest].content)["layers"]
        ]
        plain = [digest_of(gzip.decompress(content)) for content in contents if content is not None]
        assert plain == [str(layer.digest) for layer in layout.image.layers]
    kept = [path for path in (daemon.state / "spool/packed").rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in kept) <= 2 << 20
    for path in kept:
        content = path.read_bytes()
        assert digest_of(content) == f"sha256:{path.name}"
        assert digest_of(gzip.decompress(content)).replace(":", "-") == path.parent.name
    assert any(told["reused"] for told in daemon.events("image.compressed"))
