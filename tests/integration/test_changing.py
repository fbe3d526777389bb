"""Sources that change while they are pushed: one clear error, and nothing is tagged, or what was promised arrives."""

from __future__ import annotations

import http.client
import os
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.fakes.archives import SavedImage, docker_archive
from tests.fakes.dirs import blob_file, flatten
from tests.fakes.faults import SlowBody
from tests.fakes.images import ImageSpec, build_layout, pack
from tests.fakes.tars import archive, member
from tests.fakes.traffic import Kind
from tests.integration.conftest import NAMES
from tests.integration.parts import DISTRIBUTION_2, RealRegistry, assert_identical, read_back, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.integration.conftest import StartDaemon
    from tests.integration.daemon import Daemon

MIB = 1 << 20
SPEC = ImageSpec(tag="1.4", layers=[1000, 16 * MIB])


# ------------------------------------------------------------------------------------------ what there is


def layout(directory: Path) -> tuple[str, Path]:
    """Give the name of a source, and the file in which it is to change."""
    made = build_layout(directory / "app", [SPEC])
    return f"oci:{made.path}:1.4", made.blob_path(made.image.layers[-1].digest)


def oci_archive(directory: Path) -> tuple[str, Path]:
    packed = pack(build_layout(directory / "app", [SPEC]).path, directory / "app.tar")
    return f"oci-archive:{packed}:1.4", packed


def plain_directory(directory: Path) -> tuple[str, Path]:
    made = build_layout(directory / "app", [SPEC])
    flat = flatten(made, directory / "flat")
    return f"dir:{flat}", blob_file(flat, made.image.layers[-1].digest)


def saved(directory: Path) -> tuple[str, Path]:
    layers = [archive(member("file", os.urandom(size))) for size in (1000, 16 * MIB)]
    path = directory / "saved.tar"
    path.write_bytes(docker_archive([SavedImage(layers)]))
    return f"docker-archive:{path}", path


KINDS = [layout, oci_archive, plain_directory, saved]


# ------------------------------------------------------------------------------------------ what happens to it


def overwritten(path: Path) -> None:
    """Change one byte, and nothing that `ls` shows."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(-MIB, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replaced(path: Path) -> None:
    """Put another file of the same size in its place, as whoever saves it again does."""
    another = path.with_name("another")
    another.write_bytes(bytes(path.stat().st_size))
    another.replace(path)


def removed(path: Path) -> None:
    path.unlink()


CHANGES = [overwritten, truncated, replaced, removed]


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_a_file_that_changes_in_the_middle_of_the_push_is_told_and_nothing_is_tagged(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path, make: Callable[[Path], tuple[str, Path]]
) -> None:
    served.misbehave(SlowBody(rate=10 * MIB), kind=Kind.CHUNK, times=None)
    for change in CHANGES:
        (tmp_path / change.__name__).mkdir()
        source, path = make(tmp_path / change.__name__)
        enough = served.received + 2 * MIB
        job_id = daemon.submit(source, f"{served.address}/team/app:1.4", compress="none")
        wait_until(partial(has_received, served, enough), "bytes of the push have arrived")
        assert daemon.job(job_id)["state"] == "running"
        change(path)

        job = daemon.wait(job_id)

        failure = job["deliveries"][0]["failure"]
        assert (job["state"], failure["code"]) == ("failed", "source.changed"), (change, job)
        assert "leave the files alone" in failure["message"]
    team = served.repository("team/app")
    assert (team.manifests, team.tags) == ({}, {})
    assert not daemon.events("library.failure")


def has_received(served: FakeRegistry, enough: int) -> bool:
    return served.received > enough


def test_a_file_that_changes_while_it_is_compressed_is_told_and_nothing_is_sent_nor_left(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path
) -> None:
    for change in CHANGES:
        (tmp_path / change.__name__).mkdir()
        source, path = saved(tmp_path / change.__name__)
        job_id = daemon.submit(source, f"{served.address}/team/app:1.4", compress="gzip")
        wait_until(lambda: bool(compressed(daemon)), "a layer is being compressed", pause=0.001)
        os.kill(daemon.pid, signal.SIGSTOP)
        change(path)
        os.kill(daemon.pid, signal.SIGCONT)

        job = daemon.wait(job_id)

        assert job["deliveries"][0]["failure"]["code"] == "source.changed", (change, job)
        wait_until(lambda: not daemon.spooled(), "the spool is empty")
    assert not [one for one in served.requests if one.method != "HEAD"]
    assert not daemon.events("library.failure")


def compressed(daemon: Daemon) -> list[Path]:
    """Give the layers that have been compressed in part."""
    return [path for path in (daemon.state / "spool").glob("*/incoming/*") if path.stat().st_size]


# --------------------------------------------------------------------------------------- an image in a registry


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[RealRegistry]:
    """Give a real registry to read from."""
    directory = tmp_path / "origin"
    directory.mkdir()
    registry = RealRegistry(NAMES[DISTRIBUTION_2], DISTRIBUTION_2.find(), directory)
    try:
        registry.start()
        yield registry
    finally:
        registry.stop()


def put(daemon: Daemon, layout: Layout, reference: str) -> None:
    assert daemon.wait(daemon.submit(f"oci:{layout.path}:1.4", reference))["state"] == "succeeded"


def delete(registry: RealRegistry, path: str) -> None:
    connection = http.client.HTTPConnection(registry.address)
    connection.request("DELETE", f"/v2/base/app/{path}")
    assert connection.getresponse().status == http.HTTPStatus.ACCEPTED
    connection.close()


@pytest.mark.parametrize("gone", [False, True], ids=["moved", "moved and the image deleted"])
def test_a_tag_that_moves_in_the_middle_of_the_push_changes_nothing_of_it_or_ends_it_untagged(
    start_daemon: StartDaemon, origin: RealRegistry, real_registry: RealRegistry, tmp_path: Path, *, gone: bool
) -> None:
    daemon = start_daemon("[limits]\nuploads_per_registry = 1\n")  # the other layer is not asked for yet
    first, second = (
        build_layout(tmp_path / seed, [ImageSpec(tag="1.4", layers=[24 * MIB, 24 * MIB], seed=seed)])
        for seed in ("first", "second")
    )
    put(daemon, first, f"{origin.address}/base/app:1.4")
    destination = f"{real_registry.address}/team/app:1.4"
    job_id = daemon.submit(f"docker://{origin.address}/base/app:1.4", destination)
    wait_until(lambda: real_registry.uploading() > MIB, "bytes of the push have arrived", pause=0.002)
    real_registry.pause()
    put(daemon, second, f"{origin.address}/base/app:1.4")
    if gone:
        delete(origin, f"manifests/{first.image.digest}")
        for layer in first.image.layers:
            delete(origin, f"blobs/{layer.digest}")
    real_registry.resume()

    job = daemon.wait(job_id)

    (delivery,) = job["deliveries"]
    if gone:
        assert (job["state"], delivery["failure"]["code"]) == ("failed", "source.blob_missing"), job
        assert not real_registry.tags("team/app")
    else:
        assert (job["state"], delivery["digest"]) == ("succeeded", str(first.image.digest)), job
        assert_identical(first, first.image, read_back(destination, tmp_path / "back"))
