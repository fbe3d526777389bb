"""Of an index some platforms, and one image under several tags: pushed by pushctl, and read back by skopeo."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pushd.client import Client
from tests.fakes.images import ImageSpec, build_layout, pack
from tests.fakes.traffic import Kind
from tests.integration.parts import SKOPEO, read_back, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.integration.conftest import StartDaemon
    from tests.integration.daemon import Daemon
    from tests.integration.parts import RealRegistry

AMD64, ARM64, ARM = "linux/amd64", "linux/arm64", "linux/arm/v7"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Give an index of three platforms, each with an attestation."""
    spec = ImageSpec(tag="1.4", layers=[400_000, 1024], platforms=[AMD64, ARM64, ARM], attested=True)
    return build_layout(tmp_path / "app", [spec])


def push(daemon: Daemon, source: str, *arguments: str, given: Path | None = None, code: int = 0) -> Any:
    """`pushctl push SOURCE ... --wait --json`; gives the job as it ended, or what was said."""
    done = subprocess.run(
        [sys.executable, "-m", "pushd.ctl", "push", source, *arguments, "--wait", "--json"],
        input=b"" if given is None else given.read_bytes(),
        capture_output=True, timeout=60, check=False, env=daemon.environment,
    )  # fmt: skip
    assert done.returncode == code, done.stderr.decode()
    return json.loads(done.stdout) if code == 0 else done.stderr.decode()


def check_there(registry: RealRegistry, layout: Layout, job: Any, back: Path, *platforms: str) -> None:
    """Check that skopeo finds these platforms under the job's digest, and the registry has no byte of the others."""
    parts = [layout.image.parts[platform] for platform in platforms]
    wanted = {digest for part in parts for digest in part.digests} | {job["digest"]}
    images, attestations = zip(*(part.manifests for part in parts), strict=True)
    for delivery in job["deliveries"]:
        assert (delivery["state"], delivery["digest"]) == ("succeeded", job["digest"])
        inspected = run(SKOPEO.find(), "inspect", "--raw", "--tls-verify=false", f"docker://{delivery['destination']}")
        assert inspected.returncode == 0, inspected.stderr
        listed = [child["digest"] for child in json.loads(inspected.stdout)["manifests"]]
        assert listed == [str(one.digest) for one in (*images, *attestations)]
    copy = read_back(job["deliveries"][0]["destination"], back)
    assert {f"{path.parent.name}:{path.name}" for path in copy.glob("blobs/*/*")} == wanted
    for path in copy.glob("blobs/*/*"):
        original = layout.path / path.relative_to(copy)
        assert path.name == job["digest"].partition(":")[2] or path.read_bytes() == original.read_bytes()
    kept = registry.storage / "docker/registry/v2/blobs"
    assert {f"{path.parts[-4]}:{path.parts[-2]}" for path in kept.glob("*/*/*/data")} == wanted
    assert registry.uploading() == 0


@pytest.mark.parametrize("platforms", [(ARM64,), (AMD64, ARM)], ids=["one", "two"])
def test_the_chosen_platforms_and_nothing_else_are_in_the_registry(
    daemon: Daemon, real_registry: RealRegistry, layout: Layout, tmp_path: Path, platforms: tuple[str, ...]
) -> None:
    options = ("--platform", ",".join(platforms), "--verify", "blobs")
    job = push(daemon, f"oci:{layout.path}:1.4", f"{real_registry.address}/team/app:1.4", *options)
    assert job["platforms"] == sorted(platforms)
    check_there(real_registry, layout, job, tmp_path / "back", *platforms)


def test_an_archive_down_a_pipe_is_pushed_for_one_platform(
    daemon: Daemon, real_registry: RealRegistry, layout: Layout, tmp_path: Path
) -> None:
    archive = pack(layout.path, tmp_path / "app.tar")
    job = push(daemon, "-", f"{real_registry.address}/team/app:1.4", "--platform", "linux/x86_64", given=archive)
    check_there(real_registry, layout, job, tmp_path / "back", AMD64)


def test_what_is_brought_is_pushed_for_one_platform(
    start_daemon: StartDaemon, real_registry: RealRegistry, layout: Layout, tmp_path: Path
) -> None:
    probe = start_daemon()
    streaming = probe.socket.with_name("stream.sock")
    probe.terminate()
    start_daemon(f'[sockets.stream]\npath = "{streaming}"\nrole = "administrator"')
    client = Client(str(streaming))
    job = client.submit(f"oci:{layout.path}", [f"{real_registry.address}/team/app:1.4"], platforms=[ARM64])
    client.wait(job.id, 60)
    ended = probe.request("GET", f"/v1/jobs/{job.id}").body
    check_there(real_registry, layout, ended, tmp_path / "back", ARM64)


def test_a_platform_that_is_not_there_is_told_beside_those_that_are(
    daemon: Daemon, served: FakeRegistry, layout: Layout
) -> None:
    arguments = (f"{served.address}/team/app:1.4", "--platform", "linux/s390x")
    error = push(daemon, f"oci:{layout.path}", *arguments, code=6)
    assert "has nothing for linux/s390x; there are linux/amd64, linux/arm/v7, linux/arm64" in error
    assert served.requests == []


def test_one_image_under_several_tags_is_one_job_and_stands_under_each(
    daemon: Daemon, real_registry: RealRegistry, layout: Layout, tmp_path: Path
) -> None:
    options = ("--tag", "1", "--tag", "latest", "--tag", "1", "--platform", AMD64)
    job = push(daemon, f"oci:{layout.path}", f"{real_registry.address}/team/app:1.4", *options)
    named = [f"{real_registry.address}/team/app:{tag}" for tag in ("1.4", "1", "latest")]
    assert [delivery["destination"] for delivery in job["deliveries"]] == named
    assert real_registry.tags("team/app") == {"1.4", "1", "latest"}
    check_there(real_registry, layout, job, tmp_path / "back", AMD64)


def test_each_blob_is_sent_once_however_many_tags_there_are(
    daemon: Daemon, served: FakeRegistry, layout: Layout
) -> None:
    job = push(daemon, f"oci:{layout.path}", f"{served.address}/team/app", "--tag", "1", "--tag", "2", "--tag", "3")
    assert served.repository("team/app").tags == dict.fromkeys(("1", "2", "3"), job["digest"])
    assert served.count(Kind.COMMIT) == len(layout.image.blobs)
    assert served.received < 2 * job["size"]
