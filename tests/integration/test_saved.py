"""What `docker save` writes: by path, kept, brought and piped, to real registries, and read back by skopeo."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from pushd.client import Client
from pushd.errors import SourceError
from pushd.oci.digest import Digest
from tests.fakes.archives import Link, SavedImage, docker_archive, docker_members, manifest_of, of_kind, tar
from tests.fakes.images import ImageSpec, build_layout
from tests.integration.parts import SKOPEO, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fakes.archives import Member
    from tests.fakes.registry import FakeRegistry
    from tests.integration.conftest import StartDaemon
    from tests.integration.daemon import Daemon
    from tests.integration.parts import RealRegistry


def layer(number: int, size: int = 300_000) -> bytes:
    """Give a layer, a tar with one file in it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo(f"file-{number}")
        info.size = size
        archive.addfile(info, io.BytesIO(random.Random(number).randbytes(size)))
    return packed.getvalue()


def skopeo(*arguments: str | Path) -> None:
    done = run(SKOPEO.find(), "--insecure-policy", *arguments)
    assert done.returncode == 0, done.stderr


def by_skopeo(tmp_path: Path) -> Path:
    """Let skopeo write an image under two names."""
    layout = build_layout(tmp_path / "layout", [ImageSpec(tag="1.4", layers=[5_000_000, 70_000, 1024])])
    file = tmp_path / "app.tar"
    skopeo(
        "copy", "--additional-tag", "docker.io/library/app:latest",
        f"oci:{layout.path}:1.4", f"docker-archive:{file}:docker.io/library/app:1.4",
    )  # fmt: skip
    return file


SHARED = layer(1)
SEVERAL = [
    SavedImage([layer(9, 2000)], names=["other:1"]),
    SavedImage([SHARED, layer(2, 40), SHARED], names=["app:1.4", "app:latest"]),
]


def linked(tmp_path: Path) -> Path:
    """Write what Docker 24 does: two images, and links for layers that are there already."""
    file = tmp_path / "app.tar"
    file.write_bytes(docker_archive(SEVERAL, links=True))
    return file


def with_layout(tmp_path: Path) -> Path:
    """Write what Docker 25 does."""
    file = tmp_path / "app.tar"
    file.write_bytes(docker_archive(SEVERAL, oci=True))
    return file


def left_out(tmp_path: Path) -> Path:
    """Write what Docker 25 does of an image that its index.json leaves out."""
    members = docker_members(SEVERAL, oci=True)
    members["index.json"] = b'{"schemaVersion":2,"manifests":null}'
    file = tmp_path / "app.tar"
    file.write_bytes(tar(members))
    return file


def compressed(tmp_path: Path) -> Path:
    """Write what go-containerregistry and kaniko do: compressed layers."""
    plain = [layer(1), layer(2, 70_000)]
    image = SavedImage([gzip.compress(one) for one in plain], names=["app:1.4"], plain=plain)
    file = tmp_path / "app.tar"
    file.write_bytes(docker_archive([image], flat=True))
    return file


def config_in(file: Path, tag: str) -> bytes:
    """Give the bytes of the config of the image that has this tag in `manifest.json`."""
    with tarfile.open(file) as archive:
        listed = json.loads(archive.extractfile("manifest.json").read())  # type: ignore[union-attr]
        (config,) = (one["Config"] for one in listed if any(name.endswith(tag) for name in one["RepoTags"]))
        return archive.extractfile(config).read()  # type: ignore[union-attr]


def assert_arrived(file: Path, destination: str, job: Any, back: Path) -> None:
    """Compare what is in a registry with the archive it came from: config, and what the layers unpack to."""
    (delivery,) = job["deliveries"]
    assert (job["state"], delivery["digest"]) == ("succeeded", job["digest"]), job
    skopeo("copy", "--preserve-digests", "--src-tls-verify=false", f"docker://{destination}", f"dir:{back}")
    root = (back / "manifest.json").read_bytes()
    manifest = json.loads(root)
    config = (back / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes()
    assert job["digest"] == str(Digest.of(root))
    assert config == config_in(file, ":1.4")
    assert all(one["mediaType"].endswith(("gzip", "zstd")) for one in manifest["layers"]), manifest
    layers = [(back / one["digest"].removeprefix("sha256:")).read_bytes() for one in manifest["layers"]]
    plain = [gzip.decompress(one) if one.startswith(b"\x1f\x8b") else one for one in layers]
    assert [str(Digest.of(one)) for one in plain] == json.loads(config)["rootfs"]["diff_ids"]


@pytest.mark.parametrize(
    "write", [by_skopeo, linked, with_layout, left_out, compressed], ids=lambda write: write.__name__
)
def test_an_archive_arrives_and_is_the_same_image_by_path_kept_and_piped(
    daemon: Daemon, real_registry: RealRegistry, tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    file = write(tmp_path)
    destination = f"{real_registry.address}/team/app:1.4"

    job = daemon.wait(daemon.submit(f"docker-archive:{file}:app:1.4", destination))
    kept = daemon.submit(f"docker-archive:{file}:app:1.4", f"{real_registry.address}/kept/app:1.4", retain="spool")
    with file.open("rb") as stream:
        piped = Client(str(daemon.socket)).submit_stream(
            stream, [f"{real_registry.address}/piped/app:1.4"], reference="app:1.4"
        )

    assert_arrived(file, destination, job, tmp_path / "back")
    assert {(one["state"], one["digest"]) for one in map(daemon.wait, (kept, piped.id))} == {
        ("succeeded", job["digest"])
    }


@pytest.mark.parametrize("write", [linked, compressed], ids=lambda write: write.__name__)
def test_a_daemon_that_was_killed_finds_the_layers_again(
    start_daemon: StartDaemon, served: FakeRegistry, tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    file = write(tmp_path)
    daemon = start_daemon()
    Client(str(daemon.socket)).pause_registry(served.address)
    job_id = daemon.submit(f"docker-archive:{file}:app:1.4", f"{served.address}/team/app:1.4")
    daemon.kill()
    daemon = start_daemon()
    Client(str(daemon.socket)).resume_registry(served.address)

    assert daemon.wait(job_id)["state"] == "succeeded"


def test_a_file_may_go_when_its_bytes_were_to_be_kept(daemon: Daemon, served: FakeRegistry, tmp_path: Path) -> None:
    file = linked(tmp_path)
    client = Client(str(daemon.socket))
    client.pause_registry(served.address)
    job_id = daemon.submit(f"docker-archive:{file}:app:1.4", f"{served.address}/team/app:1.4", retain="spool")
    file.unlink()
    client.resume_registry(served.address)

    assert daemon.wait(job_id)["state"] == "succeeded"


def test_pushctl_brings_an_archive_where_the_daemon_is_named_no_paths(
    start_daemon: StartDaemon, real_registry: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = by_skopeo(tmp_path)
    destination = f"{real_registry.address}/team/app:1.4"
    daemon = start_daemon()
    stream = daemon.socket.with_name("stream.sock")
    daemon.terminate()
    daemon = start_daemon(f'[sockets.stream]\npath = "{stream}"\nrole = "administrator"\n')
    monkeypatch.chdir(tmp_path)

    pushed = daemon.ctl(
        "--socket", stream, "push", f"docker-archive:{file.name}:app", destination, "--wait", "--json"
    )  # fmt: skip

    assert pushed.returncode == 0, pushed.stderr
    job = json.loads(pushed.stdout)
    assert job["source"] == f"docker-archive:{file}:app"
    assert_arrived(file, destination, job, tmp_path / "back")


@pytest.mark.parametrize("compress", ["none", "auto"])
def test_a_dry_run_says_what_would_be_pushed(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path, compress: str
) -> None:
    image = f"docker-archive:{linked(tmp_path)}:@1"

    planned = daemon.ctl(
        "push", image, f"{served.address}/team/app:1.4", "--dry-run", "--json", "--compress", compress
    )  # fmt: skip

    assert planned.returncode == 0, planned.stderr
    plan = json.loads(planned.stdout)
    if compress == "none":
        assert (plan["digest"], plan["compress"]["count"]) == (str(Digest.of(manifest_of(SEVERAL[1]))), 0)
    else:
        assert (plan["digest"], plan["compress"]["count"]) == (None, len(set(SEVERAL[1].layers)))
    assert plan["destinations"][0]["action"] == "push"
    assert not served.repository("team/app").manifests


# -------------------------------------------------------------------------------------------------- found in the push


@pytest.mark.parametrize("retain", ["source", "spool"])
def test_a_plain_layer_that_is_not_what_its_config_says_commits_nothing(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path, retain: str
) -> None:
    lie = f"sha256:{'0' * 64}"
    saved = SavedImage([SHARED], more={"rootfs": {"type": "layers", "diff_ids": [lie]}})
    file = tmp_path / "app.tar"
    file.write_bytes(docker_archive([saved]))

    job = daemon.wait(daemon.submit(f"docker-archive:{file}", f"{served.address}/team/app:1.4", retain=retain))

    failure = job["deliveries"][0]["failure"]
    assert failure["code"] == "source.blob_digest"
    assert lie in failure["message"]
    assert not served.repository("team/app").manifests
    assert not {lie, str(Digest.of(SHARED))} & set(served.repository("team/app").blobs)


def test_another_archive_in_its_place_fails_the_job(daemon: Daemon, served: FakeRegistry, tmp_path: Path) -> None:
    file = linked(tmp_path)
    client = Client(str(daemon.socket))
    client.pause_registry(served.address)
    job_id = daemon.submit(f"docker-archive:{file}:app:1.4", f"{served.address}/team/app:1.4")
    file.write_bytes(docker_archive([SavedImage([layer(5)], names=["app:1.4"])]))
    client.resume_registry(served.address)

    failure = daemon.wait(job_id)["deliveries"][0]["failure"]
    assert failure["code"] == "source.blob_missing"
    assert not served.repository("team/app").manifests


@pytest.mark.parametrize("content", [b"{}", b"no JSON", b'{"other":{"9":"0000"}}'], ids=["empty", "damaged", "another"])
def test_what_repositories_says_beside_the_list_of_images_counts_for_nothing(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "app.tar"
    file.write_bytes(tar({**docker_members(SEVERAL), "repositories": content}))

    job = daemon.wait(
        daemon.submit(f"docker-archive:{file}:app:1.4", f"{served.address}/team/app:1.4", compress="none")
    )

    assert (job["state"], job["digest"]) == ("succeeded", str(Digest.of(manifest_of(SEVERAL[1])))), job


# ------------------------------------------------------------------------------------------- refused at submission


def valid() -> dict[str, Member]:
    return docker_members([SavedImage([SHARED])])


def config_of(count: int) -> bytes:
    """Give the config of an image with so many layers."""
    return json.dumps({"rootfs": {"type": "layers", "diff_ids": [f"sha256:{'0' * 64}"] * count}}).encode()


def holding(**more: Member) -> bytes:
    """Give an archive of an image with one layer, `l`."""
    return tar({"manifest.json": b'[{"Config":"c","Layers":["l"]}]', "c": config_of(1), **more})


@pytest.mark.parametrize(
    ("content", "code", "named"),
    [
        pytest.param(gzip.compress(tar(valid())), "source.archive_invalid", "pushctl push - <FILE", id="gzip"),
        pytest.param(tar(valid())[:200_000], "source.archive_invalid", "truncated", id="truncated"),
        pytest.param(tar({"../x": b"", **valid()}), "source.archive_invalid", "leads out of it", id="name upwards"),
        pytest.param(
            tar({**valid(), "x": of_kind(tarfile.GNUTYPE_SPARSE)}), "source.archive_invalid", "sparse", id="sparse"
        ),
        pytest.param(tar([*valid().items(), ("manifest.json", b"[]")]), "source.archive_invalid", "once", id="twice"),
        pytest.param(holding(l=Link("../../etc/passwd")), "source.archive_invalid", "leads out", id="link outside"),
        pytest.param(
            holding(l=Link("/etc/passwd", hard=True)), "source.archive_invalid", "leads out", id="hard link outside"
        ),
        pytest.param(holding(l=Link("m"), m=Link("l")), "source.archive_invalid", "circle", id="links in a circle"),
        pytest.param(holding(l=Link("nothing")), "source.blob_missing", "l in", id="link to nothing"),
        pytest.param(holding(l=of_kind(tarfile.FIFOTYPE)), "source.archive_invalid", "a FIFO", id="FIFO inside"),
        pytest.param(holding(), "source.blob_missing", "l in", id="no layer"),
        pytest.param(
            holding(l=b"", c=b"{}"), "source.archive_invalid", "does not name its layers", id="config of no layers"
        ),
        pytest.param(holding(l=b"", c=config_of(2)), "source.archive_invalid", "names 2", id="config of other layers"),
        pytest.param(holding(l=b"", c=b"hello"), "source.manifest_invalid", "c in", id="config that is no JSON"),
        pytest.param(tar({"etc/hosts": b""}), "source.archive_invalid", "docker export", id="docker export"),
        pytest.param(tar({"repositories": b"{}"}), "source.archive_invalid", "before 1.10", id="before Docker 1.10"),
        pytest.param(tar({"manifest.json": b"[" * 99_999}), "source.archive_invalid", "not JSON", id="nested list"),
        pytest.param(None, "source.archive_invalid", "not a regular file", id="FIFO in place of the file"),
        pytest.param(docker_archive(SEVERAL), "source.ambiguous", "other:1, app:1.4", id="several images"),
    ],
)
def test_a_bad_archive_is_refused_at_submission_and_the_daemon_serves_on(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path, *, content: bytes | None, code: str, named: str
) -> None:
    bad = tmp_path / "bad.tar"
    if content is None:
        os.mkfifo(bad)
    else:
        bad.write_bytes(content)
    destination = f"{served.address}/team/app:1.4"

    refused = daemon.request("POST", "/v1/jobs", {"source": f"docker-archive:{bad}", "destinations": [destination]})

    assert (refused.status, refused.body["code"]) == (422, code), refused
    assert named in refused.body["detail"] + refused.body.get("hint", "")
    if content is not None and not content.startswith(b"\x1f\x8b"):  # a pipe is read as it comes, and gzip undone
        with pytest.raises(SourceError) as piped:
            Client(str(daemon.socket)).submit_stream(io.BytesIO(content), [destination])
        assert piped.value.code == code
        assert not daemon.spooled()
    assert not served.requests, "the registry was left alone"
    assert daemon.wait(daemon.submit(f"docker-archive:{linked(tmp_path)}:app", destination))["state"] == "succeeded"
