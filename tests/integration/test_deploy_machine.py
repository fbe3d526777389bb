"""deploy/install.sh on a whole machine: this one, what is written to it thrown away. Wants root and overlayfs."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.images import build_layout
from tests.integration.daemon import REPOSITORY
from tests.integration.deployed import install, tree
from tests.integration.machine import booted
from tests.integration.parts import tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.registry import FakeRegistry
    from tests.integration.machine import Machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another machine of this one"),
    pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="what is installed is run by Debian's Python"),
]

PUSHD = ("setpriv", "--reuid=pushd", "--regid=pushd", "--clear-groups", "/opt/pushd/bin/python", "-I", "-c")
"""Runs Python as the daemon's user."""
MADE = """
import asyncio
from pathlib import Path
from pushd.store.store import open_store

async def main():
    await (await open_store(Path("/var/lib/pushd"), publish=lambda *_: None)).close()

asyncio.run(main())
"""
"""Makes the database, or brings it to the newest schema, as a daemon does when it starts."""

_SYSTEMCTL = """#!/bin/sh
# Stands in for systemd: writes down what it was told, and which release was current then.
case $1 in
--version) echo "systemd 252 (252)"; exit ;;
list-units) printf '%s loaded active running\\n' pushd.socket pushd.service; exit ;;
esac
echo "$(readlink /opt/pushd/current | sed 's|releases/||') $*" >>/mnt/told
[ ! -e /mnt/failing ] || case $* in *start*) exit 1 ;; esac
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is brought to the machine: the trees of two releases and the wheels, without network."""
    directory = tmp_path_factory.mktemp("given")
    directory.chmod(0o755)
    tree(directory / "first", "0.1.0")
    tree(directory / "second", "0.2.0", migration=True)
    said = install(directory / "first", "--fetch", directory / "wheels", python="/usr/bin/python3")
    assert said.code == 0, said.text
    return directory


@pytest.fixture
def bare(given: Path, tmp_path: Path) -> Iterator[Machine]:
    """A machine with nothing of pushd's."""
    with booted(tmp_path / "machine", given) as machine:
        yield machine


@pytest.fixture(scope="module")
def prepared(given: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was written to a machine with the first release, on which the second has been made as well."""
    directory = tmp_path_factory.mktemp("prepared")
    with booted(directory, given) as machine:
        script(machine, "0.1.0")
        script(machine, "0.2.0", "--upgrade")
        script(machine, "0.1.0", "--rollback")
    return directory / "upper"


@pytest.fixture
def machine(given: Path, prepared: Path, tmp_path: Path) -> Iterator[Machine]:
    """A machine with the first release."""
    with booted(tmp_path / "machine", given, prepared) as machine:
        yield machine


@pytest.fixture
def managed(machine: Machine) -> Machine:
    """The machine with a systemd that only writes down what it is told."""
    (machine.given / "bin").mkdir()
    (machine.given / "bin" / "systemctl").write_text(_SYSTEMCTL)
    (machine.given / "bin" / "systemctl").chmod(0o755)
    machine.run("mkdir", "-p", "/run/systemd/system")
    return machine


def script(machine: Machine, version: str, *arguments: str, code: int = 0) -> str:
    where = {"0.1.0": "first", "0.2.0": "second"}[version]
    return machine.run("bash", f"/mnt/{where}/deploy/install.sh", "--wheels", "/mnt/wheels", *arguments, code=code)


# ------------------------------------------------------------------------------------------------------ without systemd


@contextmanager
def by_hand(machine: Machine, said: str) -> Iterator[Path]:
    """Start the daemon as the script says where systemd does not run; give its log."""
    lines = said[said.index("    install -d -o pushd") :].splitlines()
    commands = "\n".join(line for line in lines if line.startswith("    "))
    assert "setpriv --reuid=pushd" in commands
    log = machine.given / "daemon.log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            machine.command("sh", "-c", commands.replace("setpriv ", "exec setpriv ")),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        ) as daemon,
    ):
        try:
            wait_until(lambda: "daemon.started" in log.read_text(), "the daemon has started")
            yield log
            daemon.terminate()
            assert daemon.wait(30) == 0, tail(log)
        finally:
            daemon.kill()


def test_on_a_plain_machine_another_user_pushes_with_what_was_installed(
    machine: Machine, served: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(machine.given / "app")
    (machine.given / "app").chmod(0o755)
    said = script(machine, "0.1.0")
    machine.run("useradd", "--create-home", "--groups", "pushd", "alice")
    machine.run("useradd", "--create-home", "stranger")
    with by_hand(machine, said) as log:
        push = ("pushctl", "push", "oci:/mnt/app", f"{served.address}/team/app:1", "--wait")
        machine.run("runuser", "-u", "alice", "--", *push)
        assert str(layout.image.digest) in machine.run("runuser", "-u", "alice", "--", "pushctl", "jobs", "--json")
        refused = machine.run("runuser", "-u", "stranger", "--", *push, code=None)
        assert "pushd.sock" in refused, refused
        owner = machine.run(
            "stat", "-c", "%U:%G %a", "/var/lib/pushd", "/var/lib/pushd/pushd.db", "/opt/pushd/current/"
        )
        assert owner.split("\n")[:3] == ["pushd:pushd 700", "pushd:pushd 600", "root:root 755"]
        machine.run("runuser", "-u", "pushd", "--", "test", "!", "-w", "/opt/pushd/releases/0.1.0/lib")
        assert '"event":"job.finished"' in log.read_text()


def test_an_upgrade_copies_as_the_databases_owner(machine: Machine) -> None:
    said = script(machine, "0.1.0")
    with by_hand(machine, said):
        said = script(machine, "0.2.0", "--upgrade")
        told = re.search(r"/var/lib/pushd/backups/before-0\.2\.0-\S+\.db", said)
        assert told is not None, said
        owner = machine.run("stat", "-c", "%U:%G %a", "/var/lib/pushd/backups", told[0])
        assert owner == "pushd:pushd 700\npushd:pushd 600\n"
    assert "serves /run/pushd/pushd.sock" in (machine.given / "daemon.log").read_text()


def test_removed_nothing_of_it_is_left_on_the_machine(bare: Machine) -> None:
    listed = ("find", "/usr/local", "/opt", "/etc/systemd", "/var/lib", "-xdev", "!", "-type", "d")
    before = bare.run(*listed).splitlines()
    said = script(bare, "0.1.0")
    assert set(bare.run(*listed).splitlines()) - set(before)
    with by_hand(bare, said):
        pass
    script(bare, "0.1.0", "--uninstall", "--purge")
    assert bare.run(*listed).splitlines() == before


# --------------------------------------------------------------------------------------------------------- with systemd


def test_with_systemd_it_is_enabled_and_started_when_all_is_there(managed: Machine) -> None:
    script(managed, "0.1.0")
    assert managed.told() == [
        "0.1.0 daemon-reload",
        "0.1.0 --quiet enable pushd.service",
        "0.1.0 start pushd.service",
    ]


def test_it_can_be_left_to_somebody_else_to_start_it(managed: Machine) -> None:
    script(managed, "0.1.0", "--no-start")
    assert managed.told() == ["0.1.0 daemon-reload"]


def test_an_upgrade_restarts_what_runs_after_the_link_has_moved_and_leaves_the_sockets(managed: Machine) -> None:
    script(managed, "0.1.0")
    managed.told()
    script(managed, "0.2.0", "--upgrade")
    assert managed.told() == ["0.2.0 daemon-reload", "0.2.0 try-restart pushd.service pushd@*.service"]
    managed.run("bash", "/opt/pushd/current/share/pushd/deploy/install.sh", "--rollback")
    assert managed.told() == ["0.1.0 daemon-reload", "0.1.0 try-restart pushd.service pushd@*.service"]


def test_for_a_copy_to_be_put_back_sockets_are_stopped_too_and_started_again(managed: Machine) -> None:
    said = script(managed, "0.1.0")
    database = "/var/lib/pushd/pushd.db"
    managed.run("install", "-d", "-o", "pushd", "-g", "pushd", "-m", "700", "/var/lib/pushd")
    managed.run(*PUSHD, MADE)
    said = script(managed, "0.2.0", "--upgrade")
    managed.run(*PUSHD, MADE)
    managed.told()
    said = script(managed, "0.2.0", "--rollback", "--restore")
    assert f"{database}: restored" in said
    assert managed.told() == [
        "0.2.0 stop pushd.socket pushd.service",
        "0.1.0 daemon-reload",
        "0.1.0 start pushd.socket pushd.service",
    ]
    assert managed.run("stat", "-c", "%U", database) == "pushd\n"


def test_a_release_that_does_not_start_is_told_with_the_way_back(managed: Machine) -> None:
    script(managed, "0.1.0")
    (managed.given / "failing").touch()
    said = script(managed, "0.2.0", "--upgrade", code=1)
    assert "it does not start: see journalctl -u pushd.service" in said
    assert "--rollback" in said
    (managed.given / "failing").unlink()
    script(managed, "0.2.0", "--rollback")
    assert managed.run("readlink", "/opt/pushd/current") == "releases/0.1.0\n"


def test_a_configuration_the_new_release_does_not_take_stops_the_upgrade_before_anything_changed(
    managed: Machine,
) -> None:
    script(managed, "0.1.0")
    managed.run("sh", "-c", "printf '[limits]\\nuploads = 3\\n' >/etc/pushd/pushd.toml")
    managed.told()
    said = script(managed, "0.2.0", "--upgrade", code=1)
    assert "the configuration is not good for 0.2.0, and nothing was changed" in said
    assert "limits.uploads" in said
    assert managed.told() == []
    assert managed.run("readlink", "/opt/pushd/current") == "releases/0.1.0\n"


def test_removed_it_is_stopped_first(managed: Machine) -> None:
    script(managed, "0.1.0")
    managed.told()
    script(managed, "0.1.0", "--uninstall")
    assert managed.told() == [
        "0.1.0 --quiet disable --now pushd.service pushd.socket",
        "0.1.0 stop pushd@*.socket pushd@*.service",
        " daemon-reload",
    ]
    managed.run("test", "!", "-e", "/opt/pushd")


def test_drop_ins_are_installed_where_systemd_is_new_enough_for_them(managed: Machine) -> None:
    systemctl = managed.given / "bin" / "systemctl"
    systemctl.write_text(systemctl.read_text().replace("systemd 252 (252)", "systemd 257 (257.8-1)"))
    script(managed, "0.1.0")
    listed = managed.run("sh", "-c", "cd /usr/local/lib/systemd/system && ls pushd.service.d pushd@.service.d")
    assert listed.count("systemd-253.conf") == 2
    systemctl.write_text(systemctl.read_text().replace("systemd 257 (257.8-1)", "systemd 252 (252)"))
    script(managed, "0.1.0")
    assert "conf" not in managed.run("sh", "-c", "cd /usr/local/lib/systemd/system && find . -name 'systemd-*'")


def test_only_root_installs_into_the_machine(bare: Machine) -> None:
    said = bare.run("runuser", "-u", "nobody", "--", "bash", "/mnt/first/deploy/install.sh", code=1)
    assert "this needs root" in said


def test_a_backup_is_restored_as_the_guide_says(managed: Machine) -> None:
    script(managed, "0.1.0")
    managed.run("install", "-d", "-o", "pushd", "-g", "pushd", "-m", "700", "/var/lib/pushd")
    managed.run(*PUSHD, MADE)
    managed.run(
        "sh", "-c", "head -c 32 /dev/urandom >/var/lib/pushd/sealing.key; chown pushd: /var/lib/pushd/sealing.key"
    )
    key = managed.run("sha256sum", "/var/lib/pushd/sealing.key")
    script(managed, "0.1.0", "--backup")
    managed.run("sh", "-c", "mkdir /root/backup && cd /var/lib/pushd && cp backups/*.db sealing.key /root/backup/")
    script(managed, "0.1.0", "--uninstall", "--purge")
    script(managed, "0.1.0", "--no-start")
    managed.run("install", "-d", "-o", "pushd", "-g", "pushd", "-m", "700", "/var/lib/pushd")
    managed.told()

    guide = (REPOSITORY / "deploy" / "OPERATIONS.md").read_text()
    told = re.search(r"^To restore.*?\n\n((?:    [^\n]*\n)+)", guide, re.MULTILINE | re.DOTALL)
    assert told is not None
    assert "restored" in managed.run("sh", "-e", "-c", told[1])
    assert [line.split(" ", 1)[1] for line in managed.told()] == [
        "stop pushd.socket pushd.service",
        "start pushd.socket pushd.service",
    ]
    assert managed.run("sha256sum", "/var/lib/pushd/sealing.key") == key
    owners = managed.run("stat", "-c", "%U:%G %a", "/var/lib/pushd/pushd.db", "/var/lib/pushd/sealing.key")
    assert owners == "pushd:pushd 600\npushd:pushd 600\n"
    managed.run(*PUSHD, MADE)
