"""From one real registry to another: every pair of them, whoever lets whom in, and over a killed daemon."""

from __future__ import annotations

import base64
import json
import shutil
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.fakes.authority import Authority
from tests.fakes.faults import CutContent
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.signer import Signer
from tests.fakes.token_server import TokenServer
from tests.fakes.traffic import Kind
from tests.integration.conftest import NAMES
from tests.integration.daemon import TERMINAL
from tests.integration.doors import HTPASSWD, OPEN, PASSWORD, USER, Door, Tokens
from tests.integration.parts import RealRegistry, assert_identical, read_back, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fakes.images import Layout
    from tests.fakes.registry import FakeRegistry
    from tests.integration.daemon import Daemon
    from tests.integration.parts import Tool

MIB, GIB = 1 << 20, 1 << 30


class Run(Protocol):
    """Runs one more real registry for a test."""

    def __call__(self, tool: Tool, door: Door = OPEN) -> RealRegistry: ...


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    running: list[RealRegistry] = []

    def start(tool: Tool, door: Door = OPEN) -> RealRegistry:
        directory = tmp_path / f"registry-{len(running)}"
        directory.mkdir()
        registry = RealRegistry(NAMES[tool], tool.find(), directory, door)
        running.append(registry)
        registry.start()
        return registry

    yield start
    for registry in running:
        registry.stop()


@pytest.fixture(params=NAMES, ids=[f"from {name}" for name in NAMES.values()])
def origin(request: pytest.FixtureRequest, run: Run) -> RealRegistry:
    """Give each of the real registries in turn, to read from."""
    return run(request.param)


def fill(daemon: Daemon, layout: Layout, reference: str, *, seconds: float = 60, **more: object) -> None:
    """Have an image in a registry to begin with."""
    job = daemon.wait(daemon.submit(f"oci:{layout.path}:1.4", reference, **more), seconds)
    assert job["state"] == "succeeded", job


def spooled(daemon: Daemon) -> list[Path]:
    """Give the entries of the daemon's spool."""
    return [path for path in (daemon.state / "spool").glob("*") if path.is_dir() and any(path.rglob("*"))]


def test_an_image_with_all_its_platforms_arrives_byte_for_byte(
    daemon: Daemon, origin: RealRegistry, real_registry: RealRegistry, tmp_path: Path
) -> None:
    spec = ImageSpec(tag="1.4", layers=[5 * MIB, 1000], platforms=["linux/amd64", "linux/arm64"], attested=True)
    layout = build_layout(tmp_path / "app", [spec])
    fill(daemon, layout, f"{origin.address}/base/app:1.4")
    destination = f"{real_registry.address}/team/app:1.4"
    job = daemon.wait(daemon.submit(f"docker://{origin.address}/base/app:1.4", destination))
    assert job["state"] == "succeeded", job
    assert_identical(layout, layout.image, read_back(destination, tmp_path / "back"))
    one = f"{real_registry.address}/team/app:arm"
    job = daemon.wait(daemon.submit(f"docker://{origin.address}/base/app:1.4", one, platforms=["linux/arm64"]))
    assert job["state"] == "succeeded", job
    assert not spooled(daemon)


def test_within_one_registry_no_blob_travels(daemon: Daemon, real_registry: RealRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[5 * MIB, 1000])])
    fill(daemon, layout, f"{real_registry.address}/base/app:1.4")
    destination = f"{real_registry.address}/team/app:1.4"
    job = daemon.wait(daemon.submit(f"docker://{real_registry.address}/base/app:1.4", destination))
    assert job["state"] == "succeeded", job
    transfers = daemon.job(job["id"])["deliveries"][0]["transfers"]
    assert {transfer["state"] for transfer in transfers} == {"mounted"}
    assert sum(transfer["sent"] for transfer in transfers) == 0
    assert_identical(layout, layout.image, read_back(destination, tmp_path / "back"))


@pytest.fixture(params=["htpasswd", "tokens"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    """Give a door that lets in who has the password: at the registry, or at its token service."""
    if request.param == "htpasswd":
        (tmp_path / "htpasswd").write_text(HTPASSWD)
        yield Door(htpasswd=tmp_path / "htpasswd")
        return
    authority = Authority(tmp_path / "ca")
    with TokenServer(Signer(authority.server("tokens")), accounts={USER: PASSWORD}) as tokens:
        yield Door(tokens=Tokens(realm=tokens.realm, service=tokens.service, issuer=tokens.issuer, bundle=authority.ca))


@pytest.fixture(params=NAMES, ids=NAMES.get)
def guarded(request: pytest.FixtureRequest, run: Run, door: Door) -> RealRegistry:
    """Give each of the real registries behind each of the doors."""
    return run(request.param, door)


def test_pushctl_hands_over_what_the_caller_has_for_the_source(
    daemon: Daemon, guarded: RealRegistry, door: Door, served: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[2 * MIB])])
    given = [{"registry": guarded.address, "username": USER, "password": PASSWORD}]
    fill(daemon, layout, f"{guarded.address}/base/app:1.4", credentials=given)
    source, destination = f"docker://{guarded.address}/base/app:1.4", f"{served.address}/team/app:1.4"

    if door.htpasswd is not None:  # the token service lets everybody read
        refused = daemon.ctl("push", source, destination, "--wait")
        assert refused.returncode == 6
        assert "401" in refused.stderr

    config = Path(daemon.environment["DOCKER_CONFIG"]) / "config.json"
    config.parent.mkdir(parents=True)
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    config.write_text(json.dumps({"auths": {guarded.address: {"auth": auth}}}))
    pushed = daemon.ctl("push", source, destination, "--wait")
    assert pushed.returncode == 0, pushed.stderr
    assert str(layout.image.digest) in pushed.stdout
    assert auth not in daemon.log.read_text()


RENEWED = "close barley"
"""The password of the same user after it was changed, below as distribution keeps it."""
RENEWED_HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuuXnbKL91Uilr.QCcIbvI8V1LNuT5YSL2\n"


@pytest.fixture(params=["htpasswd", "tokens"])
def renewed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Door, Callable[[], object]]]:
    """Give a door, and what changes its password; a token that was given out before is soon no good either."""
    if request.param == "htpasswd":
        users = tmp_path / "htpasswd"
        users.write_text(HTPASSWD)
        yield Door(htpasswd=users), partial(users.write_text, RENEWED_HTPASSWD)
        return
    authority = Authority(tmp_path / "ca")
    with TokenServer(Signer(authority.server("tokens")), accounts={USER: PASSWORD}, life=3) as tokens:

        def renew() -> None:
            tokens.accounts[USER] = RENEWED
            time.sleep(tokens.life)

        yield (
            Door(tokens=Tokens(realm=tokens.realm, service=tokens.service, issuer=tokens.issuer, bundle=authority.ca)),
            renew,
        )


@pytest.mark.parametrize("tool", NAMES, ids=NAMES.get)
def test_a_credential_for_the_source_that_ends_in_the_middle_is_waited_for(
    daemon: Daemon, run: Run, renewed: tuple[Door, Callable[[], object]], tool: Tool, tmp_path: Path
) -> None:
    door, renew = renewed
    origin, target = run(tool, door), run(tool)
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[64 * MIB])])
    given = [{"registry": origin.address, "username": USER, "password": PASSWORD}]
    fill(daemon, layout, f"{origin.address}/base/app:1.4", credentials=given)
    destination = f"{target.address}/team/app:1.4"
    job_id = daemon.submit(f"docker://{origin.address}/base/app:1.4", destination, credentials=given)
    wait_until(lambda: target.uploading() > MIB, "bytes of the push have arrived", pause=0.002)
    target.pause()
    origin.stop()
    renew()
    origin.start()
    target.resume()

    def reason() -> Any:
        return daemon.job(job_id)["deliveries"][0]["failure"] or {}

    wait_until(lambda: reason().get("code") == "source.needs_credential", "it waits for a credential")
    assert f"`pushctl login {origin.address}`" in reason()["message"]
    config = Path(daemon.environment["DOCKER_CONFIG"]) / "config.json"
    config.parent.mkdir(parents=True)
    auth = base64.b64encode(f"{USER}:{RENEWED}".encode()).decode()
    config.write_text(json.dumps({"auths": {origin.address: {"auth": auth}}}))
    retried = daemon.ctl("retry", job_id)
    assert retried.returncode == 0, retried.stderr
    job = daemon.wait(job_id)
    assert job["state"] == "succeeded", job
    assert_identical(layout, layout.image, read_back(destination, tmp_path / "back"))


def test_a_source_that_breaks_in_the_middle_goes_on_where_it_broke(
    daemon: Daemon, served: FakeRegistry, real_registry: RealRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[8 * MIB])])
    fill(daemon, layout, f"{served.address}/base/app:1.4")
    served.misbehave(CutContent(after=100), kind=Kind.BLOB, method="GET", nth=2)
    destination = f"{real_registry.address}/team/app:1.4"
    job = daemon.wait(daemon.submit(f"docker://{served.address}/base/app:1.4", destination))
    assert job["state"] == "succeeded", job
    assert_identical(layout, layout.image, read_back(destination, tmp_path / "back"))


def test_a_job_goes_on_after_the_daemon_was_killed_in_the_middle(
    daemon: Daemon, origin: RealRegistry, real_registry: RealRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[64 * MIB])])
    fill(daemon, layout, f"{origin.address}/base/app:1.4")
    destination = f"{real_registry.address}/team/app:1.4"
    job_id = daemon.submit(f"docker://{origin.address}/base/app:1.4", destination)
    wait_until(lambda: real_registry.uploading() > MIB, "bytes of the push have arrived", pause=0.002)
    real_registry.pause()
    assert daemon.job(job_id)["state"] == "running"
    daemon.kill()
    real_registry.resume()
    daemon.start()
    job = daemon.wait(job_id)
    assert job["state"] == "succeeded", job
    assert_identical(layout, layout.image, read_back(destination, tmp_path / "back"))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_gigabytes_pass_through_in_little_memory_and_none_of_it_is_kept(
    daemon: Daemon, run: Run, real_registry: RealRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[128 * MIB] * 8)])
    origin = run(next(iter(NAMES)))
    fill(daemon, layout, f"{origin.address}/base/app:1.4")
    daemon.terminate()
    daemon.start()
    destination = f"{real_registry.address}/team/app:1.4"
    job = daemon.wait(daemon.submit(f"docker://{origin.address}/base/app:1.4", destination), 300)
    assert job["state"] == "succeeded", job
    assert daemon.memory().peak < 150 * MIB
    assert not spooled(daemon)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("source", NAMES, ids=[f"from {name}" for name in NAMES.values()])
def test_five_gigabytes_pass_from_one_registry_to_the_other_in_little_memory_and_the_spool_stays_empty(
    daemon: Daemon, run: Run, source: Tool, tmp_path: Path
) -> None:
    (target,) = NAMES.keys() - {source}
    origin, there = run(source), run(target)
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[3 * GIB, GIB, GIB // 2, GIB // 2, 1000])])
    fill(daemon, layout, f"{origin.address}/base/app:1.4", seconds=600)
    daemon.terminate()
    shutil.rmtree(layout.path)  # room for what is to come
    daemon.start()

    job_id = daemon.submit(f"docker://{origin.address}/base/app:1.4", f"{there.address}/team/app:1.4")
    kept = []
    while daemon.job(job_id)["state"] not in TERMINAL:
        kept += spooled(daemon)
        time.sleep(0.05)
    job, memory = daemon.job(job_id), daemon.memory()

    print(f"{job['state']}: {memory.peak >> 20} MiB at most, {memory.now >> 20} MiB at the end")  # noqa: T201 (-s)
    shutil.rmtree(origin.storage)
    assert job["state"] == "succeeded", job
    assert job["digest"] == str(layout.image.digest)
    assert sum(transfer["sent"] for transfer in job["deliveries"][0]["transfers"]) > 5 * GIB
    assert memory.peak < 150 * MIB
    assert not [*kept, *spooled(daemon)]
    shutil.rmtree(there.storage)
