from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pushd.errors import Code, StoreError
from pushd.store.lock import StateLock


def test_a_second_daemon_is_refused_and_told_the_pid_of_the_first(tmp_path: Path) -> None:
    first = StateLock(tmp_path / "lock")
    with pytest.raises(StoreError) as refused:
        StateLock(tmp_path / "lock")
    assert refused.value.code is Code.STORE_UNAVAILABLE
    assert f"pid {os.getpid()}" in refused.value.detail
    assert refused.value.subject == str(tmp_path)
    first.release()


def test_a_holder_that_did_not_say_who_it_is_is_left_unnamed(tmp_path: Path) -> None:
    first = StateLock(tmp_path / "lock")
    (tmp_path / "lock").write_bytes(b"\xff\x1b[31m")
    with pytest.raises(StoreError) as refused:
        StateLock(tmp_path / "lock")
    assert refused.value.detail == "another daemon works on this state directory"
    first.release()


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    StateLock(tmp_path / "lock").release()
    again = StateLock(tmp_path / "lock")
    again.release()
    again.release()


def test_a_lock_file_left_by_a_killed_daemon_is_not_stale(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from pushd.store.lock import StateLock\n"
        "lock = StateLock(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "lock"], cwd=Path(__file__).parents[3], check=False
    )
    assert killed.returncode == -9
    assert (tmp_path / "lock").read_text() != ""
    StateLock(tmp_path / "lock").release()


def test_the_lock_file_is_the_owners_alone(tmp_path: Path) -> None:
    lock = StateLock(tmp_path / "lock")
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    lock.release()


def test_a_filesystem_that_cannot_lock_is_reported_and_nothing_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int, __: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    before = {link.name for link in Path("/proc/self/fd").iterdir()}
    with pytest.raises(OSError, match="No locks available"):
        StateLock(tmp_path / "lock")
    assert {link.name for link in Path("/proc/self/fd").iterdir()} == before
