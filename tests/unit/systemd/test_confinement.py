"""What the services may not do: each setting that matters by name, and the sum of them as systemd reckons it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.systemd.units import SERVICES, UNITS, ask, exposure, install, read_unit

if TYPE_CHECKING:
    from pathlib import Path

MOST = 1.4
"""The exposure that is allowed; daemons that run containers have 9.6."""

CLOSED = [
    ("ProtectSystem", "strict", "it writes to its state and its sockets' directory, and to nothing else"),
    ("ReadOnlyPaths", "%t", "systemd 252 leaves /run out of ProtectSystem= beside ProtectControlGroups="),
    ("ProtectHome", "yes", "what lies in a home is brought by pushctl, as whom it belongs to"),
    ("PrivateTmp", "yes", "nobody else's files in /tmp can be taken for its own"),
    ("PrivateDevices", "yes", "it has no business with hardware"),
    ("PrivateMounts", "yes", "it mounts nothing for others"),
    ("ProcSubset", "pid", "it reads of processes only"),
    ("NoNewPrivileges", "yes", "no program it runs has more rights than it"),
    ("CapabilityBoundingSet", "", "it needs none"),
    ("AmbientCapabilities", "", "it needs none"),
    ("RestrictSUIDSGID", "yes", "it leaves no program behind that has rights"),
    ("RestrictNamespaces", "yes", "new namespaces are where kernels break"),
    ("RestrictRealtime", "yes", "it starves nobody"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6", "registries, and callers"),
    ("LockPersonality", "yes", "it is native"),
    ("MemoryDenyWriteExecute", "yes", "what it received is not run"),
    ("ProtectClock", "yes", "it tells no time to others"),
    ("ProtectControlGroups", "yes", "resources are systemd's to give"),
    ("ProtectHostname", "yes", "names are not its own"),
    ("ProtectKernelLogs", "yes", "they tell where the kernel lies in memory"),
    ("ProtectKernelModules", "yes", "it loads none"),
    ("ProtectKernelTunables", "yes", "it sets none"),
    ("RemoveIPC", "yes", "it leaves nothing behind"),
    ("SystemCallArchitectures", "native", "others have holes of their own"),
    ("SystemCallErrorNumber", "EPERM", "a program that tries is told, and not killed"),
]

OPEN = [
    ("PrivateUsers", "no", "nobody"),
    ("ProtectProc", "default", "/proc/PID/mountinfo"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6", "IPAddressDeny="),
]
"""What is less strict than it could be, with a word of the reason that is given beside it."""

FORCED = frozenset({"RootDirectoryOrRootImage", "PrivateNetwork", "IPAddressDeny", "DeviceAllow"})
"""What systemd counts besides: a daemon that reads images where they lie, and pushes to registries wherever they are,
has the machine's files and network; the real-time clock is let in by ProtectClock= itself."""


@pytest.mark.parametrize("name", SERVICES)
def test_the_exposure_is_small(tmp_path: Path, name: str) -> None:
    install(tmp_path, name)
    assert exposure(tmp_path / name) <= MOST


def test_a_setting_that_is_lost_makes_it_larger(tmp_path: Path) -> None:
    """So the number is that of the unit that is looked at."""
    weaker = tmp_path / "pushd.service"
    weaker.write_text((UNITS / "pushd.service").read_text().replace("NoNewPrivileges=yes\n", ""))
    assert exposure(weaker) > MOST


def test_only_what_is_reasoned_is_open(tmp_path: Path) -> None:
    install(tmp_path, "pushd.service")
    said = ask("systemd-analyze", "security", "--offline=yes", "--json=short", tmp_path / "pushd.service")
    exposed = {check["json_field"] for check in json.loads(said) if check["exposure"]}
    reasoned = {name for name, *_ in OPEN}
    assert {field for field in exposed if field.partition("_AF")[0] not in reasoned} == FORCED


@pytest.mark.parametrize(("setting", "value", "reason"), OPEN, ids=[setting for setting, *_ in OPEN])
def test_what_is_open_says_why_beside_it(setting: str, value: str, reason: str) -> None:
    assert reason in read_unit("pushd.service").reason(f"{setting}={value}")


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize(("setting", "value", "reason"), CLOSED, ids=[setting for setting, *_ in CLOSED])
def test_a_service_may_not_do_more_than_it_needs(name: str, setting: str, value: str, reason: str) -> None:
    assert read_unit(name).one("Service", setting) == value, reason


@pytest.mark.parametrize("name", SERVICES)
def test_the_kernel_can_tell_the_daemon_who_connects(name: str) -> None:
    """In a user namespace of its own every peer has the uid of nobody (65534)."""
    assert read_unit(name).one("Service", "PrivateUsers") == "no"


@pytest.mark.parametrize("name", SERVICES)
def test_the_daemon_sees_the_processes_of_its_peers(name: str) -> None:
    """It compares their mounts with its own, and would take a path from nobody it cannot see."""
    assert read_unit(name).one("Service", "ProtectProc") == "default"


@pytest.mark.parametrize("name", SERVICES)
def test_what_the_daemon_can_write_it_cannot_run(name: str) -> None:
    service = read_unit(name, "one")
    written = {f"%S/{service.one('Service', 'StateDirectory')}", f"%t/{service.one('Service', 'RuntimeDirectory')}"}
    assert set(service.one("Service", "NoExecPaths").split()) == written | {"/tmp", "/var/tmp", "/dev/shm"}


@pytest.mark.parametrize("name", SERVICES)
def test_system_calls_are_those_of_a_service_without_privileges(name: str) -> None:
    assert read_unit(name).all("Service", "SystemCallFilter") == ("@system-service", "~@privileged @resources")


def test_helpers_are_programs_that_the_daemon_may_run_wherever_the_system_keeps_them() -> None:
    """Nothing but what it writes itself is barred, and starting a program is a system call of every service."""
    service = read_unit("pushd.service")
    assert not {"ExecPaths", "InaccessiblePaths", "TemporaryFileSystem"} & service.sections["Service"].keys()
    assert "execve" in ask("systemd-analyze", "syscall-filter", "@default", "@process")


def test_an_instance_is_the_same_service_but_for_its_name_its_configuration_and_its_home() -> None:
    service, instance = read_unit("pushd.service"), read_unit("pushd@.service")
    own = {
        name: tuple(value.replace("pushd@%i", "pushd").replace("pushd-%i", "pushd") for value in values)
        for name, values in instance.sections["Service"].items()
    }
    assert own.pop("ExecStart") == (f"{service.one('Service', 'ExecStart')} --config /etc/pushd/%i.toml",)
    assert own.pop("Environment") == (*service.all("Service", "Environment"), "HOME=%S/pushd")
    same = {name: values for name, values in service.sections["Service"].items() if name in own}
    assert own == same
    assert service.sections["Service"].keys() - own.keys() == {"ExecStart", "Environment"}


@pytest.mark.parametrize("name", SERVICES)
def test_how_sources_below_home_are_let_in_is_one_comment_away(name: str) -> None:
    assert "\n#ProtectHome=tmpfs\n#BindReadOnlyPaths=/home/builds\nProtectHome=yes\n" in read_unit(name).text


def test_a_users_own_daemon_is_held_by_what_needs_no_namespace_of_users() -> None:
    """In one it would see every peer as nobody, as systemd makes it for whatever hides or protects files."""
    settings = read_unit("user/pushd.service").sections["Service"]
    assert settings["NoNewPrivileges"] == ("yes",)
    assert settings["SystemCallFilter"] == ("@system-service",)
    assert not [name for name in settings if name.startswith(("Private", "Protect", "Bind", "ReadOnly", "ReadWrite"))]
    assert not {"CapabilityBoundingSet", "User", "Group", "DynamicUser"} & settings.keys()
