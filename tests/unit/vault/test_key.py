from __future__ import annotations

import multiprocessing
import os
import stat
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, DaemonError
from pushd.vault.key import CREDENTIAL, FILE, SIZE, load_key

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = bytes(range(SIZE))


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refused(state_dir: Path, directory: Path | None = None) -> DaemonError:
    with pytest.raises(DaemonError) as raised:
        load_key(state_dir, directory)
    assert raised.value.code is Code.DAEMON_CONFIG
    assert raised.value.hint
    return raised.value


# ------------------------------------------------------------------------------------------------ the daemon's own file


def test_a_key_is_made_when_there_is_none_and_is_the_same_ever_after(tmp_path: Path) -> None:
    first = load_key(tmp_path, None)
    assert len(first.secret) == SIZE
    assert first.where == str(tmp_path / FILE)
    assert load_key(tmp_path, None) == first
    assert (tmp_path / FILE).read_bytes() == first.secret


def test_every_daemon_has_a_key_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert load_key(tmp_path / "a", None).secret != load_key(tmp_path / "b", None).secret


def test_the_key_is_its_owners_to_read_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        load_key(tmp_path, None)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_nothing_is_left_beside_the_key(tmp_path: Path) -> None:
    load_key(tmp_path, None)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_key_that_another_daemon_made_a_moment_before_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def beaten(source: Path, target: Path) -> None:
        write(target, CONTENT)
        link(source, target)

    monkeypatch.setattr(os, "link", beaten)
    assert load_key(tmp_path, None).secret == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def _load(state_dir: Path) -> bytes:
    return load_key(state_dir, None).secret


def test_daemons_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as processes:
        assert len(set(processes.map(_load, [tmp_path] * 16, chunksize=1))) == 1


def test_a_key_that_could_not_be_written_whole_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in refused(tmp_path).detail
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", CONTENT[:-1]], ids=["empty", "cut short"])
def test_a_file_that_is_too_short_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / FILE, content)
    error = refused(tmp_path)
    assert error.subject == str(path)
    assert f"{len(content)} bytes" in error.detail
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / FILE, CONTENT, mode)
    error = refused(tmp_path)
    assert f"{mode:04o}" in error.detail
    assert "chmod 600" in error.hint
    assert path.read_bytes() == CONTENT


def test_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / FILE, CONTENT)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert f"belongs to uid {os.getuid()}" in refused(tmp_path).detail


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    assert "no regular file" in refused(tmp_path).detail


def test_a_pipe_in_its_place_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE, 0o600)
    assert "no regular file" in refused(tmp_path).detail


def test_a_file_that_the_disk_does_not_give_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / FILE, CONTENT)

    def broken(_: int, *_args: object, **_kwargs: object) -> object:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdopen", broken)
    assert "Input/output error" in refused(tmp_path).detail


def test_a_state_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "nowhere").detail


# --------------------------------------------------------------------------------------------------- that of systemd


def test_what_systemd_hands_over_goes_first_and_no_file_is_made(tmp_path: Path) -> None:
    path = write(tmp_path / "credentials" / CREDENTIAL, CONTENT, 0o440)
    key = load_key(tmp_path / "state", path.parent)
    assert (key.secret, key.where) == (CONTENT, str(path))


def test_of_more_bytes_a_key_is_derived_always_the_same(tmp_path: Path) -> None:
    directory = write(tmp_path / "credentials" / CREDENTIAL, CONTENT + b"\n").parent
    key = load_key(tmp_path, directory)
    assert len(key.secret) == SIZE
    assert key.secret not in (CONTENT, CONTENT[1:] + b"\n")
    assert load_key(tmp_path, directory) == key
    write(directory / CREDENTIAL, CONTENT + b"!")
    assert load_key(tmp_path, directory) != key


def test_without_one_among_them_the_daemons_own_is_used(tmp_path: Path) -> None:
    directory = write(tmp_path / "credentials" / "another", CONTENT).parent
    assert load_key(tmp_path, directory).where == str(tmp_path / FILE)


def test_one_of_systemd_that_is_too_short_is_refused_and_nothing_takes_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / "credentials" / CREDENTIAL, b"correct horse")
    error = refused(tmp_path, path.parent)
    assert error.subject == str(path)
    assert "openssl rand 32" in error.hint
    assert not (tmp_path / FILE).exists()


def test_one_of_systemd_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    write(tmp_path / "credentials", CONTENT)
    assert "Not a directory" in refused(tmp_path, tmp_path / "credentials").detail


# ------------------------------------------------------------------------------------------------------------ secrets


def test_the_key_is_in_no_repr_and_no_error(tmp_path: Path) -> None:
    canary = b"canary-canary-canary-canary-cana"
    path = write(tmp_path / FILE, canary)
    assert "canary" not in repr(load_key(tmp_path, None))
    path.chmod(0o644)
    error = refused(tmp_path)
    assert "canary" not in f"{error} {error!r}"
