"""Archives down a pipe: written by skopeo, pushed by pushctl to real registries, and read back by skopeo."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.images import ImageSpec, build_layout
from tests.integration.parts import SKOPEO, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.daemon import Daemon
    from tests.integration.parts import RealRegistry


def skopeo(*arguments: str) -> str:
    done = run(SKOPEO.find(), "--insecure-policy", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def push(daemon: Daemon, archive: Path, destination: str) -> Any:
    """`pushctl push - DESTINATION < ARCHIVE`; gives the job as it ended."""
    with archive.open("rb") as given:
        done = subprocess.run(
            [sys.executable, "-m", "pushd.ctl", "push", "-", destination, "--wait", "--json"],
            stdin=given, capture_output=True, timeout=60, check=False, env=daemon.environment,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def config_of(reference: str) -> Any:
    return json.loads(skopeo("inspect", "--tls-verify=false", "--config", "--raw", f"docker://{reference}"))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_what_comes_down_a_pipe_is_what_is_read_back(
    daemon: Daemon, real_registry: RealRegistry, tmp_path: Path, kind: str, *, packed: bool
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1", layers=[300_000, 2000], compressed=True)])
    archive = tmp_path / "app.tar"
    skopeo("copy", f"oci:{layout.path}:1", f"{kind}:{archive}:app:1")
    if packed:
        archive.write_bytes(gzip.compress(archive.read_bytes()))
    destination = f"{real_registry.address}/team/app:1"

    job = push(daemon, archive, destination)

    (delivery,) = job["deliveries"]
    assert (job["state"], delivery["digest"]) == ("succeeded", job["digest"])
    # Layers are compared by what they unpack to: docker's archives hold them unpacked.
    config = json.loads(layout.blob_path(layout.image.configs[0].digest).read_bytes())
    assert config_of(destination)["rootfs"] == config["rootfs"]
    skopeo("copy", "--src-tls-verify=false", f"docker://{destination}", f"oci:{tmp_path / 'back'}:1")
    if kind == "oci-archive":
        assert job["digest"] == str(layout.image.root.digest)
