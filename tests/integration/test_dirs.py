"""Images in plain directories: written by skopeo, pushed to real registries, and read back by skopeo."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from pushd.client import Client
from pushd.oci.digest import Digest
from tests.fakes.dirs import blob_file, child_file, flatten
from tests.fakes.images import ImageSpec, build_layout
from tests.integration.parts import SKOPEO, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.integration.conftest import StartDaemon
    from tests.integration.daemon import Daemon
    from tests.integration.parts import RealRegistry

ONE = ImageSpec(tag="1.4", layers=[5_000_000, 70_000, 1024])
TWO_PLATFORMS = ImageSpec(tag="1.4", layers=[1_000_000, 1024], platforms=["linux/amd64", "linux/arm64"])
OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker.distribution.manifest."


def skopeo(*arguments: str | Path) -> None:
    done = run(SKOPEO.find(), "--insecure-policy", *arguments)
    assert done.returncode == 0, done.stderr


def written(tmp_path: Path, spec: ImageSpec, *options: str) -> Path:
    """Let skopeo write an image to a directory, with a colon in its name as those of `skopeo sync` have."""
    layout = build_layout(tmp_path / "layout", [spec])
    directory = tmp_path / "app:1.4"
    skopeo("copy", "--all", *options, f"oci:{layout.path}:{spec.tag}", f"dir:{directory}")
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def assert_arrived(directory: Path, destination: str, job: Any, back: Path) -> None:
    """Compare what is in a registry with the directory it came from: root, children, configs and layers."""
    root = Digest.of((directory / "manifest.json").read_bytes())
    (delivery,) = job["deliveries"]
    assert (job["state"], job["digest"], delivery["digest"]) == ("succeeded", str(root), str(root)), job
    skopeo("copy", "--all", "--preserve-digests", "--src-tls-verify=false", f"docker://{destination}", f"dir:{back}")
    assert contents(back) == contents(directory)


@pytest.mark.parametrize(
    ("spec", "options", "media_type"),
    [
        pytest.param(ONE, (), f"{OCI}manifest.v1+json", id="oci image"),
        pytest.param(ONE, ("--format", "v2s2"), f"{DOCKER}v2+json", id="docker image"),
        pytest.param(TWO_PLATFORMS, (), f"{OCI}index.v1+json", id="oci index"),
        pytest.param(TWO_PLATFORMS, ("--format", "v2s2"), f"{DOCKER}list.v2+json", id="docker manifest list"),
    ],
)
def test_what_skopeo_wrote_to_a_directory_arrives_byte_for_byte(
    daemon: Daemon,
    real_registry: RealRegistry,
    tmp_path: Path,
    *,
    spec: ImageSpec,
    options: tuple[str, ...],
    media_type: str,
) -> None:
    directory = written(tmp_path, spec, *options)
    destination = f"{real_registry.address}/team/app:1.4"

    job = daemon.wait(daemon.submit(f"dir:{directory}", destination))

    assert job["media_type"] == media_type
    assert_arrived(directory, destination, job, tmp_path / "back")


def test_a_root_that_does_not_say_what_it_is_arrives_as_it_is(
    daemon: Daemon, real_registry: RealRegistry, tmp_path: Path
) -> None:
    directory = written(tmp_path, ONE)
    document = json.loads((directory / "manifest.json").read_text())
    del document["mediaType"]
    (directory / "manifest.json").write_text(json.dumps(document, indent=3))
    destination = f"{real_registry.address}/team/app:1.4"

    job = daemon.wait(daemon.submit(f"dir:{directory}", destination))

    assert_arrived(directory, destination, job, tmp_path / "back")


def test_signatures_stay_where_they_are(daemon: Daemon, served: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "layout", [ImageSpec(layers=[1000])])
    directory = flatten(layout, tmp_path / "flat")
    (directory / "signature-1").write_bytes(b"signed")

    job = daemon.wait(daemon.submit(f"dir:{directory}", f"{served.address}/team/app:1.4"))

    assert job["state"] == "succeeded", job
    pushed = served.repository("team/app")
    assert set(pushed.blobs) == {str(blob.digest) for blob in layout.image.blobs}
    assert set(pushed.manifests) == {str(layout.image.digest)}


def test_a_directory_may_go_when_its_bytes_were_to_be_kept(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "layout", [TWO_PLATFORMS])
    directory = flatten(layout, tmp_path / "flat")
    client = Client(str(daemon.socket))
    client.pause_registry(served.address)
    job_id = daemon.submit(f"dir:{directory}", f"{served.address}/team/app:1.4", retain="spool")
    shutil.rmtree(directory)
    client.resume_registry(served.address)

    assert daemon.wait(job_id)["state"] == "succeeded"
    assert set(served.repository("team/app").blobs) == {str(blob.digest) for blob in layout.image.blobs}


def test_pushctl_brings_a_directory_where_the_daemon_is_named_no_paths(
    start_daemon: StartDaemon, real_registry: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = written(tmp_path, TWO_PLATFORMS)
    destination = f"{real_registry.address}/team/app:1.4"
    daemon = start_daemon()
    stream = daemon.socket.with_name("stream.sock")
    daemon.terminate()
    daemon = start_daemon(f'[sockets.stream]\npath = "{stream}"\nrole = "administrator"\n')
    monkeypatch.chdir(tmp_path)

    pushed = daemon.ctl("--socket", stream, "push", f"dir:{directory.name}", destination, "--wait", "--json")

    assert pushed.returncode == 0, pushed.stderr
    job = json.loads(pushed.stdout)
    assert job["source"] == f"dir:{directory}"
    assert_arrived(directory, destination, job, tmp_path / "back")


def test_a_dry_run_says_what_would_be_pushed(daemon: Daemon, served: FakeRegistry, tmp_path: Path) -> None:
    directory = written(tmp_path, TWO_PLATFORMS)
    destination = f"{served.address}/team/app:1.4"

    planned = daemon.ctl("push", f"dir:{directory}", destination, "--dry-run", "--json")

    assert planned.returncode == 0, planned.stderr
    plan = json.loads(planned.stdout)
    assert plan["digest"] == str(Digest.of((directory / "manifest.json").read_bytes()))
    assert plan["destinations"][0]["action"] == "push"
    assert not served.repository("team/app").manifests


# ------------------------------------------------------------------------------------------- refused at submission


def no_root(_: Layout, directory: Path) -> None:
    (directory / "manifest.json").unlink()


def first_schema(_: Layout, directory: Path) -> None:
    document = {"schemaVersion": 1, "name": "app", "tag": "1", "fsLayers": [], "history": []}
    (directory / "manifest.json").write_text(json.dumps(document))


def over(_: Layout, directory: Path) -> None:
    with (directory / "manifest.json").open("ab") as file:
        file.write(b" " * (4 << 20))


def newer(_: Layout, directory: Path) -> None:
    (directory / "version").write_text("Directory Transport Version: 2.0\n")


def no_child(layout: Layout, directory: Path) -> None:
    child_file(directory, layout.image.manifests[0].digest).unlink()


def other_child(layout: Layout, directory: Path) -> None:
    first, second, _ = layout.image.manifests
    shutil.copyfile(child_file(directory, second.digest), child_file(directory, first.digest))


def no_blob(layout: Layout, directory: Path) -> None:
    blob_file(directory, layout.image.layers[0].digest).unlink()


def other_size(layout: Layout, directory: Path) -> None:
    with blob_file(directory, layout.image.layers[0].digest).open("ab") as file:
        file.write(b"more")


def fifo(layout: Layout, directory: Path) -> None:
    no_blob(layout, directory)
    os.mkfifo(blob_file(directory, layout.image.layers[0].digest))


def link(layout: Layout, directory: Path) -> None:
    no_blob(layout, directory)
    blob_file(directory, layout.image.layers[0].digest).symlink_to("/etc/shadow")


def digest_upwards(_: Layout, directory: Path) -> None:
    document = json.loads((directory / "manifest.json").read_text())
    document["manifests"][0]["digest"] = "sha256:../../../etc/passwd"
    (directory / "manifest.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("spoil", "code", "named"),
    [
        pytest.param(no_root, "source.layout_invalid", "no manifest.json", id="no manifest"),
        pytest.param(first_schema, "source.manifest_unsupported", "schema 1", id="schema 1"),
        pytest.param(over, "source.manifest_too_large", "4194304", id="manifest over 4 MiB"),
        pytest.param(newer, "source.layout_invalid", "version 2.0", id="newer version"),
        pytest.param(no_child, "source.blob_missing", "sha256:", id="child missing"),
        pytest.param(other_child, "source.blob_digest", "sha256:", id="child of another digest"),
        pytest.param(no_blob, "source.blob_missing", "sha256:", id="blob missing"),
        pytest.param(other_size, "source.blob_size", "sha256:", id="blob of another size"),
        pytest.param(fifo, "source.blob_not_regular", "sha256:", id="FIFO for a blob"),
        pytest.param(link, "source.blob_not_regular", "sha256:", id="symlink for a blob"),
        pytest.param(digest_upwards, "source.manifest_invalid", "manifests[0].digest", id="digest that leads upwards"),
    ],
)
def test_a_bad_directory_is_refused_at_submission_and_the_daemon_serves_on(
    daemon: Daemon,
    served: FakeRegistry,
    tmp_path: Path,
    *,
    spoil: Callable[[Layout, Path], None],
    code: str,
    named: str,
) -> None:
    layout = build_layout(tmp_path / "layout", [ImageSpec(layers=[2000], platforms=["linux/amd64", "linux/arm64"])])
    good, bad = flatten(layout, tmp_path / "good"), flatten(layout, tmp_path / "bad")
    spoil(layout, bad)
    body = {"source": f"dir:{bad}", "destinations": [f"{served.address}/team/app:1.4"]}

    refused = daemon.request("POST", "/v1/jobs", body)

    assert (refused.status, refused.body["code"]) == (422, code), refused
    assert named in refused.body["detail"]
    assert not served.requests, "the registry was left alone"
    assert daemon.wait(daemon.submit(f"dir:{good}", f"{served.address}/team/app:1.4"))["state"] == "succeeded"
