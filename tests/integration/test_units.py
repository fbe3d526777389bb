"""The daemon started as its units say: by systemd's own socket activation, and under the filters of system calls."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.behaviour import Basic
from tests.fakes.credential_helper import CredentialHelper
from tests.fakes.images import ImageSpec, build_layout
from tests.integration.daemon import Daemon
from tests.integration.parts import run, tail, wait_until
from tests.unit.systemd.confined import LIBRARY, confined
from tests.unit.systemd.units import PYTHON, SERVICES, read_unit, tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fakes.registry import FakeRegistry
    from tests.unit.systemd.units import Unit

MIB = 1 << 20


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Daemon]:
    """Everything a daemon needs, none running."""
    directory = tmp_path / "idle"
    directory.mkdir()
    daemon = Daemon(directory)
    yield daemon
    daemon.discard()


# ---------------------------------------------------------------------------------------------- socket activation


@dataclass(frozen=True, slots=True)
class Activated:
    """What was started by a request.

    Attributes:
        sockets: what systemd listened on, in the order of the units.
        pid: of the daemon.
        manager: where it sends its messages for systemd.
    """

    sockets: tuple[Path, ...]
    pid: int
    manager: socket.socket


def started(service: Unit, config: Path) -> list[str]:
    """Give the command of a service, with this configuration in the place of any it names."""
    command = service.one("Service", "ExecStart").replace(PYTHON, sys.executable)
    return shlex.split(re.sub(r"/etc/pushd/\S+\.toml", str(config), command))


@contextmanager
def activated(daemon: Daemon, service: Unit, *sockets: Unit, config: str = "") -> Iterator[Activated]:
    """Have systemd listen on the sockets of units, and start the service's program when somebody comes.

    What has the machine's own paths in the units lies in the daemon's short directory here.
    """
    here = daemon.socket.parent
    file = here / "pushd.toml"
    file.write_text(config)
    paths = tuple(here / Path(unit.one("Socket", "ListenStream")).name for unit in sockets)
    runtime = service.one("Service", "RuntimeDirectory")
    state = (*service.all("Service", "StateDirectory"), "own")[0]  # a user's daemon makes its own
    environment = daemon.environment | {
        "RUNTIME_DIRECTORY": str(here / "run" / runtime),
        "STATE_DIRECTORY": str(here / "state" / state),
        "PUSHD_CONFIG": str(file),
        "NOTIFY_SOCKET": str(here / "notify"),
    }
    del environment["PUSHD_SOCKET"]  # the units name none
    names = ":".join(unit.one("Socket", "FileDescriptorName") for unit in sockets)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, daemon.log.open("ab") as log:
        manager.bind(environment["NOTIFY_SOCKET"])
        manager.settimeout(15)
        process = subprocess.Popen(
            [tool("systemd-socket-activate"), *(f"--listen={path}" for path in paths), f"--fdname={names}",
             *(f"--setenv={name}" for name in environment), *started(service, file)],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            # It says so for each; the socket's file is there a moment before anybody listens.
            wait_until(lambda: daemon.log.read_text().count("Listening on ") == len(paths), f"it listens: {daemon.log}")
            yield Activated(paths, process.pid, manager)
            process.terminate()
            assert process.wait(30) == 0, tail(daemon.log)
            assert all(path.is_socket() for path in paths), "the sockets are systemd's"
        finally:
            process.kill()
            process.wait(10)


def seen(daemon: Daemon, path: Path) -> Any:
    """Give the status as it is told to who comes by a socket."""
    daemon.socket = path
    answer = daemon.request("GET", "/v1/status")
    assert answer.status == 200, answer
    return answer.body


@pytest.mark.parametrize("name", ["pushd", "pushd@", "user/pushd"])
def test_a_request_on_the_units_socket_starts_the_units_program_which_serves_it(idle: Daemon, name: str) -> None:
    service = read_unit(f"{name}.service", "one")
    with activated(idle, service, read_unit(f"{name}.socket", "one")) as there:
        (path,) = there.sockets
        status = seen(idle, path)
        assert status["pid"] == there.pid
        assert status["socket"] == str(path), "what is served is what systemd passed"
        assert Path(status["state_dir"]).name in {"own", *service.all("Service", "StateDirectory")}
        assert "READY=1" in there.manager.recv(4096).decode().splitlines()


def test_an_instance_without_its_configuration_is_told_so(idle: Daemon, tmp_path: Path) -> None:
    ended = run(*started(read_unit("pushd@.service"), tmp_path / "one.toml"), environment=idle.environment)
    assert ended.returncode != 0
    assert f"{tmp_path}/one.toml: is not there" in ended.stderr


def test_the_name_of_another_sockets_descriptor_is_that_of_its_table(idle: Daemon) -> None:
    main, other = read_unit("pushd.socket"), read_unit("pushd-ci.socket")
    config = "\n".join(re.findall(r"^#   (\S.*)$", other.text, re.MULTILINE))
    with activated(idle, read_unit("pushd.service"), main, other, config=config) as there:
        by_main, by_other = (seen(idle, path) for path in there.sockets)
        assert (by_main["role"], by_other["role"]) == ("administrator", "submitter")
        assert by_main["pid"] == there.pid
        assert by_other["paths"] is False


# ------------------------------------------------------------------------------------- under the filters of the unit


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest) -> Unit:
    """Each of the system's services, where a program can be run as it is."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        if os.environ.get("PUSHD_TEST_REQUIRE") == "1":
            pytest.fail(str(error))
        pytest.skip(f"{LIBRARY}, which systemd stands on, is not there: {error}")
    return read_unit(request.param, "one")


def confined_python(service: Unit, code: str) -> str:
    """Run Python code as the service; give what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = run(*confined(service, sys.executable, "-c", code), environment=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_filters_are_in_force(service: Unit) -> None:
    """Or nothing below would mean anything."""
    said = confined_python(
        service,
        """
import errno, mmap, os, socket
def try_it(what):
    try:
        what()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
print(
    try_it(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)),
    try_it(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
    try_it(lambda: socket.socket(socket.AF_INET6)),
    try_it(lambda: os.chroot("/")),
    try_it(lambda: os.setpriority(os.PRIO_PROCESS, 0, 0)),
    try_it(lambda: os.chown("/", 0, 0)),
)
""",
    )
    assert said.split() == ["EPERM", "EAFNOSUPPORT", "done", "EPERM", "EPERM", "EPERM"]


def test_all_that_the_daemon_imports_loads_under_them_and_ciphers_work(service: Unit) -> None:
    """Memory that is written and then run is what some libraries call back through, or compile into."""
    said = confined_python(
        service,
        """
import importlib, pkgutil, re, sqlite3, ssl
import aiofiles, aiohttp, anyio._backends._asyncio, msgspec.json, structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
import pushd
for module in pkgutil.walk_packages(pushd.__path__, "pushd."):
    if not module.name.endswith("__main__") and not module.name.startswith("pushd.ctl"):
        importlib.import_module(module.name)
ssl.create_default_context()
sealed = AESGCM(bytes(32)).encrypt(bytes(12), b"secret", None)
assert AESGCM(bytes(32)).decrypt(bytes(12), sealed, None) == b"secret"
assert sqlite3.connect(":memory:").execute("SELECT 1").fetchone() == (1,)
from pushd.service.memory import give_back
give_back()
print(*[line for line in open("/proc/self/maps") if re.match("[^ ]+ .wx", line)])
""",
    )
    assert said.strip() == "", "no memory may be both written and run"


class ConfinedDaemon(Daemon):
    """The daemon under the filters of its service."""

    service: Unit

    def _started(self, arguments: Sequence[str | Path]) -> Sequence[str | Path]:
        return confined(self.service, *super()._started(arguments))


@pytest.fixture
def confined_daemon(service: Unit, tmp_path: Path) -> Iterator[ConfinedDaemon]:
    directory = tmp_path / "daemon"
    directory.mkdir()
    daemon = ConfinedDaemon(directory)
    daemon.service = service
    try:
        yield daemon
        daemon.close()
    finally:
        daemon.discard()
        print(tail(daemon.log))  # noqa: T201 (pytest shows it with a failure)


def test_a_push_with_a_credential_of_a_helper_goes_through_under_them(
    confined_daemon: ConfinedDaemon, served: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.behaviour = replace(served.behaviour, auth=Basic("ci", "s3cr3t"), relative_location=True)
    helper = CredentialHelper(tmp_path / "helpers", "own", username="ci", secret="s3cr3t")
    monkeypatch.setenv("PATH", str(tmp_path / "helpers"), prepend=os.pathsep)
    registry = f"localhost:{served.port}"  # a name: resolving it must work as well
    docker = tmp_path / "docker.json"
    docker.write_text(json.dumps({"credHelpers": {registry: "own"}}))
    docker.chmod(0o600)
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[9 * MIB, 1024])])
    confined_daemon.start(f'[credentials]\ndocker_config = "{docker}"\n[registries."{registry}"]\nplain_http = true\n')
    job = confined_daemon.wait(confined_daemon.submit(f"oci:{layout.path}:1.4", f"{registry}/team/app:1.4"))
    assert job["state"] == "succeeded", job
    assert served.repository("team/app").tags == {"1.4": str(layout.image.digest)}
    assert helper.calls == [f"get {registry}"]
    status = Path(f"/proc/{confined_daemon.pid}/status").read_text()
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE), "it was confined all the time"
    assert not confined_daemon.events("daemon.fault")


def test_what_a_caller_brings_is_sealed_spooled_and_pushed_under_them(
    confined_daemon: ConfinedDaemon, served: FakeRegistry, tmp_path: Path
) -> None:
    served.behaviour = replace(served.behaviour, auth=Basic("ci", "s3cr3t"))
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[MIB])])
    docker = Path(confined_daemon.environment["DOCKER_CONFIG"])
    docker.mkdir()
    (docker / "config.json").write_text(
        json.dumps({"auths": {served.address: {"username": "ci", "password": "s3cr3t"}}})
    )
    confined_daemon.start()
    done = confined_daemon.ctl("push", f"oci:{layout.path}:1.4", f"{served.address}/team/app:1.4", "--spool", "--wait")
    assert done.returncode == 0, done.stderr
    assert served.repository("team/app").tags == {"1.4": str(layout.image.digest)}
    assert (confined_daemon.state / "sealing.key").is_file(), "a credential was handed over and sealed"
