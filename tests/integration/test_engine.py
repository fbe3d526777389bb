"""Images in a container engine: asked of its API by pushctl, pushed to real registries, and read back by skopeo."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.archives import SavedImage, docker_archive
from tests.fakes.engine import FakeEngine, Framing, Hangs, Regrets
from tests.integration.parts import SKOPEO, run, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.registry import FakeRegistry
    from tests.integration.conftest import StartDaemon
    from tests.integration.daemon import Daemon
    from tests.integration.parts import RealRegistry

SOURCE = "docker-daemon:app:1.4"


def layer(number: int, size: int) -> bytes:
    """Give a layer, a tar with one file in it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo(f"file-{number}")
        info.size = size
        archive.addfile(info, io.BytesIO(random.Random(number).randbytes(size)))
    return packed.getvalue()


SAVED = SavedImage([layer(1, 5_000_000), layer(2, 70_000)], names=["app:1.4"])


@pytest.fixture
def engine(daemon: Daemon) -> Iterator[FakeEngine]:
    """Give an engine; its socket is beside the daemon's, whose path is short."""
    with FakeEngine(daemon.socket.with_name("docker.sock"), {"app:1.4": docker_archive([SAVED])}) as served:
        yield served


def environment(daemon: Daemon, engine: FakeEngine) -> dict[str, str]:
    return {**daemon.environment, "DOCKER_HOST": engine.host}


def push(daemon: Daemon, engine: FakeEngine, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `pushctl push` on the image in the engine to its end."""
    return run(sys.executable, "-m", "pushd.ctl", "push", SOURCE, *arguments, environment=environment(daemon, engine))


def read_back(destination: str, directory: Path) -> tuple[bytes, list[bytes]]:
    """Let skopeo copy an image; give its config, and its layers unpacked."""
    done = run(
        SKOPEO.find(), "--insecure-policy", "copy", "--src-tls-verify=false",
        f"docker://{destination}", f"dir:{directory}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    manifest = json.loads((directory / "manifest.json").read_bytes())
    blobs = [
        (directory / one["digest"].removeprefix("sha256:")).read_bytes()
        for one in (manifest["config"], *manifest["layers"])
    ]
    config, *layers = blobs
    return config, [gzip.decompress(one) if one.startswith(b"\x1f\x8b") else one for one in layers]


def left_in_the_spool(daemon: Daemon) -> Any:
    # `os.walk` forgives what vanishes while one looks.
    return [name for entry in daemon.spooled() for _, _, names in os.walk(entry) for name in names]


@pytest.mark.parametrize("oci", [False, True], ids=["before 25", "since 25"])
@pytest.mark.parametrize("framing", Framing)
def test_an_image_in_an_engine_is_what_is_read_back(
    daemon: Daemon, engine: FakeEngine, real_registry: RealRegistry, tmp_path: Path, framing: Framing, *, oci: bool
) -> None:
    engine.framing = framing
    engine.images["app:1.4"] = docker_archive([SAVED], oci=oci)
    destination = f"{real_registry.address}/team/app:1.4"

    pushed = push(daemon, engine, destination, "--wait", "--json")

    assert pushed.returncode == 0, pushed.stderr
    job = json.loads(pushed.stdout)
    (delivery,) = job["deliveries"]
    assert (job["source"], delivery["digest"]) == (SOURCE, job["digest"])
    assert read_back(destination, tmp_path / "back") == (SAVED.config, list(SAVED.layers))


def test_a_dry_run_asks_the_engine_and_leaves_nothing(daemon: Daemon, engine: FakeEngine, served: FakeRegistry) -> None:
    planned = push(daemon, engine, f"{served.address}/team/app:1.4", "--dry-run", "--json")

    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["destinations"][0]["action"] == "push"
    assert not served.repository("team/app").manifests
    assert left_in_the_spool(daemon) == []


def test_the_same_key_gives_the_same_job_and_asks_the_engine_once(
    daemon: Daemon, engine: FakeEngine, served: FakeRegistry
) -> None:
    typed = (f"{served.address}/team/app:1.4", "--idempotency-key", "build-4711")

    first, second = push(daemon, engine, *typed), push(daemon, engine, *typed)

    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert first.stdout == second.stdout
    assert len(engine.asked) == 1


def test_an_image_that_breaks_off_is_refused_and_leaves_nothing(
    daemon: Daemon, engine: FakeEngine, served: FakeRegistry
) -> None:
    engine.mood = Regrets(3_000_000, "no space left on device")

    refused = push(daemon, engine, f"{served.address}/team/app:1.4")

    assert (refused.returncode, refused.stdout) == (6, "")
    assert "no space left on device" in refused.stderr
    assert left_in_the_spool(daemon) == []
    assert daemon.request("GET", "/v1/jobs").body["jobs"] == []


def test_an_interrupt_while_the_engine_is_silent_leaves_nothing(
    daemon: Daemon, engine: FakeEngine, served: FakeRegistry
) -> None:
    engine.mood = Hangs(3_000_000)
    pushing = subprocess.Popen(
        [sys.executable, "-m", "pushd.ctl", "push", SOURCE, f"{served.address}/team/app:1.4"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(daemon, engine),
    )  # fmt: skip
    assert engine.reached.wait(60)

    os.kill(pushing.pid, signal.SIGINT)
    output, error = pushing.communicate(timeout=60)

    assert (pushing.returncode, output) == (130, "")
    assert "nothing was taken" in error
    assert left_in_the_spool(daemon) == []
    assert daemon.request("GET", "/v1/jobs").body["jobs"] == []


# ------------------------------------------------------------------------------------ the daemon asks the engine itself


def trusting(start_daemon: StartDaemon, docker: Path, role: str = "administrator") -> Daemon:
    """Run a daemon that asks the engine at `docker` itself."""
    return start_daemon(f'[engine]\nrole = "{role}"\nsocket = "{docker}"\n')


@pytest.fixture
def docker() -> Iterator[FakeEngine]:
    """Give an engine whose socket has a short path."""
    with (
        tempfile.TemporaryDirectory(prefix="pushd-") as directory,
        FakeEngine(Path(directory, "docker.sock"), {"app:1.4": docker_archive([SAVED])}) as served,
    ):
        yield served


@pytest.mark.parametrize("oci", [False, True], ids=["before 25", "since 25"])
def test_a_job_that_names_an_image_in_an_engine_is_what_is_read_back(
    start_daemon: StartDaemon, docker: FakeEngine, real_registry: RealRegistry, tmp_path: Path, *, oci: bool
) -> None:
    docker.images["app:1.4"] = docker_archive([SAVED], oci=oci)
    daemon = trusting(start_daemon, docker.path)
    destination = f"{real_registry.address}/team/app:1.4"
    job = daemon.wait(daemon.submit(SOURCE, destination))
    assert job["state"] == "succeeded", job
    assert job["source"] == SOURCE
    assert read_back(destination, tmp_path / "back") == (SAVED.config, list(SAVED.layers))
    wait_until(lambda: left_in_the_spool(daemon) == [], "the spool is empty")


def test_curl_that_is_interrupted_leaves_nothing(
    start_daemon: StartDaemon, docker: FakeEngine, served: FakeRegistry
) -> None:
    daemon = trusting(start_daemon, docker.path)
    docker.mood = Hangs(3_000_000)
    body = json.dumps({"source": SOURCE, "destinations": [f"{served.address}/team/app:1"]})
    asking = subprocess.Popen(
        ["curl", "--silent", "--unix-socket", daemon.socket, "http://pushd/v1/jobs", "--json", body],
        stdout=subprocess.DEVNULL,
    )
    assert docker.reached.wait(60)
    wait_until(lambda: left_in_the_spool(daemon) != [], "some of it has come")
    asking.terminate()
    asking.wait(10)
    wait_until(lambda: left_in_the_spool(daemon) == [], "nothing is left")
    assert daemon.request("GET", "/v1/jobs").body["jobs"] == []


def test_a_daemon_that_is_stopped_while_the_engine_is_silent_stops_and_leaves_nothing(
    start_daemon: StartDaemon, docker: FakeEngine, served: FakeRegistry
) -> None:
    daemon = trusting(start_daemon, docker.path)
    docker.mood = Hangs(3_000_000)
    body = {"source": SOURCE, "destinations": [f"{served.address}/team/app:1"]}
    with ThreadPoolExecutor(1) as elsewhere:
        asking = elsewhere.submit(daemon.request, "POST", "/v1/jobs", body)
        assert docker.reached.wait(60)
        wait_until(lambda: left_in_the_spool(daemon) != [], "some of it has come")
        assert daemon.terminate() == 0
        assert asking.result(60).status == 503
    assert left_in_the_spool(daemon) == []


def test_whom_the_engine_is_asked_for_changes_with_a_reload(
    start_daemon: StartDaemon, docker: FakeEngine, served: FakeRegistry, tmp_path: Path
) -> None:
    daemon = trusting(start_daemon, docker.path, role="nobody")
    body = {"source": SOURCE, "destinations": [f"{served.address}/team/app:1"]}
    refused = daemon.request("POST", "/v1/jobs", body)
    assert (refused.status, refused.body["code"]) == (422, "source.unsupported")
    config = tmp_path / "daemon" / "pushd.toml"
    config.write_text(config.read_text().replace("nobody", "submitter"))
    os.kill(daemon.pid, signal.SIGHUP)
    wait_until(lambda: daemon.events("daemon.reloaded") != [], "it was read again")
    assert daemon.wait(daemon.submit(SOURCE, f"{served.address}/team/app:1"))["state"] == "succeeded"
