"""Credential helpers, as real programs that do what programs do."""

from __future__ import annotations

import errno
import os
import select
import shlex
import threading
from typing import TYPE_CHECKING

import pytest

from pushd.credentials.answer import Answer
from pushd.credentials.helper import ask
from pushd.errors import Code, RegistryError
from tests.unit.credentials.samples import SECRET, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.credentials.conftest import Bin

SERVER = "https://index.docker.io/v1/"
ANSWERS = f"""echo '{{"ServerURL":"x","Username":"alice","Secret":"{SECRET}"}}'"""


def failure(programs: Bin, script: str, *, timeout: float = 20.0) -> RegistryError:
    programs.helper("test", script)
    return refused(programs, timeout=timeout)


def refused(programs: Bin, name: str = "test", *, timeout: float = 20.0) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        ask(name, SERVER, timeout=timeout, environ=programs.environ)
    error = caught.value
    assert error.hint, "it says what to do next"
    assert str(error).isprintable(), "it cannot command a terminal"
    assert SECRET not in shown(error)
    return error


def ends(pid_file: Path) -> bool:
    """Whether the process that wrote its number into a file has ended, or is about to."""
    try:
        process = os.pidfd_open(int(pid_file.read_text()))
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 10)[0])
    finally:
        os.close(process)


# --------------------------------------------------------------------------------------------------- what it is asked


def test_a_helper_is_asked_for_the_registry_on_its_standard_input(programs: Bin, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    programs.helper("test", f'{{ echo "$# $1"; cat; }} >{shlex.quote(str(asked))}; {ANSWERS}')
    assert ask("test", SERVER, environ=programs.environ) == Answer("alice", SECRET)
    assert asked.read_text() == f"1 get\n{SERVER}"


def test_a_helper_that_does_not_listen_may_answer(programs: Bin) -> None:
    programs.helper("test", f"exec <&-; {ANSWERS}")
    assert ask("test", SERVER, environ=programs.environ) == Answer("alice", SECRET)


def test_a_helper_has_the_environment_of_whoever_asks_and_no_file_of_ours(programs: Bin, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    programs.helper("test", f'{{ echo "$HOME"; ls /proc/self/fd | wc -l; }} >{shlex.quote(str(seen))}; {ANSWERS}')
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        ask("test", SERVER, environ=programs.environ)
    finally:
        os.close(read)
        os.close(write)
    home, fds = seen.read_text().split()
    assert home == programs.environ["HOME"]
    assert int(fds) <= 4, "the three, and the directory that is listed"


def test_this_processs_own_environment_is_the_default(programs: Bin, monkeypatch: pytest.MonkeyPatch) -> None:
    programs.helper("test", ANSWERS)
    monkeypatch.setenv("PATH", programs.environ["PATH"])
    assert ask("test", SERVER) == Answer("alice", SECRET)


# -------------------------------------------------------------------------------------------------- what it does not


@pytest.mark.parametrize(
    "script",
    [
        "echo 'credentials not found in native keychain'; exit 1",
        "echo 'credentials not found in native keychain' >&2; exit 1",
        "echo 'Error: Credentials not found in native keychain'; exit 1",
        "echo 'The specified item could not be found in the keychain.'; exit 1",
        "echo 'no usernames for https://index.docker.io/v1/'; exit 1",
        """echo '{"ServerURL":"x","Username":"","Secret":""}'""",
    ],
)
def test_a_helper_that_has_no_credential_is_no_failure(programs: Bin, script: str) -> None:
    programs.helper("test", script)
    assert ask("test", SERVER, environ=programs.environ) is None


def test_a_helper_that_is_not_there_is_missing(programs: Bin) -> None:
    error = refused(programs)
    assert (error.code, error.subject) == (Code.REGISTRY_HELPER_MISSING, "docker-credential-test")
    assert "No such file" in error.detail


def test_a_helper_that_is_no_program_is_missing(programs: Bin) -> None:
    programs.helper("test", ANSWERS, mode=0o644)
    error = refused(programs)
    assert error.code is Code.REGISTRY_HELPER_MISSING
    assert "Permission denied" in error.detail


def test_a_helper_whose_interpreter_is_not_there_is_missing(programs: Bin) -> None:
    programs.helper("test", "").write_text("#!/nowhere/sh\n")
    assert refused(programs).code is Code.REGISTRY_HELPER_MISSING


@pytest.mark.parametrize("name", ["", "../evil", "a/b", "/bin/sh", "-x", ".x", "a b", "a\nb", "x;id", "ü", "\x1b[31m"])
def test_a_name_that_is_none_is_not_run(programs: Bin, name: str) -> None:
    assert refused(programs, name).code is Code.REGISTRY_HELPER_MISSING


# ---------------------------------------------------------------------------------------------------- how it may fail


def test_a_helper_that_fails_is_quoted_from_its_standard_error_alone(programs: Bin) -> None:
    error = failure(programs, f"echo {SECRET}; printf '\\n  \\033[31mthe keychain is locked\\nmore\\n' >&2; exit 3")
    assert error.code is Code.REGISTRY_HELPER_FAILED
    assert error.retryable
    assert error.subject == "docker-credential-test"
    assert error.detail == "exited with 3: [31mthe keychain is locked"
    assert error.hint == f"see what it says: echo {SERVER} | docker-credential-test get"


def test_a_helper_that_fails_without_a_word_is_told_by_its_status(programs: Bin) -> None:
    assert failure(programs, f"echo {SECRET}; exit 1").detail == "exited with 1"


def test_a_helper_that_is_killed_is_told_by_the_signal(programs: Bin) -> None:
    error = failure(programs, f"{ANSWERS}; kill -SEGV $$")
    assert (error.code, error.detail) == (Code.REGISTRY_HELPER_FAILED, "was ended by signal 11")


def test_a_helper_that_complains_without_end_is_cut_short(programs: Bin) -> None:
    error = failure(programs, "head -c 5000000 /dev/zero | tr '\\0' x >&2; exit 1")
    assert error.code is Code.REGISTRY_HELPER_FAILED
    assert len(str(error)) < 400


@pytest.mark.parametrize("what", ["subprocess.Popen", "os.pidfd_open"])
def test_a_system_that_is_short_of_something_is_told_as_a_failure_that_may_pass(
    programs: Bin, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def short(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    programs.helper("test", "exec sleep 3600")
    monkeypatch.setattr(what, short)
    error = refused(programs)
    assert (error.code, error.detail) == (Code.REGISTRY_HELPER_FAILED, "could not be run: Too many open files")


@pytest.mark.parametrize(
    "script", ["", "echo '<html>'", f"echo {SECRET}", f"""echo '{{"Username":"a","Token":"{SECRET}"}}'""", "echo '[]'"]
)
def test_an_answer_that_is_none_is_malformed(programs: Bin, script: str) -> None:
    assert failure(programs, script).code is Code.REGISTRY_HELPER_MALFORMED


@pytest.mark.parametrize("script", ["exec head -c 67108864 /dev/zero", "yes", "yes | cat", "yes & wait"])
def test_a_helper_that_answers_with_megabytes_is_ended_and_malformed(programs: Bin, script: str) -> None:
    error = failure(programs, script)
    assert error.code is Code.REGISTRY_HELPER_MALFORMED
    assert "64 KiB" in error.detail


def test_an_answer_as_long_as_may_be_is_read(programs: Bin) -> None:
    secret = "s" * ((64 << 10) - 40)
    answer = f'{{"Username":"alice","Secret":"{secret}"}}'
    assert len(answer) <= 64 << 10
    (programs.directory / "answer").write_text(answer)
    programs.helper("test", f"cat {shlex.quote(str(programs.directory / 'answer'))}")
    assert ask("test", SERVER, environ=programs.environ) == Answer("alice", secret)


# ---------------------------------------------------------------------------------------------- that it always ends


@pytest.fixture
def pid_file(tmp_path: Path) -> Iterator[Path]:
    """Give a file for a process's number, which must be gone in the end."""
    path = tmp_path / "pid"
    yield path
    assert ends(path)


def test_a_helper_that_hangs_is_ended_and_named(programs: Bin, pid_file: Path) -> None:
    error = failure(programs, f"echo $$ >{shlex.quote(str(pid_file))}; exec sleep 3600", timeout=0.5)
    assert error.code is Code.REGISTRY_HELPER_TIMEOUT
    assert error.retryable
    assert error.subject == "docker-credential-test"
    assert error.detail == "did not answer within 0.5 s"


def test_what_a_helper_that_hangs_has_started_is_ended_with_it(programs: Bin, pid_file: Path) -> None:
    script = f"trap '' TERM INT HUP; sleep 3600 & echo $! >{shlex.quote(str(pid_file))}; wait"
    assert failure(programs, script, timeout=0.5).code is Code.REGISTRY_HELPER_TIMEOUT


def test_a_helper_that_talks_without_end_has_no_more_time_than_others(programs: Bin) -> None:
    error = failure(programs, "while :; do echo still here >&2; done", timeout=0.5)
    assert error.code is Code.REGISTRY_HELPER_TIMEOUT


def test_a_helper_that_has_answered_and_hangs_is_late(programs: Bin) -> None:
    assert failure(programs, f"{ANSWERS}; exec sleep 3600", timeout=0.5).code is Code.REGISTRY_HELPER_TIMEOUT


def test_a_process_left_behind_with_the_pipes_is_not_waited_for_and_ended(programs: Bin, pid_file: Path) -> None:
    programs.helper("test", f"sleep 3600 & echo $! >{shlex.quote(str(pid_file))}; {ANSWERS}")
    assert ask("test", SERVER, environ=programs.environ) == Answer("alice", SECRET)


def test_a_process_that_left_the_group_with_the_pipes_is_not_waited_for(programs: Bin, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    away = f"setsid sh -c 'echo $$ >{shlex.quote(str(pid_file))}; exec sleep 3600' &"
    programs.helper("test", f"{away}\nwhile [ ! -s {shlex.quote(str(pid_file))} ]; do :; done; {ANSWERS}")
    try:
        assert ask("test", SERVER, environ=programs.environ) == Answer("alice", SECRET)
    finally:
        os.kill(int(pid_file.read_text()), 9)


def test_helpers_are_asked_side_by_side(programs: Bin, tmp_path: Path) -> None:
    # Each waits for the other, so they only end when both run.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    programs.helper("first", f"echo >{shlex.quote(str(fifo))}; {ANSWERS}")
    programs.helper("second", f"read -r _ <{shlex.quote(str(fifo))}; {ANSWERS}")
    answers: list[Answer | None] = []
    threads = [
        threading.Thread(target=lambda name=name: answers.append(ask(name, SERVER, environ=programs.environ)))
        for name in ("first", "second")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [Answer("alice", SECRET)] * 2


def test_nothing_is_left_open(programs: Bin) -> None:
    programs.helper("test", ANSWERS)
    programs.helper("bad", "exit 1")
    ask("test", SERVER, environ=programs.environ)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 (numbers, and no paths)
    ask("test", SERVER, environ=programs.environ)
    refused(programs, "bad")
    refused(programs, "missing")
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208 (likewise)
