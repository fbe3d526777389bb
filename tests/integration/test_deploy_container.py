"""The container's files, as far as they can be tried without a container engine."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pushd.config import Overrides, load
from tests.fakes.images import build_layout
from tests.integration.daemon import REPOSITORY
from tests.integration.deployed import install, tree
from tests.integration.machine import booted
from tests.integration.parts import Tool, run, tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.registry import FakeRegistry
    from tests.integration.machine import Machine

CONTAINER = REPOSITORY / "deploy" / "container"
COMPOSE = Tool("compose-spec", "PUSHD_TEST_COMPOSE")


@dataclass(slots=True)
class Stage:
    """One stage of a Containerfile.

    Attributes:
        base: what it begins with.
        steps: its instructions in order, each with its arguments.
    """

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str:
        """Give the arguments of the last instruction of a kind."""
        return [arguments for name, arguments in self.steps if name == instruction][-1]

    @property
    def environment(self) -> dict[str, str]:
        """All that ENV sets."""
        words = [word for name, arguments in self.steps if name == "ENV" for word in shlex.split(arguments)]
        return dict(word.split("=", 1) for word in words)


def stages() -> list[Stage]:
    text = "\n".join(line for line in (CONTAINER / "Containerfile").read_text().splitlines() if line[:1] != "#")
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        instruction, _, arguments = line.strip().partition(" ")
        if instruction == "FROM":
            found.append(Stage(arguments.split()[0]))
        elif instruction:
            found[-1].steps.append((instruction, arguments))
    return found


# ------------------------------------------------------------------------------------------------------- Containerfile


def test_the_image_runs_as_a_user_without_rights_and_starts_without_a_shell() -> None:
    _, image = stages()
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.last("USER"))
    entry = json.loads(image.last("ENTRYPOINT"))
    assert entry == ["/opt/pushd/bin/python", "-P", "-m", "pushd"]
    assert "RUN" not in {name for name, _ in image.steps}
    health = image.last("HEALTHCHECK")
    assert json.loads(health[health.index("CMD") + 3 :]) == ["/opt/pushd/bin/pushctl", "status"]


def test_both_stages_begin_with_the_same_python_at_a_release_of_it() -> None:
    build, image = stages()
    assert build.base == image.base
    assert re.search(r":3\.\d+-slim-[a-z]+$", image.base)


def test_all_that_is_copied_is_sent_to_the_engine_and_no_more() -> None:
    patterns = (CONTAINER / "Containerfile.dockerignore").read_text().splitlines()
    sent = {line[1:] for line in patterns if line.startswith("!")}
    build, _ = stages()
    copied = {word for name, arguments in build.steps if name == "COPY" for word in arguments.split()[:-1]}
    assert sent == copied
    assert all((REPOSITORY / name).exists() for name in sent)
    assert "**/__pycache__" in patterns


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("given")
    directory.chmod(0o755)
    tree(directory / "context", "0.1.0")
    said = install(directory / "context", "--fetch", directory / "wheels", python="/usr/bin/python3")
    assert said.code == 0, said.text
    (directory / "bin").mkdir()
    (directory / "bin" / "python").symlink_to("/usr/bin/python3")  # as the base image has it
    return directory


def replay(machine: Machine, stage: Stage) -> None:
    """Do what the instructions of a stage say."""
    where = "/"
    for instruction, arguments in stage.steps:
        if instruction == "WORKDIR":
            where = arguments
            machine.run("mkdir", "-p", where)
        elif instruction == "COPY":
            options = [word for word in arguments.split() if word.startswith("--")]
            *sources, target = [word for word in arguments.split() if not word.startswith("--")]
            origin = "" if "--from=build" in options else "/mnt/context/"
            for source in sources:
                target_path = f"{where}/{source.split('/')[-1]}" if target.startswith(".") else target
                if f"{origin}{source}" != target_path:
                    machine.run("mkdir", "-p", os.path.dirname(target_path))  # noqa: PTH120 (a path over there)
                    machine.run("cp", "-a", "-T", f"{origin}{source}", target_path)
        elif instruction == "RUN":
            offline = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/mnt/wheels"
            machine.run("sh", "-c", f"cd {where} && export {offline} && {arguments}")


@pytest.fixture
def container(given: Path, tmp_path: Path) -> Iterator[Machine]:
    """A machine on which the image was built, on a file system that is only read but for its volumes."""
    build, image = stages()
    with booted(tmp_path / "machine", given) as machine:
        replay(machine, build)
        replay(machine, image)
        machine.run("rm", "-r", "/build")
        for volume in json.loads(image.last("VOLUME")):
            owner = machine.run("stat", "-c", "uid=%u,gid=%g,mode=%a", volume).strip()
            machine.outside("mount", "-t", "tmpfs", "-o", owner, "tmpfs", f"{machine.root}{volume}")
        machine.outside("mount", "-o", "remount,ro", str(machine.root))
        yield machine


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another machine of this one")
def test_what_the_instructions_make_runs_read_only_is_found_healthy_and_pushes(
    container: Machine, served: FakeRegistry
) -> None:
    _, image = stages()
    user, _, group = image.last("USER").partition(":")
    build_layout(container.given / "app")
    variables = [f"{name}={value}" for name, value in image.environment.items()]
    within = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs", "env", *variables]
    health = image.last("HEALTHCHECK")
    check = json.loads(health[health.index("CMD") + 3 :])
    log = container.given / "daemon.log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            container.command(*within, *json.loads(image.last("ENTRYPOINT"))),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        ) as daemon,
    ):
        try:
            wait_until(lambda: "daemon.started" in log.read_text(), f"the daemon has started: {tail(log)}")
            assert "pushd" in container.run(*within, *check)
            push = ("/opt/pushd/bin/pushctl", "push", "oci:/mnt/app", f"{served.address}/team/app:1", "--wait")
            container.run(*within, *push)
            container.run(*within, "sh", "-c", "! touch /opt/pushd/x /etc/x 2>/dev/null")
            daemon.terminate()
            assert daemon.wait(30) == 0, tail(log)
        finally:
            daemon.kill()
    assert "pushd.sock" in container.run(*within, *check, code=3)  # no daemon, and the check says so


# ------------------------------------------------------------------------------------------------------------- compose


def composed() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CONTAINER / "compose.yaml").read_text())
    return document


def test_the_compose_specifications_own_loader_takes_it() -> None:
    said = run(COMPOSE.find(), CONTAINER / "compose.yaml")
    assert said.returncode == 0, said.stderr
    assert set(yaml.safe_load(said.stdout)["services"]) == {"registry", "pushd", "prometheus", "grafana"}


def test_that_loader_would_find_a_key_that_does_not_exist(tmp_path: Path) -> None:
    spoilt = tmp_path / "compose.yaml"
    spoilt.write_text((CONTAINER / "compose.yaml").read_text().replace("depends_on:", "depends_upon:"))
    assert run(COMPOSE.find(), spoilt).returncode == 1


def test_every_file_that_is_mounted_is_there_and_every_volume_is_named() -> None:
    document = composed()
    for service in document["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in document["volumes"] or (CONTAINER / source).is_file(), volume


def test_no_service_may_more_than_it_needs_and_none_is_reached_from_elsewhere() -> None:
    for name, service in composed()["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged", False), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name


def test_prometheus_scrapes_what_its_pushd_listens_on_and_grafana_asks_that_prometheus(tmp_path: Path) -> None:
    overrides = Overrides(config=CONTAINER / "pushd.toml", socket=tmp_path / "s", state_dir=tmp_path)
    config = load(overrides, {}, lambda path: path.read_text(), uid=0)
    scraped = yaml.safe_load((REPOSITORY / "deploy/prometheus/prometheus.yml").read_text())
    (target,) = scraped["scrape_configs"][0]["static_configs"][0]["targets"]
    assert f'listen = "{target}"' in (CONTAINER / "pushd.toml").read_text()
    assert list(config.registries) == ["127.0.0.1:5000"]
    (source,) = yaml.safe_load((CONTAINER / "grafana/datasources.yaml").read_text())["datasources"]
    services = composed()["services"]
    assert f"--web.listen-address=0.0.0.0:{source['url'].rpartition(':')[2]}" in services["prometheus"]["command"]
    assert {service.get("network_mode") for name, service in services.items() if name != "registry"} == {
        "service:registry"
    }
    (provider,) = yaml.safe_load((CONTAINER / "grafana/dashboards.yaml").read_text())["providers"]
    assert f"../grafana/pushd.json:{provider['options']['path']}/pushd.json:ro" in services["grafana"]["volumes"]


# ------------------------------------------------------------------------------------------------------------- Quadlet

KNOWN = frozenset(
    {
        "ContainerName", "Image", "Notify", "UserNS", "ReadOnly", "DropCapability", "NoNewPrivileges", "Tmpfs",
        "Volume", "HealthCmd", "HealthInterval", "HealthTimeout", "HealthStartPeriod", "PodmanArgs",
    }
)  # fmt: skip
"""Keys of [Container] that podman-systemd.unit(5) of podman 4.6 has."""


def quadlet() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # as its documentation has it: keep the case
    parser.read(CONTAINER / "pushd.container")
    return parser


def test_the_quadlet_has_only_keys_that_podman_knows() -> None:
    assert set(quadlet()["Container"]) <= KNOWN


def test_the_quadlet_runs_the_image_read_only_as_its_user_and_where_pushctl_looks() -> None:
    _, image = stages()
    user, _, group = image.last("USER").partition(":")
    container = quadlet()["Container"]
    assert container["UserNS"] == f"keep-id:uid={user},gid={group}"
    assert (container["ReadOnly"], container["DropCapability"], container["NoNewPrivileges"]) == ("true", "all", "true")
    health = image.last("HEALTHCHECK")
    assert container["HealthCmd"].split() == json.loads(health[health.index("CMD") + 3 :])
    mounted = re.findall(r"^Volume=[^:\n]+:([^:\n]+)", (CONTAINER / "pushd.container").read_text(), re.MULTILINE)
    assert set(json.loads(image.last("VOLUME"))) <= set(mounted)


@pytest.mark.parametrize("name", ["Containerfile", "compose.yaml", "pushd.container"])
def test_every_file_names_the_release_it_is_of(name: str) -> None:
    version = re.search(r'__version__ = "(.+)"', (REPOSITORY / "pushd/__init__.py").read_text())
    assert version is not None
    assert f"localhost/pushd:{version[1]}" in (CONTAINER / name).read_text()


@pytest.mark.parametrize("name", ["Containerfile", "compose.yaml", "pushd.container"])
def test_every_file_says_what_of_it_was_not_tried(name: str) -> None:
    assert re.search(r"(?i)not tried", (CONTAINER / name).read_text())
