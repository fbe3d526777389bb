"""What somebody tries who wants a credential that is not theirs, or wants the daemon to stand still."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.behaviour import Basic
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.people import Person
from tests.integration.daemon import REPOSITORY
from tests.integration.parts import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.registry import FakeRegistry
    from tests.integration.conftest import StartDaemon
    from tests.integration.daemon import Daemon

ALICE = Basic("alice", "s3cr3t")
AUTH = base64.b64encode(b"alice:s3cr3t").decode()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


def deep(path: Path) -> None:
    path.write_text('{"auths":' + "[" * 400_000)


def loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.fixture
def source(tmp_path: Path) -> str:
    return f"oci:{build_layout(tmp_path / 'image', [ImageSpec(layers=[1000])]).path}"


def through(daemon: Daemon, socket: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pushctl at another socket of the daemon."""
    return subprocess.run(
        [sys.executable, "-m", "pushd.ctl", *arguments],
        check=False, capture_output=True, encoding="utf-8", stdin=subprocess.DEVNULL, timeout=30,
        env={**daemon.environment, "PUSHD_SOCKET": str(socket), **environment},
    )  # fmt: skip


# ------------------------------------------------------------------------------------- files that are none


@pytest.mark.parametrize("make", [fifo, device, huge, deep, loop])
def test_what_lies_where_the_daemon_keeps_its_credentials_holds_nobody_up(
    daemon: Daemon, served: FakeRegistry, source: str, make: Callable[[Path], None]
) -> None:
    place = Path(daemon.environment["DOCKER_CONFIG"])
    place.mkdir()
    make(place / "config.json")
    job = daemon.submit(source, f"{served.address}/team/app:1")
    wait_until(lambda: bool(daemon.job(job)["deliveries"][0]["failure"]), "it is said what is wrong", seconds=20)
    failure = daemon.job(job)["deliveries"][0]["failure"]
    assert failure["code"] in ("registry.credentials_unreadable", "registry.credentials_malformed")
    assert str(place / "config.json") in failure["message"]
    handed = [{"registry": served.address, "username": "alice", "password": "s3cr3t"}]
    assert daemon.wait(daemon.submit(source, f"{served.address}/a:1", credentials=handed))["state"] == "succeeded"


@pytest.mark.parametrize("make", [fifo, device, huge, deep, loop])
def test_what_lies_where_callers_keep_theirs_is_named_and_not_waited_for(
    daemon: Daemon, served: FakeRegistry, source: str, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "config.json")
    destination = f"{served.address}/team/app:1"
    pushed = through(daemon, daemon.socket, "push", source, destination, DOCKER_CONFIG=str(tmp_path))
    assert pushed.returncode == 6
    assert str(tmp_path / "config.json") in pushed.stderr
    assert "--credential daemon" in pushed.stderr
    assert "Traceback" not in pushed.stderr


# ------------------------------------------------------------------------------------- a daemon that is none

_ROGUE = """
import os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
listener.listen()
print("listens", flush=True)
connection, _ = listener.accept()
connection.settimeout(2)
heard = b""
try:
    while piece := connection.recv(1 << 16):
        heard += piece
except TimeoutError:
    pass
sys.stdout.write(heard.decode(errors="replace"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two others")
def test_whoever_listens_in_a_directory_of_everybody_is_handed_no_password(source: str) -> None:
    """The README itself has people use `/tmp/pushd.sock`, and whoever comes first is the daemon there."""
    alice, mallory = Person(uid=64_001), Person(uid=64_003)
    with tempfile.TemporaryDirectory(prefix="pushd-") as commons:
        Path(commons).chmod(0o1777)
        home, socket = Path(commons, "home"), Path(commons, "pushd.sock")
        home.mkdir()
        (home / "config.json").write_text(json.dumps({"auths": {"registry.example.com": {"auth": AUTH}}}))
        os.chown(home, alice.uid, alice.uid)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(home),
            "DOCKER_CONFIG": str(home),
            "PUSHD_SOCKET": str(socket),
        }
        rogue = subprocess.Popen(
            [sys.executable, "-c", _ROGUE, socket, str(mallory.uid)], stdout=subprocess.PIPE, encoding="utf-8"
        )
        processes = [rogue]
        try:
            assert rogue.stdout is not None
            assert rogue.stdout.readline() == "listens\n"
            pushing: subprocess.Popen[str] = subprocess.Popen(
                alice.command("pushd.ctl", "push", source, "registry.example.com/team/app:1"),
                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, encoding="utf-8", env=environment, cwd="/",
            )  # fmt: skip
            processes.append(pushing)
            heard, _ = rogue.communicate(timeout=30)
        finally:
            for process in processes:
                process.kill()
                process.communicate()
    assert ALICE.password not in heard


# -------------------------------------------------------------------------------- a socket for containers


@pytest.mark.skipif(os.geteuid() != 0, reason="containers come as root")
def test_root_of_a_container_has_nothing_of_what_root_has_stored(
    start_daemon: StartDaemon, served: FakeRegistry, source: str, tmp_path: Path
) -> None:
    served.behaviour = replace(served.behaviour, auth=ALICE)
    inside = tmp_path / "ci.sock"
    daemon = start_daemon(f'[sockets.ci]\npath = "{inside}"\nrole = "submitter"\npaths = true\n')
    given = {"registry": served.address, "username": "alice", "password": "s3cr3t"}
    assert daemon.request("PUT", "/v1/logins/work", given).status == 200

    told = json.loads(through(daemon, inside, "status", "--json").stdout)
    assert told["role"] == "submitter"
    outcomes = {
        "lists it": "work" in through(daemon, inside, "logins", "--json").stdout,
        "pushes with it": through(daemon, inside, "push", source, f"{served.address}/a:1", "--wait").returncode == 0,
        "removes it": through(daemon, inside, "logout", "work").returncode == 0,
    }
    assert outcomes == dict.fromkeys(outcomes, False)
