from __future__ import annotations

from pathlib import Path

from pushd.config.places import Places, places

HOME = {"HOME": "/home/ada", "XDG_RUNTIME_DIR": "/run/user/1000"}


def test_roots_daemon_is_the_systems_even_in_a_session() -> None:
    assert places({"HOME": "/root", "XDG_RUNTIME_DIR": "/run/user/0"}, uid=0) == Places(
        file=Path("/etc/pushd/pushd.toml"),
        socket=Path("/run/pushd/pushd.sock"),
        state_dir=Path("/var/lib/pushd"),
    )


def test_a_service_with_a_user_of_its_own_lives_where_systemd_says() -> None:
    environ = {"STATE_DIRECTORY": "/var/lib/pushd:/var/lib/other", "RUNTIME_DIRECTORY": "/run/pushd"}

    assert places(environ, uid=999) == Places(
        file=Path("/etc/pushd/pushd.toml"),
        socket=Path("/run/pushd/pushd.sock"),
        state_dir=Path("/var/lib/pushd"),
    )


def test_a_service_whose_socket_is_made_by_another_unit_finds_it() -> None:
    assert places({"STATE_DIRECTORY": "/var/lib/pushd"}, uid=999).socket == Path("/run/pushd/pushd.sock")


def test_a_users_own_daemon_lives_where_xdg_says_by_default() -> None:
    assert places(HOME, uid=1000) == Places(
        file=Path("/home/ada/.config/pushd/pushd.toml"),
        socket=Path("/run/user/1000/pushd/pushd.sock"),
        state_dir=Path("/home/ada/.local/state/pushd"),
    )


def test_a_user_may_have_moved_the_xdg_directories() -> None:
    environ = {**HOME, "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"}

    assert places(environ, uid=1000) == Places(
        file=Path("/c/pushd/pushd.toml"),
        socket=Path("/run/user/1000/pushd/pushd.sock"),
        state_dir=Path("/s/pushd"),
    )


def test_a_users_service_lives_where_its_systemd_says() -> None:
    environ = {**HOME, "STATE_DIRECTORY": "/home/ada/.local/state/x", "RUNTIME_DIRECTORY": "/run/user/1000/x"}

    found = places(environ, uid=1000)

    assert (found.state_dir, found.socket) == (
        Path("/home/ada/.local/state/x"),
        Path("/run/user/1000/x/pushd.sock"),
    )
    assert found.file == Path("/home/ada/.config/pushd/pushd.toml")


def test_relative_directories_are_ignored_and_what_nobody_tells_is_unknown() -> None:
    environ = {"HOME": "", "XDG_CONFIG_HOME": "c", "XDG_STATE_HOME": "s", "XDG_RUNTIME_DIR": "."}

    assert places(environ, uid=1000) == Places(file=None, socket=None, state_dir=None)
