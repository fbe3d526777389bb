"""The units as a whole: systemd takes them as they are, and they fit one another and the daemon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pushd.client import default_socket_path
from pushd.config.places import places
from pushd.config.values import Access
from tests.integration.daemon import STOP
from tests.unit.systemd.units import PYTHON, SERVICES, SYSTEM, UNITS, USER, ask, install, read_unit

RUNTIME = "/run/user/1000"
RENAMED = {"pushd@.service": "pushd@one.service", "pushd@.socket": "pushd@one.socket"}
"""A template is looked at as one of its instances."""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """All the units of the system, together as on a machine."""
    install(tmp_path, *SYSTEM)
    return tmp_path


def complaints(*units: Path, user: bool = False) -> str:
    # A user's systemd wants a directory of theirs, which whoever runs the tests need not have.
    options = ("--user",) if user else ()
    home = {"XDG_RUNTIME_DIR": str(units[0].parent), "HOME": str(units[0].parent)} if user else None
    return ask("systemd-analyze", "verify", "--man=no", *options, *units, environment=home)


# -------------------------------------------------------------------------------------------------- systemd's opinion


@pytest.mark.parametrize("name", SYSTEM)
def test_systemd_has_nothing_to_say_about_a_unit(installed: Path, name: str) -> None:
    assert complaints(installed / RENAMED.get(name, name)) == ""


@pytest.mark.parametrize("name", USER)
def test_a_users_systemd_has_nothing_to_say_about_one(tmp_path: Path, name: str) -> None:
    install(tmp_path, *USER)
    assert complaints(tmp_path / Path(name).name, user=True) == ""


def test_a_misspelt_setting_would_be_found(installed: Path) -> None:
    service = installed / "pushd.service"
    service.write_text(service.read_text().replace("ProtectSystem=", "ProtectSytem="))
    assert "ProtectSytem" in complaints(service)


def test_the_drop_ins_hold_what_is_new_in_the_systemd_they_are_named_after_and_nothing_else() -> None:
    reload = read_unit("pushd.service.d/systemd-253.conf")
    assert reload.sections == {"Service": {"Type": ("notify-reload",), "ExecReload": ("",)}}
    restart = read_unit("pushd.service.d/systemd-254.conf")
    assert restart.sections == {"Service": {"RestartSteps": ("5",), "RestartMaxDelaySec": ("60",)}}


def test_a_drop_in_that_is_too_new_is_all_an_older_systemd_complains_of(installed: Path) -> None:
    directory = installed / "pushd.service.d"
    directory.mkdir()
    install(directory, "pushd.service.d/systemd-253.conf", "pushd.service.d/systemd-254.conf")
    said = complaints(installed / "pushd.service").splitlines()
    new = ("notify-reload", "RestartSteps", "RestartMaxDelaySec")
    assert [line for line in said if not any(word in line and "ignoring" in line for word in new)] == []


# ------------------------------------------------------------------------------------------------- how they fit


@pytest.mark.parametrize(
    ("name", "command"),
    [
        pytest.param("pushd.service", "", id="system"),
        pytest.param("pushd@.service", " --config /etc/pushd/one.toml", id="instance"),
        pytest.param("user/pushd.service", "", id="user"),
    ],
)
def test_the_daemon_is_the_module_started_by_an_absolute_path(name: str, command: str) -> None:
    assert read_unit(name, "one").one("Service", "ExecStart") == f"{PYTHON} -P -m pushd{command}"


@pytest.mark.parametrize(
    ("name", "socket", "target"),
    [
        pytest.param("pushd.service", "pushd.socket", "multi-user.target", id="system"),
        pytest.param("pushd@.service", "pushd@one.socket", "multi-user.target", id="instance"),
        pytest.param("user/pushd.service", "pushd.socket", "default.target", id="user"),
    ],
)
def test_systemd_holds_the_socket_and_starts_the_daemon_at_boot_all_the_same(
    name: str, socket: str, target: str
) -> None:
    """A queue that waits for the first visitor after a reboot would be no queue."""
    service = read_unit(name, "one")
    assert service.one("Unit", "Requires") == socket
    assert socket in service.all("Unit", "After")
    assert service.one("Install", "Also") == socket
    assert service.one("Install", "WantedBy") == target


@pytest.mark.parametrize("name", [name for name in (*SYSTEM, *USER) if name.endswith(".socket")])
def test_a_socket_is_there_as_soon_as_sockets_are(name: str) -> None:
    socket = read_unit(name)
    assert socket.one("Install", "WantedBy") == "sockets.target"
    assert "Accept" not in socket.sections["Socket"], "one daemon answers everybody"


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        pytest.param("pushd", "/run", id="system"),
        pytest.param("pushd@", "/run", id="instance"),
        pytest.param("user/pushd", "%t", id="user"),
    ],
)
def test_the_sockets_directory_outlives_the_daemon(name: str, runtime: str) -> None:
    """Otherwise systemd removes the socket's file while it still listens on it, and nobody can connect any more."""
    service = read_unit(f"{name}.service")
    listened = Path(read_unit(f"{name}.socket").one("Socket", "ListenStream"))
    assert listened.parent == Path(runtime) / service.one("Service", "RuntimeDirectory")
    assert service.one("Service", "RuntimeDirectoryPreserve") == "yes"


@pytest.mark.parametrize("instance", ["", "one"], ids=["system", "instance"])
def test_what_systemd_listens_on_is_what_the_daemon_would_serve_by_itself(instance: str) -> None:
    name = "pushd@" if instance else "pushd"
    service = read_unit(f"{name}.service", instance)
    environ = {
        "RUNTIME_DIRECTORY": f"/run/{service.one('Service', 'RuntimeDirectory')}",
        "STATE_DIRECTORY": f"/var/lib/{service.one('Service', 'StateDirectory')}",
    }
    place = places(environ, uid=990)
    assert str(place.socket) == read_unit(f"{name}.socket", instance).one("Socket", "ListenStream")
    assert place.file == Path("/etc/pushd/pushd.toml")


def test_pushctl_looks_where_the_systems_and_a_users_daemon_listen(tmp_path: Path) -> None:
    assert default_socket_path({}) == read_unit("pushd.socket").one("Socket", "ListenStream")
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    listened = read_unit("user/pushd.socket").one("Socket", "ListenStream").replace("%t", str(tmp_path))
    Path(listened).parent.mkdir()
    Path(listened).touch()
    assert default_socket_path(environ) == listened == str(places(environ, uid=1000).socket)


def test_a_users_state_is_not_given_to_systemd_which_puts_it_among_their_configuration() -> None:
    assert "StateDirectory" not in read_unit("user/pushd.service").sections["Service"]


def test_two_daemons_share_neither_state_nor_sockets_nor_credentials() -> None:
    directories = set()
    for unit in (read_unit("pushd.service"), read_unit("pushd@.service", "one"), read_unit("pushd@.service", "two")):
        state = unit.one("Service", "StateDirectory")
        assert unit.one("Service", "RuntimeDirectory") == state
        directories.add(state)
    assert directories == {"pushd", "pushd-one", "pushd-two"}, "none is within another either"
    assert "HOME=%S/pushd-one" in read_unit("pushd@.service", "one").all("Service", "Environment")


def test_the_example_of_another_socket_is_that_of_the_same_daemon() -> None:
    socket = read_unit("pushd-ci.socket")
    assert socket.one("Socket", "Service") == "pushd.service"
    assert socket.one("Socket", "ListenStream") == "/run/pushd/ci.sock"
    name = socket.one("Socket", "FileDescriptorName")
    assert f"#   [sockets.{name}]" in socket.text


@pytest.mark.parametrize("name", ["pushd.socket", "pushd@.socket", "user/pushd.socket"])
def test_the_main_socket_has_a_name_that_no_table_of_sockets_can_have(name: str) -> None:
    """It is the one whose name is not in the configuration, whatever that says."""
    assert read_unit(name).one("Socket", "FileDescriptorName") == "pushd.socket"


# ----------------------------------------------------------------------------------------------- users, directories


@pytest.mark.parametrize("name", ["pushd", "pushd@"])
def test_only_the_group_may_connect_and_only_the_daemon_may_see_its_state(name: str) -> None:
    socket = read_unit(f"{name}.socket")
    assert socket.one("Socket", "SocketGroup") == "pushd"
    assert socket.one("Socket", "SocketMode") == "0660"
    assert read_unit(f"{name}.service").one("Service", "StateDirectoryMode") == "0700"


def test_nobody_else_may_connect_to_a_users_daemon() -> None:
    socket = read_unit("user/pushd.socket")
    assert socket.one("Socket", "SocketMode") == "0600"
    assert socket.one("Socket", "DirectoryMode") == "0700"


def test_every_user_and_group_the_units_name_is_made() -> None:
    entries = [line.split() for line in (UNITS / "sysusers.d" / "pushd.conf").read_text().splitlines()]
    users = {entry[1] for entry in entries if entry and entry[0] == "u"}
    groups = {entry[1] for entry in entries if entry and entry[0] == "g"} | users
    named = {read_unit(name).one("Service", key) for name in SERVICES for key in ("User", "Group")}
    named |= {
        read_unit(name).one("Socket", key)
        for name in SYSTEM
        if name.endswith(".socket")
        for key in ("SocketUser", "SocketGroup")
    }
    assert named - {"root"} == users
    assert {*Access().administrators, *Access().submitters} == groups


def test_systemd_would_make_the_user() -> None:
    said = ask("systemd-sysusers", "--dry-run", UNITS / "sysusers.d" / "pushd.conf")
    assert "pushd" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_systemd_makes_the_users_and_their_directories_on_a_machine_that_has_neither(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    root = f"--root={tmp_path}"
    assert "Failed" not in ask("systemd-sysusers", root, UNITS / "sysusers.d" / "pushd.conf")
    assert ask("systemd-tmpfiles", "--create", root, UNITS / "tmpfiles.d" / "pushd.conf") == ""
    uids = dict(line.split(":")[:3:2] for line in (tmp_path / "etc" / "passwd").read_text().splitlines())
    sockets, configuration = (tmp_path / "run" / "pushd").stat(), (tmp_path / "etc" / "pushd").stat()
    assert str(sockets.st_uid) == uids["pushd"]
    assert configuration.st_uid == 0
    assert (sockets.st_mode & 0o7777, configuration.st_mode & 0o7777) == (0o755, 0o755)
    assert "pushd-admin:" in (tmp_path / "etc" / "group").read_text()


# ---------------------------------------------------------------------------------------------------- life cycle


LIFE = [
    ("Type", "notify", "who waits for the daemon waits until it serves"),
    ("NotifyAccess", "main", "a credential helper speaks for nobody"),
    ("ExecReload", "/bin/kill -HUP $MAINPID", "systemd 252 knows no other way to reload"),
    ("Restart", "on-failure", "the queue goes on where it stood"),
    ("KillMode", "mixed", "the daemon ends its helpers itself, and needs them until it has stopped"),
    ("TimeoutStopSec", f"{STOP:g}", "uploads reach a boundary, and the next life goes on from there"),
    ("WatchdogSec", "60", "a daemon whose loop is held up helps nobody"),
    ("UMask", "0077", "what it writes is its own"),
    ("LimitNOFILE", "65536", "1024 files, the usual limit, are 1024 event streams of one user and no upload"),
    ("Environment", "PYTHONFAULTHANDLER=1", "what the watchdog ends says where it stood"),
]


@pytest.mark.parametrize("name", [*SERVICES, "user/pushd.service"])
@pytest.mark.parametrize(("setting", "value", "reason"), LIFE, ids=[setting for setting, *_ in LIFE])
def test_a_service_lives_as_an_operator_expects(name: str, setting: str, value: str, reason: str) -> None:
    assert value in read_unit(name, "one").all("Service", setting), reason


@pytest.mark.parametrize("name", [*SERVICES, "user/pushd.service"])
def test_a_daemon_that_cannot_start_is_tried_for_ever_for_its_socket_would_go_with_it(name: str) -> None:
    assert read_unit(name).one("Unit", "StartLimitIntervalSec") == "0"


@pytest.mark.parametrize(
    ("name", "said"),
    [("pushd.service", "pushd"), ("pushd@.service", "pushd@one"), ("user/pushd.service", "pushd")],
)
def test_the_journal_calls_the_daemon_by_its_name_and_not_python(name: str, said: str) -> None:
    assert read_unit(name, "one").one("Service", "SyslogIdentifier") == said


@pytest.mark.parametrize("name", SERVICES)
def test_a_credential_is_one_comment_away_and_named_as_the_daemon_looks_for_it(name: str) -> None:
    text = read_unit(name).text
    assert "\n#LoadCredential=config.json:/etc/pushd/" in text
    assert "\n#LoadCredentialEncrypted=pushd.key:/etc/pushd/" in text
