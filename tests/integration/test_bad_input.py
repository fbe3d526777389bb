"""Bad input, end to end: each ends in one clear error with a stable code, and the daemon serves on."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from zstandard import ZstdCompressor

from tests.fakes.faults import Answer as Answered
from tests.fakes.faults import page
from tests.fakes.images import ImageSpec, build_layout, pack
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.integration.conftest import StartDaemon
    from tests.integration.daemon import Daemon

MIB = 1 << 20
SPEC = ImageSpec(tag="1.4", layers=[2000, 70_000])


def built(tmp_path: Path) -> Layout:
    return build_layout(tmp_path / "app", [SPEC])


# ------------------------------------------------------------------------------------------- refused at submission


def missing(tmp_path: Path) -> str:
    return f"oci:{tmp_path / 'nowhere'}"


def no_index(tmp_path: Path) -> str:
    layout = built(tmp_path)
    (layout.path / "index.json").unlink()
    return f"oci:{layout.path}"


def several_images(tmp_path: Path) -> str:
    return f"oci:{build_layout(tmp_path / 'app', [SPEC, ImageSpec(tag='1.5', layers=[3000])]).path}"


def truncated(tmp_path: Path) -> str:
    archive = pack(built(tmp_path).path, tmp_path / "app.tar")
    with archive.open("r+b") as file:
        file.truncate(archive.stat().st_size // 2)
    return f"oci-archive:{archive}"


def hostile(member: tarfile.TarInfo) -> Callable[[Path], str]:
    def make(tmp_path: Path) -> str:
        archive = pack(built(tmp_path).path, tmp_path / "app.tar")
        with tarfile.open(archive, "a") as tar:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
        return f"oci-archive:{archive}"

    return make


def squeezed(compress: Callable[[bytes], bytes]) -> Callable[[Path], str]:
    def make(tmp_path: Path) -> str:
        archive = pack(built(tmp_path).path, tmp_path / "app.tar")
        archive.write_bytes(compress(archive.read_bytes()))
        return f"oci-archive:{archive}"

    return make


def without(lost: str) -> Callable[[Path], str]:
    """Give an archive that lacks one member: a document by its name, or the last layer."""

    def make(tmp_path: Path) -> str:
        layout = built(tmp_path)
        (layout.path / lost if lost else layout.blob_path(layout.image.layers[-1].digest)).unlink()
        return f"oci-archive:{pack(layout.path, tmp_path / 'app.tar')}"

    return make


def again() -> tarfile.TarInfo:
    return tarfile.TarInfo("index.json")


def sparse() -> tarfile.TarInfo:
    member = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
    member.type = tarfile.GNUTYPE_SPARSE
    return member


def sparse_of_pax() -> tarfile.TarInfo:
    member = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1000000"}
    return member


def hard_linked() -> tarfile.TarInfo:
    member = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
    member.type = tarfile.LNKTYPE
    member.linkname = "../../../etc/shadow"
    return member


def upwards() -> tarfile.TarInfo:
    member = tarfile.TarInfo("../../etc/passwd")
    member.size = 4
    return member


def absolute() -> tarfile.TarInfo:
    member = tarfile.TarInfo("/etc/passwd")
    member.size = 4
    return member


def linked() -> tarfile.TarInfo:
    member = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
    member.type = tarfile.SYMTYPE
    member.linkname = "/etc/shadow"
    return member


def fifo(tmp_path: Path) -> str:
    layout = built(tmp_path)
    blob = layout.blob_path(layout.image.layers[0].digest)
    blob.unlink()
    os.mkfifo(blob)
    return f"oci:{layout.path}"


def symlink(tmp_path: Path) -> str:
    layout = built(tmp_path)
    blob = layout.blob_path(layout.image.layers[0].digest)
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    return f"oci:{layout.path}"


def no_blob(tmp_path: Path) -> str:
    layout = built(tmp_path)
    layout.blob_path(layout.image.layers[1].digest).unlink()
    return f"oci:{layout.path}"


def other_size(tmp_path: Path) -> str:
    layout = built(tmp_path)
    with layout.blob_path(layout.image.layers[1].digest).open("ab") as blob:
        blob.write(b"more")
    return f"oci:{layout.path}"


def rooted(content: bytes, media_type: str = "application/vnd.oci.image.manifest.v1+json") -> Callable[[Path], str]:
    """Give a layout whose root is exactly these bytes."""

    def make(tmp_path: Path) -> str:
        layout = built(tmp_path)
        descriptor = layout.put(content, media_type)
        entry = {"mediaType": media_type, "digest": str(descriptor.digest), "size": descriptor.size}
        (layout.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        return f"oci:{layout.path}"

    return make


def cycle(tmp_path: Path) -> str:
    """An index cannot truly contain its own digest; one that says so is damaged or hostile."""
    layout = built(tmp_path)
    media_type = "application/vnd.oci.image.index.v1+json"
    encoded = "ab" * 32
    entry = {"mediaType": media_type, "digest": f"sha256:{encoded}", "size": 0}
    while entry["size"] != len(content := json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()):
        entry["size"] = len(content)
    (layout.path / "blobs" / "sha256" / encoded).write_bytes(content)
    (layout.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return f"oci:{layout.path}"


OVER = json.dumps({"schemaVersion": 2, "padding": "x" * (4 << 20)}).encode()
SCHEMA_1 = json.dumps({"schemaVersion": 1, "name": "app", "tag": "1", "fsLayers": [], "history": []}).encode()


@pytest.mark.parametrize(
    ("make", "code", "named"),
    [
        pytest.param(missing, "source.not_found", "nowhere", id="missing path"),
        pytest.param(no_index, "source.layout_invalid", "index.json", id="no index.json"),
        pytest.param(several_images, "source.ambiguous", "1.5", id="several images without a REF"),
        pytest.param(truncated, "source.archive_invalid", "app.tar", id="truncated archive"),
        pytest.param(squeezed(gzip.compress), "source.archive_invalid", "with gzip", id="archive in gzip"),
        pytest.param(squeezed(ZstdCompressor().compress), "source.archive_invalid", "with zstd", id="archive in zstd"),
        pytest.param(without("oci-layout"), "source.layout_invalid", "oci-layout", id="archive without its mark"),
        pytest.param(without("index.json"), "source.layout_invalid", "index.json", id="archive without an index"),
        pytest.param(without(""), "source.blob_missing", "sha256:", id="archive without a layer"),
        pytest.param(hostile(again()), "source.archive_invalid", "more than once", id="member twice"),
        pytest.param(hostile(sparse()), "source.archive_invalid", "a sparse file", id="sparse member"),
        pytest.param(hostile(sparse_of_pax()), "source.archive_invalid", "a sparse file", id="sparse member in pax"),
        pytest.param(hostile(hard_linked()), "source.archive_invalid", "a hard link", id="hard-linked member"),
        pytest.param(hostile(upwards()), "source.archive_invalid", "../../etc/passwd", id="member upwards"),
        pytest.param(hostile(absolute()), "source.archive_invalid", "/etc/passwd", id="absolute member"),
        pytest.param(hostile(linked()), "source.archive_invalid", "0" * 64, id="linked member"),
        pytest.param(fifo, "source.blob_not_regular", "sha256:", id="FIFO for a blob"),
        pytest.param(symlink, "source.blob_not_regular", "sha256:", id="symlink for a blob"),
        pytest.param(no_blob, "source.blob_missing", "sha256:", id="blob missing"),
        pytest.param(other_size, "source.blob_size", "sha256:", id="blob of another size"),
        pytest.param(rooted(b"{not json"), "source.manifest_invalid", "sha256:", id="manifest not JSON"),
        pytest.param(rooted(OVER), "source.manifest_too_large", "4194304", id="manifest over 4 MiB"),
        pytest.param(rooted(SCHEMA_1), "source.manifest_unsupported", "schema 1", id="schema 1"),
        pytest.param(cycle, "source.manifest_cycle", "sha256:", id="cycle"),
        pytest.param(lambda _: "tarball:/x", "source.unsupported", "tarball", id="unknown kind of source"),
        pytest.param(lambda _: "oci:relative/app", "source.unsupported", "relative", id="relative path"),
        pytest.param(lambda _: "docker-daemon:app:1", "source.unreadable", "no engine answers", id="in an engine"),
    ],
)
def test_a_bad_source_is_refused_at_submission(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path, *, make: Callable[[Path], str], code: str, named: str
) -> None:
    body = {"source": make(tmp_path), "destinations": [f"{served.address}/team/app:1.4"]}
    answer = daemon.request("POST", "/v1/jobs", body)
    assert 400 <= answer.status < 500, answer
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.body["code"] == code, answer.body
    assert named in answer.body["detail"], answer.body
    assert not served.requests, "the registry was left alone"
    assert_serves_on(daemon, served, tmp_path)


@pytest.mark.parametrize(
    "destination",
    [
        "",
        "registry.example.com/UPPER/case:1",
        "registry.example.com/app:bad tag",
        "registry.example.com:port/app",
        "app@sha256:12",
        "a/b\x1b[31m",
    ],
)
def test_a_bad_reference_is_refused_at_submission(daemon: Daemon, tmp_path: Path, destination: str) -> None:
    answer = daemon.request(
        "POST", "/v1/jobs", {"source": f"oci:{built(tmp_path).path}", "destinations": [destination]}
    )
    assert answer.status == 400, answer
    assert answer.body["code"] in ("request.invalid_reference", "request.malformed")
    assert "\x1b" not in answer.body["detail"]


# ---------------------------------------------------------------------------------------------- failed in the push


def test_a_corrupted_blob_fails_its_job_and_no_other(daemon: Daemon, served: FakeRegistry, tmp_path: Path) -> None:
    good = build_layout(tmp_path / "good", [ImageSpec(tag="1.4", layers=[3000, 80_000], seed="good")])
    bad = built(tmp_path)
    victim = bad.image.layers[1]
    content = bytearray(bad.blob_path(victim.digest).read_bytes())
    content[-1] ^= 1
    bad.blob_path(victim.digest).write_bytes(content)
    failing = daemon.submit(f"oci:{bad.path}", f"{served.address}/team/bad:1.4")
    passing = daemon.submit(f"oci:{good.path}", f"{served.address}/team/good:1.4")
    failure = daemon.wait(failing)["deliveries"][0]["failure"]
    assert failure["code"] == "source.blob_digest"
    assert str(victim.digest) in failure["message"]
    assert daemon.wait(passing)["state"] == "succeeded"
    assert not served.repository("team/bad").manifests
    assert str(victim.digest) not in served.repository("team/bad").blobs


def test_one_bad_layer_of_one_platform_leaves_no_manifest_of_any_and_no_tag(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path
) -> None:
    spec = ImageSpec(tag="1.4", layers=[3000, 2 * MIB], platforms=["linux/amd64", "linux/arm64"])
    bad = build_layout(tmp_path / "app", [spec])
    victim = bad.image.layers[-1]
    with bad.blob_path(victim.digest).open("r+b") as file:
        file.write(bytes(100))
    destinations = [f"{served.address}/team/app:{tag}" for tag in ("1.4", "latest")]

    job = daemon.wait(daemon.submit(f"oci:{bad.path}", *destinations))

    assert [one["failure"]["code"] for one in job["deliveries"]] == ["source.blob_digest"] * 2
    there = served.repository("team/app")
    assert (there.manifests, there.tags) == ({}, {})
    assert str(victim.digest) not in there.blobs


@pytest.mark.parametrize(
    ("destination", "code"),
    [
        pytest.param("registry.invalid/team/app:1.4", "registry.unresolved", id="does not resolve"),
        pytest.param("127.0.0.1:1/team/app:1.4", "registry.unreachable", id="refuses the connection"),
    ],
)
def test_a_registry_that_is_not_there_is_one_clear_error(
    start_daemon: StartDaemon, served: FakeRegistry, tmp_path: Path, destination: str, code: str
) -> None:
    daemon = start_daemon("[limits]\nattempts = 2\n")
    job = daemon.wait(daemon.submit(f"oci:{built(tmp_path).path}", destination))
    assert job["state"] == "failed"
    failure = job["deliveries"][0]["failure"]
    assert failure["code"] == code, failure
    assert destination.partition("/")[0] in failure["message"]
    assert_serves_on(daemon, served, tmp_path)


def test_a_registry_that_refuses_is_one_clear_error(daemon: Daemon, served: FakeRegistry, tmp_path: Path) -> None:
    served.misbehave(Answered(status=403), kind=Kind.OPEN, times=None)
    job = daemon.wait(daemon.submit(f"oci:{built(tmp_path).path}", f"{served.address}/team/app:1.4"))
    assert job["deliveries"][0]["failure"]["code"] == "registry.denied"
    assert not served.repository("team/app").manifests


def test_a_web_site_is_told_from_a_registry(daemon: Daemon, served: FakeRegistry, tmp_path: Path) -> None:
    served.misbehave(page(200), times=None)
    job = daemon.wait(daemon.submit(f"oci:{built(tmp_path).path}", f"{served.address}/team/app:1.4"))
    assert job["deliveries"][0]["failure"]["code"] == "registry.malformed"


def test_a_source_that_vanishes_after_submission_fails_its_job(
    start_daemon: StartDaemon, served: FakeRegistry, tmp_path: Path
) -> None:
    daemon = start_daemon("[limits]\nattempts = 9\n")
    port = served.port
    layout = built(tmp_path)
    served.misbehave(Answered(status=503), kind=Kind.MANIFEST, method="HEAD")
    job_id = daemon.submit(f"oci:{layout.path}", f"127.0.0.1:{port}/team/app:1.4")
    layout.blob_path(layout.image.layers[0].digest).unlink()
    failure = daemon.wait(job_id)["deliveries"][0]["failure"]
    assert failure["code"] in ("source.blob_missing", "source.changed")
    assert not served.repository("team/app").manifests


def assert_serves_on(daemon: Daemon, served: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "after", [SPEC])
    job = daemon.wait(daemon.submit(f"oci:{layout.path}", f"{served.address}/after/app:1.4"))
    assert job["state"] == "succeeded"
