from __future__ import annotations

import os
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from pushd.config.values import Access

UNITS = Path(__file__).parents[3] / "systemd"
NAMES = ("pushd.service", "pushd.socket")


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not there; Debian's package systemd has it"
        if os.environ.get("PUSHD_TEST_REQUIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None)  # After= may be said more than once
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # as its documentation has it: keep the case
    parser.read(UNITS / name)
    return parser


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as on a machine where /opt/pushd is there: systemd-analyze wants the program to exist."""
    for name in NAMES:
        text = (UNITS / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/pushd/bin/python", sys.executable))
    return tmp_path


def complaints(units: Path) -> str:
    paths = [str(units / name) for name in NAMES]
    command = [tool("systemd-analyze"), "verify", "--man=no", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


def test_systemd_has_nothing_to_say_about_the_units(installed: Path) -> None:
    assert complaints(installed) == ""


def test_a_misspelt_setting_would_be_found(installed: Path) -> None:
    service = installed / "pushd.service"
    service.write_text(service.read_text().replace("ProtectSystem=", "ProtectSytem="))
    assert "ProtectSytem" in complaints(installed)


def test_the_daemon_is_the_module_started_by_an_absolute_path() -> None:
    assert unit("pushd.service")["Service"]["ExecStart"] == "/opt/pushd/bin/python -P -m pushd"


def test_systemd_holds_the_socket_and_starts_the_daemon_at_boot_all_the_same() -> None:
    """A queue that waits for the first visitor after a reboot would be no queue."""
    service = unit("pushd.service")
    assert service["Unit"]["Requires"] == "pushd.socket"
    assert service["Install"]["WantedBy"] == "multi-user.target"
    assert service["Install"]["Also"] == "pushd.socket"


def test_the_sockets_directory_outlives_the_daemon() -> None:
    """Otherwise systemd removes the socket's file while it still listens on it, and nobody can connect any more."""
    service = unit("pushd.service")["Service"]
    socket = Path(unit("pushd.socket")["Socket"]["ListenStream"])
    assert socket.parent == Path("/run") / service["RuntimeDirectory"]
    assert service["RuntimeDirectoryPreserve"] == "yes"


def test_only_the_group_may_connect_and_only_the_daemon_may_see_its_state() -> None:
    socket = unit("pushd.socket")["Socket"]
    assert (socket["SocketGroup"], socket["SocketMode"]) == ("pushd", "0660")
    assert unit("pushd.service")["Service"]["StateDirectoryMode"] == "0700"


def test_the_kernel_can_tell_the_daemon_who_connects() -> None:
    """In a user namespace of its own every peer has the uid of nobody (65534)."""
    assert unit("pushd.service")["Service"]["PrivateUsers"] == "no"


def test_every_user_and_group_the_units_name_is_made() -> None:
    entries = [line.split() for line in (UNITS / "sysusers.d" / "pushd.conf").read_text().splitlines()]
    users = {entry[1] for entry in entries if entry and entry[0] == "u"}
    groups = {entry[1] for entry in entries if entry and entry[0] == "g"} | users
    service, socket = unit("pushd.service")["Service"], unit("pushd.socket")["Socket"]
    named = {service["User"], service["Group"], socket["SocketUser"], socket["SocketGroup"]}
    assert named - {"root"} == users
    assert {*Access().administrators, *Access().submitters} == groups


def test_systemd_would_make_the_user() -> None:
    command = [tool("systemd-sysusers"), "--dry-run", str(UNITS / "sysusers.d" / "pushd.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert "pushd" in done.stdout + done.stderr
