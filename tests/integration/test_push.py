"""A push that works, end to end: the daemon, real registries, and readers who are not ours."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.fakes.behaviour import DISTRIBUTION_2, DISTRIBUTION_3
from tests.fakes.images import ImageSpec, build_layout, pack
from tests.fakes.registry import FakeRegistry
from tests.fakes.traffic import Kind
from tests.integration.parts import assert_identical, read_back, run, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.behaviour import Behaviour
    from tests.fakes.images import Layout
    from tests.fakes.traffic import Seen
    from tests.integration.daemon import Daemon
    from tests.integration.parts import RealRegistry

THREE_LAYERS = ImageSpec(tag="1.4", layers=[5_000_000, 70_000, 1024])
TWO_PLATFORMS = ImageSpec(tag="1.4", layers=[1_000_000, 1024], platforms=["linux/amd64", "linux/arm64"])


@pytest.mark.parametrize("spec", [THREE_LAYERS, TWO_PLATFORMS], ids=["three layers", "two platforms"])
def test_an_image_arrives_byte_for_byte(
    daemon: Daemon, real_registry: RealRegistry, tmp_path: Path, spec: ImageSpec
) -> None:
    layout = build_layout(tmp_path / "app", [spec])
    destination = f"{real_registry.address}/team/app:1.4"
    job = daemon.wait(daemon.submit(f"oci:{layout.path}:1.4", destination))
    assert job["state"] == "succeeded", job
    assert job["deliveries"][0]["digest"] == str(layout.image.digest)
    assert_identical(layout, layout.image, read_back(destination, tmp_path / "back"))


def test_an_archive_arrives_byte_for_byte(daemon: Daemon, real_registry: RealRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [THREE_LAYERS])
    archive = pack(layout.path, tmp_path / "app.tar")
    destination = f"{real_registry.address}/team/app:1.4"
    job = daemon.wait(daemon.submit(f"oci-archive:{archive}:1.4", destination))
    assert job["state"] == "succeeded", job
    assert_identical(layout, layout.image, read_back(destination, tmp_path / "back"))


def test_two_destinations_are_one_job_with_two_deliveries(
    daemon: Daemon, real_registry: RealRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [THREE_LAYERS])
    destinations = [f"{real_registry.address}/team/app:1.4", f"{real_registry.address}/mirror/app:latest"]
    job = daemon.wait(daemon.submit(f"oci:{layout.path}:1.4", *destinations))
    assert [(one["destination"], one["state"]) for one in job["deliveries"]] == [
        (destination, "succeeded") for destination in destinations
    ]
    for number, destination in enumerate(destinations):
        assert_identical(layout, layout.image, read_back(destination, tmp_path / f"back-{number}"))


def test_the_same_push_again_is_one_request(daemon: Daemon, served: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [THREE_LAYERS])
    first = push(daemon, served, layout)
    second = push(daemon, served, layout)
    assert len(first) > 1
    assert [(seen.method, seen.kind) for seen in second] == [("HEAD", Kind.MANIFEST)]


def test_a_cold_push_asks_opens_and_puts_each_blob_once(daemon: Daemon, served: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [THREE_LAYERS])
    requests = push(daemon, served, layout)
    chunks = sum(seen.kind in (Kind.CHUNK, Kind.STREAM) for seen in requests)
    # Ask, open and put for each blob, the chunks, the manifest, and a HEAD before and after.
    assert len(requests) == 3 * len(layout.image.blobs) + chunks + 1 + 2, "\n".join(map(str, requests))


@pytest.mark.parametrize(("behaviour", "each"), [(DISTRIBUTION_2, 3), (DISTRIBUTION_3, 2)])
def test_a_cold_push_of_small_layers_costs_two_requests_a_blob_where_the_registry_allows_it(
    daemon: Daemon, behaviour: Behaviour, each: int, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[70_000, 60_000, 1024])])
    with FakeRegistry(behaviour).in_thread() as served:
        requests = push(daemon, served, layout)
    assert len(requests) == each * len(layout.image.blobs) + 1 + 2, "\n".join(map(str, requests))


def test_what_somebody_else_pushed_there_is_not_sent_again(
    daemon: Daemon, real_registry: RealRegistry, tmp_path: Path
) -> None:
    base = build_layout(tmp_path / "base", [ImageSpec(tag="1.4", layers=[5_000_000, 70_000])])
    app = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[5_000_000, 70_000, 1024])])
    shared = {str(layer.digest) for layer in base.image.layers}
    assert shared < {str(layer.digest) for layer in app.image.layers}
    options = ("--dest-tls-verify=false", f"oci:{base.path}:1.4", f"docker://{real_registry.address}/team/app:base")
    copied = run("skopeo", "copy", *options)
    assert copied.returncode == 0, copied.stderr
    job = daemon.wait(daemon.submit(f"oci:{app.path}:1.4", f"{real_registry.address}/team/app:1.4"))
    states = {one["digest"]: one["state"] for one in job["deliveries"][0]["transfers"]}
    assert {digest for digest, state in states.items() if state == "present"} == shared


def test_an_image_that_does_not_fit_what_it_says_is_refused_at_once(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [THREE_LAYERS])
    layout.blob_path(layout.image.layers[0].digest).unlink()
    body = {"source": f"oci:{layout.path}:1.4", "destinations": [f"{served.address}/team/app:1.4"]}
    refused = daemon.request("POST", "/v1/jobs", body)
    assert 400 <= refused.status < 500, refused
    assert refused.body["code"] == "source.blob_missing"
    assert not served.requests


def test_curl_alone_submits_waits_and_reads(daemon: Daemon, real_registry: RealRegistry, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    layout = build_layout(tmp_path / "app", [THREE_LAYERS])
    destination = f"{real_registry.address}/team/app:1.4"

    def ask(path: str, *more: str) -> str:
        command = [curl, "--silent", "--show-error", "--fail", "--unix-socket", str(daemon.socket), *more]
        answer = run(*command, f"http://localhost{path}")
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    body = json.dumps({"source": f"oci:{layout.path}:1.4", "destinations": [destination]})
    submitted = json.loads(ask("/v1/jobs", "--json", body))
    ended = json.loads(ask(f"/v1/jobs/{submitted['id']}/wait?timeout=60"))
    read = json.loads(ask(f"/v1/jobs/{submitted['id']}"))
    events = [json.loads(line) for line in ask(f"/v1/events?job={submitted['id']}&follow=0").splitlines() if line]
    assert ended["state"] == "succeeded"
    assert read == ended
    assert submitted["id"] in {one["id"] for one in json.loads(ask("/v1/jobs"))["jobs"]}
    assert events[0]["event"] == "job.submitted"
    assert events[-1]["event"] == "job.finished"
    assert_identical(layout, layout.image, read_back(destination, tmp_path / "back"))


def test_pushctl_pushes_waits_and_says_so(daemon: Daemon, real_registry: RealRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [THREE_LAYERS])
    destination = f"{real_registry.address}/team/app:1.4"
    pushed = daemon.ctl("push", f"oci:{layout.path}:1.4", destination, "--wait", "--json")
    assert pushed.returncode == 0, pushed.stderr
    last = json.loads(pushed.stdout.splitlines()[-1])
    assert last["state"] == "succeeded"
    assert_identical(layout, layout.image, read_back(destination, tmp_path / "back"))


def test_the_log_tells_the_story_of_a_job(daemon: Daemon, served: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [THREE_LAYERS])
    job = daemon.wait(daemon.submit(f"oci:{layout.path}:1.4", f"{served.address}/team/app:1.4"))

    def told() -> list[str]:
        return [line["event"] for line in daemon.events() if line.get("job") == job["id"]]

    wait_until(lambda: "job.finished" in told(), "the log has the end of it")  # written by a thread of its own
    assert told()[0] == "job.submitted"
    assert told()[-1] == "job.finished"
    assert told().count("transfer.finished") == len(layout.image.blobs)
    assert not daemon.events("daemon.fault")


def push(daemon: Daemon, served: FakeRegistry, layout: Layout) -> list[Seen]:
    """Push, and give the requests it took."""
    before = served.count()
    job = daemon.wait(daemon.submit(f"oci:{layout.path}:1.4", f"{served.address}/team/app:1.4"))
    assert job["state"] == "succeeded", job
    return served.requests[before:]
