"""Images looked into on request by a daemon: good ones arrive, of bad ones not a byte, and the daemon goes on."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pushd.oci.digest import Digest
from tests.fakes.archives import SavedImage, docker_archive
from tests.fakes.images import LAYER, LAYER_GZIP, ImageSpec, build_layout, pack
from tests.fakes.layered import BAD, GOOD, LAYER_ZSTD, Bytes, build_layered
from tests.fakes.tars import archive, member
from tests.integration.parts import SKOPEO, read_back, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.integration.daemon import Daemon
    from tests.integration.parts import RealRegistry


def push(daemon: Daemon, source: str, *arguments: str, given: Path | None = None, code: int = 0) -> Any:
    """`pushctl push SOURCE ... --validate full --json`; gives what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pushd.ctl", "push", source, *arguments, "--validate", "full", "--json"],
        input=b"" if given is None else given.read_bytes(),
        capture_output=True, timeout=90, check=False, env=daemon.environment,
    )  # fmt: skip
    assert done.returncode == code, done.stderr.decode()
    return json.loads(done.stdout)


def check_there(layout: Layout, destination: str, back: Path) -> None:
    """Check that skopeo finds just what the layout has."""
    copy = read_back(destination, back)
    wanted = {path.name: path.read_bytes() for path in layout.path.glob("blobs/*/*")}
    assert {path.name: path.read_bytes() for path in copy.glob("blobs/*/*")} == wanted


def test_good_layers_of_each_compression_arrive(daemon: Daemon, real_registry: RealRegistry, tmp_path: Path) -> None:
    layout = build_layered(tmp_path / "good", [Bytes.of(GOOD, kind) for kind in (LAYER, LAYER_GZIP, LAYER_ZSTD)])
    destination = f"{real_registry.address}/team/app:1"
    job = push(daemon, f"oci:{layout.path}", destination, "--wait")
    assert (job["state"], job["validate"]) == ("succeeded", "full")
    check_there(layout, destination, tmp_path / "back")


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_what_skopeo_compressed_is_good(daemon: Daemon, served: FakeRegistry, tmp_path: Path, form: str) -> None:
    plain = build_layered(tmp_path / "plain", [Bytes.of(GOOD, LAYER)])
    options = ("--dest-compress", "--dest-compress-format", form)
    copied = run(SKOPEO.find(), "copy", *options, f"oci:{plain.path}:latest", f"oci:{tmp_path / form}:latest")
    assert copied.returncode == 0, copied.stderr
    assert push(daemon, f"oci:{tmp_path / form}", f"{served.address}/team/app:1", "--wait")["state"] == "succeeded"
    (manifest,) = served.repository("team/app").manifests.values()
    assert [layer["mediaType"] for layer in json.loads(manifest.content)["layers"]] == [f"{LAYER}+{form}"]


def test_an_archive_down_a_pipe_is_looked_into_as_well(
    daemon: Daemon, real_registry: RealRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1", layers=[500, 300_000])])
    destination = f"{real_registry.address}/team/app:1"
    job = push(daemon, "-", destination, "--wait", given=pack(layout.path, tmp_path / "app.tar"))
    assert job["state"] == "succeeded"
    check_there(layout, destination, tmp_path / "back")


@pytest.mark.parametrize("code", BAD)
def test_of_a_bad_image_nothing_is_sent_and_the_daemon_goes_on(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path, code: str
) -> None:
    bad = BAD[code]()
    layout = build_layered(tmp_path / "bad", [Bytes.of(GOOD), bad])
    destination = f"{served.address}/team/app:1"
    job = push(daemon, f"oci:{layout.path}", destination, "--wait", code=1)
    (failure,) = [delivery["failure"] for delivery in job["deliveries"]]
    assert failure["code"] == code
    assert str(bad.digest) in failure["message"]
    plan = push(daemon, f"oci:{layout.path}", destination, "--dry-run", code=6)
    assert plan["destinations"][0]["failure"]["code"] == code
    assert served.requests == []
    good = build_layered(tmp_path / "good", [Bytes.of(GOOD)])
    assert push(daemon, f"oci:{good.path}", destination, "--wait")["state"] == "succeeded"


OTHER = archive(member("another", b"file"))


@pytest.mark.parametrize(
    ("said", "code"),
    [
        pytest.param([OTHER], "source.layer_diff_id", id="another layer"),
        pytest.param([GOOD, OTHER], "source.manifest_invalid", id="more layers"),
    ],
)
@pytest.mark.parametrize("kind", ["oci-archive", "dir"])
def test_a_config_that_disagrees_with_its_layers_is_found_however_the_image_was_copied(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path, *, kind: str, said: list[bytes], code: str
) -> None:
    diff_ids = [str(Digest.of(tar)) for tar in said]
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    layout = build_layered(tmp_path / "layout", [Bytes.of(GOOD)], config=config)
    copied = run(SKOPEO.find(), "--insecure-policy", "copy", f"oci:{layout.path}:latest", f"{kind}:{tmp_path / 'app'}")
    assert copied.returncode == 0, copied.stderr

    job = push(daemon, f"{kind}:{tmp_path / 'app'}", f"{served.address}/team/app:1", "--wait", code=1)

    assert job["deliveries"][0]["failure"]["code"] == code
    assert served.requests == []


def test_compressed_layers_that_somebody_put_into_an_archive_of_dockers_are_looked_into(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path
) -> None:
    file = tmp_path / "app.tar"
    file.write_bytes(docker_archive([SavedImage([gzip.compress(GOOD)], plain=[OTHER])]))

    job = push(daemon, f"docker-archive:{file}", f"{served.address}/team/app:1", "--wait", code=1)

    assert job["deliveries"][0]["failure"]["code"] == "source.layer_diff_id"
    assert served.requests == []
