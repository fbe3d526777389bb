"""Files of credentials: read when they have changed, and not otherwise."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pushd.credentials import files as room
from pushd.credentials.docker import DockerConfig, read_config
from pushd.credentials.files import Exposed, Files, UnreadError
from pushd.credentials.systemd import read_one
from pushd.errors import Code, RegistryError
from tests.unit.credentials.samples import ALICE, BOB, REGISTRY, SECRET, shown, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it as if every change were long ago."""
    monkeypatch.setattr(room, "_SETTLED", -1.0)


class Counted:
    """Reads a configuration, and counts how often."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self, content: bytes, path: str) -> DockerConfig:
        self.reads += 1
        return read_config(content, path)


def auths(held: object) -> object:
    assert isinstance(held, DockerConfig)
    return held.auths


def test_a_file_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert Files().read(str(tmp_path / "none" / "config.json"), read_config) is None
    assert Files().known(str(tmp_path / "config.json"), read_config) is None


def test_a_way_that_leads_through_a_file_leads_nowhere() -> None:
    assert Files().read("/dev/null/.docker/config.json", read_config) is None


@pytest.mark.usefixtures("settled")
def test_a_file_that_has_changed_is_read_again_and_one_that_has_not_is_not(path: Path) -> None:
    files, parse = Files(), Counted()
    assert files.read(str(path), parse) is None
    for entry in (ALICE, BOB):
        write(path, {"auths": {REGISTRY: entry}})
        for _ in range(3):
            assert auths(files.read(str(path), parse)) == {REGISTRY: entry}
    assert parse.reads == 2
    path.unlink()
    assert files.read(str(path), parse) is None


@pytest.mark.usefixtures("settled")
def test_a_file_that_another_takes_the_place_of_is_read_again(path: Path, tmp_path: Path) -> None:
    files = Files()
    write(path, {"auths": {REGISTRY: ALICE}})
    files.read(str(path), read_config)
    write(tmp_path / "new", {"auths": {REGISTRY: BOB}}).replace(path)
    assert auths(files.read(str(path), read_config)) == {REGISTRY: BOB}


@pytest.mark.usefixtures("settled")
def test_what_is_known_needs_no_reading_and_anything_else_says_so(path: Path) -> None:
    files = Files()
    write(path, {"auths": {REGISTRY: ALICE}})
    with pytest.raises(UnreadError):
        files.known(str(path), read_config)
    files.read(str(path), read_config)
    assert auths(files.known(str(path), read_config)) == {REGISTRY: ALICE}
    write(path, {"auths": {}})
    with pytest.raises(UnreadError):
        files.known(str(path), read_config)


def test_a_file_that_has_just_changed_may_change_again_unseen(path: Path) -> None:
    files = Files()
    write(path, {"auths": {"x": {}}})
    files.read(str(path), read_config)
    status = path.stat()
    path.write_text('{"auths": {"y": {}}}')
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert auths(files.read(str(path), read_config)) == {"y": {}}


@pytest.mark.usefixtures("settled")
def test_a_file_that_was_broken_is_read_once_it_is_mended(path: Path) -> None:
    files = Files()
    write(path, "{")
    for _ in range(2):
        with pytest.raises(RegistryError):
            files.read(str(path), read_config)
    write(path, {})
    assert auths(files.read(str(path), read_config)) == {}


# -------------------------------------------------------------------------------------------------- what cannot be read


def unreadable(path: Path) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        Files().read(str(path), read_config)
    error = caught.value
    assert (error.code, error.subject) == (Code.REGISTRY_CREDENTIALS_UNREADABLE, str(path))
    assert f"uid {os.geteuid()}" in error.hint
    return error


def test_a_directory_is_unreadable(tmp_path: Path) -> None:
    assert "no regular file" in unreadable(tmp_path).detail


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    assert "no regular file" in unreadable(path).detail


def test_a_device_has_no_end_and_is_not_read() -> None:
    with pytest.raises(RegistryError) as caught:
        Files().read("/dev/zero", read_config)
    assert caught.value.code is Code.REGISTRY_CREDENTIALS_UNREADABLE


def test_a_file_that_is_there_and_cannot_be_read_is_told_with_the_reason(path: Path) -> None:
    path.symlink_to(path)  # unreadable for root, too
    assert "symbolic links" in unreadable(path).detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_of_somebody_else_is_unreadable(path: Path) -> None:
    write(path, {}).chmod(0)
    assert "Permission denied" in unreadable(path).detail


def test_a_file_that_is_far_too_long_is_malformed(path: Path) -> None:
    write(path, f'{{"auths": {{}}, "x": "{SECRET}{" " * (1 << 20)}"}}')
    with pytest.raises(RegistryError, match="longer than 1 MiB") as caught:
        Files().read(str(path), read_config)
    assert caught.value.code is Code.REGISTRY_CREDENTIALS_MALFORMED
    assert SECRET not in shown(caught.value)


# ---------------------------------------------------------------------------------------- what others may read as well


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_file_with_secrets_that_is_open_to_everybody_is_told_once(path: Path, mode: int) -> None:
    files = Files()
    write(path, {"auths": {REGISTRY: ALICE}}).chmod(mode)
    files.read(str(path), read_config)
    assert files.exposed() == [Exposed(str(path), mode)]
    files.read(str(path), read_config)
    assert files.exposed() == []


def test_it_is_told_once_although_it_is_read_again_and_again_while_it_is_new(path: Path) -> None:
    files = Files()
    write(path, {"auths": {REGISTRY: ALICE}}).chmod(0o644)
    for _ in range(3):
        files.read(str(path), read_config)
    assert files.exposed() == [Exposed(str(path), 0o644)]


@pytest.mark.usefixtures("settled")
def test_it_is_told_again_when_it_has_changed_and_is_open_still(path: Path) -> None:
    files = Files()
    for entry in (ALICE, BOB):
        write(path, {"auths": {REGISTRY: entry}}).chmod(0o644)
        files.read(str(path), read_config)
        assert files.exposed() == [Exposed(str(path), 0o644)]
    path.chmod(0o600)
    files.read(str(path), read_config)
    assert files.exposed() == []


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o660])
def test_a_file_for_its_owner_and_group_is_not_told(path: Path, mode: int) -> None:
    files = Files()
    write(path, {"auths": {REGISTRY: ALICE}}).chmod(mode)
    files.read(str(path), read_config)
    assert files.exposed() == []


def test_a_file_without_secrets_is_anybodys(path: Path) -> None:
    files = Files()
    write(path, {"auths": {REGISTRY: {}}, "credsStore": "pass"}).chmod(0o644)
    files.read(str(path), read_config)
    assert files.exposed() == []


def test_a_file_of_one_line_is_a_secret(path: Path) -> None:
    files = Files()
    write(path, "alice:secret\n").chmod(0o644)
    files.read(str(path), read_one)
    assert files.exposed() == [Exposed(str(path), 0o644)]
