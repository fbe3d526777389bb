"""The daemon as a service: how it starts, stands beside others, stops, and what it tells an operator who erred."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from pushd import __version__
from pushd.store import open_store
from tests.fakes.faults import SlowBody, Stall
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.traffic import Kind
from tests.integration.daemon import Daemon
from tests.integration.parts import run, tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fakes.registry import FakeRegistry
    from tests.integration.conftest import StartDaemon

MIB = 1 << 20
PROMPT = 4.0
"""Seconds in which a daemon that waits for nobody has stopped, less than it would wait for any request."""


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Daemon]:
    """Everything a daemon needs, none running."""
    directory = tmp_path / "idle"
    directory.mkdir()
    daemon = Daemon(directory)
    yield daemon
    daemon.discard()


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A small filesystem, in which the database has just the room it takes at its usual size."""
    directory = tmp_path / "tiny"
    directory.mkdir()
    mounted = run("mount", "-t", "tmpfs", "-o", "size=16m,mode=0755", "none", directory)
    if mounted.returncode != 0:
        pytest.skip(f"a small filesystem cannot be mounted here: {mounted.stderr.strip()}")
    yield directory
    # Lazily: when a test fails, its daemon is still in there.
    assert run("umount", "--lazy", directory).returncode == 0


def fill(directory: Path) -> Path:
    """Use up a filesystem; give the file that does."""
    filler = directory / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return filler


def command(daemon: Daemon, *more: str | Path) -> list[str | Path]:
    """Give the command line of a daemon in the place of this one; what is given more goes first."""
    return [sys.executable, "-m", "pushd", "--socket", daemon.socket, "--state-dir", daemon.state, *more]


def refusal(daemon: Daemon, *more: str | Path) -> str:
    """Start what cannot start; give the one line it says."""
    ended = run(*command(daemon, *more), environment=daemon.environment, timeout=30)
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.startswith("pushd: ")
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr.strip()


def stop(daemon: Daemon, *numbers: signal.Signals) -> int:
    """Send signals, each when the one before was heard; give the exit code."""
    process = daemon._running()
    for number in numbers:
        process.send_signal(number)
        wait_until(lambda: process.poll() is not None or bool(daemon.events("daemon.stopping")), "it was heard")
    code = process.wait(30)
    daemon._process = None
    return code


def stopped_in(daemon: Daemon) -> float:
    """Give the seconds its last life took to stop."""
    return float(daemon.events("daemon.stopped")[-1]["seconds"])


def caller(path: Path, *, timeout: float = 30) -> socket.socket:
    """Connect to a socket."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    connection.connect(os.fsencode(path))
    return connection


def said(connection: socket.socket) -> bytes:
    """Read a connection to its end."""
    content = b""
    while piece := connection.recv(1 << 16):
        content += piece
    return content


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: pushd\r\nConnection: close\r\n\r\n".encode()


def body_of(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer
    return body


# --------------------------------------------------------------------------------------------------------- stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_daemon_stops_at_once_with_0_and_takes_its_socket_with_it(
    daemon: Daemon, number: signal.Signals
) -> None:
    assert stop(daemon, number) == 0
    assert stopped_in(daemon) < PROMPT
    assert not daemon.socket.exists()
    assert [line["event"] for line in daemon.events()] == ["daemon.started", "daemon.stopping", "daemon.stopped"]


def test_it_stops_soon_whoever_is_connected_and_the_next_life_finishes_the_job(
    start_daemon: StartDaemon, served: FakeRegistry, tmp_path: Path
) -> None:
    config = f'[registries."{served.address}"]\nupload = "chunked"\nchunk_size = {MIB}\n'
    slow = served.misbehave(SlowBody(rate=2 * MIB), kind=Kind.CHUNK, times=None)
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[16 * MIB])])
    daemon = start_daemon(config)
    job = daemon.submit(f"oci:{layout.path}:1.4", f"{served.address}/team/app:1.4")
    wait_until(lambda: slow.acted > 1, "chunks are on their way")
    with ExitStack() as connections, ThreadPoolExecutor() as readers:

        def ask(request: bytes) -> socket.socket:
            connection = connections.enter_context(caller(daemon.socket))
            connection.sendall(request)
            return connection

        streams = [ask(get("/v1/events")), ask(get(f"/v1/events?job={job}"))]
        polls = [ask(get(f"/v1/jobs/{job}/wait?timeout=600")) for _ in range(2)]
        mute = [ask(b""), ask(b"GET /v1/status HTTP/1.1\r\nHo")]
        for stream in streams:
            assert stream.recv(1, socket.MSG_PEEK)
        time.sleep(0.2)  # for the polls to be held; nothing shows that from here
        answers = [readers.submit(said, connection) for connection in (*streams, *polls, *mute)]
        assert stop(daemon, signal.SIGTERM) == 0
        assert stopped_in(daemon) < PROMPT
        told = [answer.result(10) for answer in answers]
    for stream_end in told[:2]:
        assert stream_end.endswith(b"\r\n0\r\n\r\n"), "an end that the reader can tell from a broken connection"
    for poll in told[2:4]:
        assert json.loads(body_of(poll))["state"] in ("running", "queued")
    assert daemon.events("daemon.stopping")[0]["running"] == 1
    slow.times = 0
    daemon.start(config)
    assert daemon.events("daemon.started")[-1]["epoch"] == 2
    assert daemon.wait(job)["state"] == "succeeded"
    assert served.repository("team/app").tags == {"1.4": str(layout.image.digest)}
    assert not daemon.events("daemon.fault")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_where_it_stands_and_the_next_life_goes_on(
    daemon: Daemon, served: FakeRegistry, tmp_path: Path, second: signal.Signals
) -> None:
    stalled = served.misbehave(Stall(), kind=Kind.CHUNK)
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[6 * MIB])])
    job = daemon.submit(f"oci:{layout.path}:1.4", f"{served.address}/team/app:1.4")
    wait_until(lambda: stalled.acted == 1, "the registry has stalled")
    started = time.monotonic()
    assert stop(daemon, signal.SIGTERM, second) == -second, "the first one waits for the upload to reach a boundary"
    assert time.monotonic() - started < 10
    assert not daemon.events("daemon.stopped")  # which also reads every line: none is a traceback
    assert daemon.socket.is_socket(), "nobody was left to remove it"
    daemon.start()
    assert daemon.wait(job)["state"] == "succeeded"


def test_a_request_that_never_ends_holds_up_the_stop_for_seconds_only(daemon: Daemon) -> None:
    with caller(daemon.socket) as slow:
        slow.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: pushd\r\nContent-Type: application/json\r\n")
        slow.sendall(b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n")
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        assert stop(daemon, signal.SIGTERM) == 0
        assert stopped_in(daemon) < 10
    assert not daemon.events("daemon.fault")


# ------------------------------------------------------------------------------------------------------ neighbours


def test_a_second_daemon_on_the_socket_is_refused_and_the_first_serves_on(daemon: Daemon, tmp_path: Path) -> None:
    line = refusal(daemon, "--state-dir", tmp_path / "other")
    assert f"{daemon.socket}: another daemon serves this socket" in line
    assert not (tmp_path / "other").exists()
    assert daemon.request("GET", "/v1/status").status == 200


def test_a_second_daemon_on_the_state_is_refused_and_told_the_pid_of_the_first(daemon: Daemon) -> None:
    other = daemon.socket.with_name("other.sock")
    line = refusal(daemon, "--socket", other)
    assert f"{daemon.state}: another daemon (pid {daemon.pid})" in line
    assert not other.exists()
    assert daemon.request("GET", "/v1/status").status == 200


def test_of_two_daemons_started_at_the_same_moment_exactly_one_stays(idle: Daemon) -> None:
    with ExitStack() as ended:
        both = []
        for _ in range(2):
            process = subprocess.Popen(
                command(idle), env=idle.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            both.append(process)
            ended.callback(process.wait, 10)
            ended.callback(process.terminate)
        wait_until(lambda: any(process.poll() is not None for process in both), "one gave up")
        (loser,) = (process for process in both if process.poll() is not None)
        (winner,) = (process for process in both if process is not loser)
        assert loser.returncode == 1
        assert loser.stderr is not None
        assert "another daemon" in loser.stderr.read()
        loser.stderr.close()
        wait_until(idle.socket.exists, "the other one listens")
        status = idle.request("GET", "/v1/status")
        assert status.body["pid"] == winner.pid
        winner.terminate()
        winner.communicate(timeout=10)
        assert winner.returncode == 0


def test_many_callers_at_once_wait_for_a_busy_daemon_and_are_not_turned_away(daemon: Daemon) -> None:
    daemon_pid = daemon.pid
    os.kill(daemon_pid, signal.SIGSTOP)
    try:
        with ExitStack() as callers:
            # With a timeout connect(2) does not wait for a place in the kernel's queue; pushctl has one.
            for _ in range(500):
                callers.enter_context(caller(daemon.socket))
            last = callers.enter_context(caller(daemon.socket))
            last.sendall(get("/v1/jobs"))
            os.kill(daemon_pid, signal.SIGCONT)
            assert json.loads(body_of(said(last))) == {"jobs": [], "next": None}
    finally:
        os.kill(daemon_pid, signal.SIGCONT)


# ---------------------------------------------------------------------------------------------- socket activation


def test_systemd_starts_it_on_the_first_request_and_keeps_the_socket(idle: Daemon) -> None:
    activate = shutil.which("systemd-socket-activate")
    if activate is None:
        pytest.skip("systemd-socket-activate is not installed")
    theirs = idle.socket.with_name("theirs.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, idle.log.open("ab") as log:
        manager.bind(str(idle.socket.with_name("notify")))
        manager.settimeout(15)
        environment = idle.environment | {"NOTIFY_SOCKET": manager.getsockname()}
        process = subprocess.Popen(
            [activate, "--listen", theirs, *(f"--setenv={name}" for name in environment), *command(idle)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            wait_until(theirs.is_socket, "it listens for us")
            with caller(theirs) as connection:
                connection.sendall(get("/v1/status"))
                status = json.loads(body_of(said(connection)))
            assert status["pid"] == process.pid
            assert status["socket"] == str(theirs), "what is served, not what was configured"
            assert manager.recv(4096).decode().splitlines() == ["READY=1", f"STATUS=serving {theirs}"]
            process.terminate()
            assert manager.recv(4096) == b"STOPPING=1"
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait(10)
    assert theirs.is_socket()
    assert not idle.socket.exists()


# ------------------------------------------------------------------------------------------------ operator's errors


def test_it_says_its_version_and_its_options(idle: Daemon) -> None:
    version = run(sys.executable, "-m", "pushd", "--version", environment=idle.environment)
    assert (version.returncode, version.stdout, version.stderr) == (0, f"pushd {__version__}\n", "")
    options = run(sys.executable, "-m", "pushd", "--help", environment=idle.environment)
    assert options.returncode == 0
    assert "--state-dir" in options.stdout


def test_a_bad_configuration_is_told_whole_and_nothing_is_touched(idle: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "pushd.toml"
    file.write_text('[limits]\nattemps = 3\n[timeouts]\nstall = "never"\n')
    ended = run(*command(idle, "--config", file), environment=idle.environment)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"pushd: {file}: 2 mistakes\n  line 2: ")
    assert ended.stderr.count("\n") == 3
    assert not idle.state.exists()
    assert not idle.socket.exists()


def garbage(database: Path) -> None:
    database.write_bytes(b"this is no database\n" * 1000)


def truncated(database: Path) -> None:
    sound(database)
    with database.open("r+b") as file:
        file.truncate(database.stat().st_size // 2)


def newer(database: Path) -> None:
    sound(database)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA user_version = 999")


def foreign(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")


def sound(database: Path) -> None:
    async def create() -> None:
        await (await open_store(database.parent, publish=lambda _: None)).close()

    asyncio.run(create())


@pytest.mark.parametrize(
    ("leave", "what", "advice"),
    [
        pytest.param(garbage, "the database is damaged", "restore a backup", id="garbage"),
        pytest.param(truncated, "the database is damaged", "restore a backup", id="truncated"),
        pytest.param(foreign, "another program's data", "restore a backup", id="foreign"),
        pytest.param(newer, "written by a newer pushd", "start the newer release", id="newer"),
    ],
)
def test_a_database_that_cannot_be_used_is_said_so_and_left_as_it_is(
    idle: Daemon, leave: Callable[[Path], None], what: str, advice: str
) -> None:
    idle.state.mkdir()
    database = idle.state / "pushd.db"
    leave(database)
    before = database.read_bytes()
    line = refusal(idle)
    assert f"pushd: {database}: " in line
    assert what in line
    assert advice in line
    assert database.read_bytes() == before
    assert {file.name for file in idle.state.iterdir()} <= {"pushd.db", "pushd.db-sound", "lock"}
    assert not idle.socket.exists()


def test_a_state_directory_that_is_missing_is_made_for_the_owner_alone(idle: Daemon, tmp_path: Path) -> None:
    idle.state = tmp_path / "var" / "lib" / "pushd"
    idle.start()
    assert stat.S_IMODE(idle.state.stat().st_mode) == 0o700
    idle.close()


def test_a_state_directory_that_cannot_be_written_is_said_so(idle: Daemon, tiny: Path) -> None:
    assert run("mount", "-o", "remount,ro", tiny).returncode == 0
    line = refusal(idle, "--state-dir", tiny)
    assert f"{tiny}/" in line
    assert "Read-only file system" in line
    line = refusal(idle, "--socket", tiny / "pushd.sock")
    assert f"{tiny}/pushd.sock: cannot be listened on" in line
    assert "Read-only file system" in line


def test_a_state_directory_that_is_none_is_said_so(idle: Daemon, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("somebody's")
    assert "file" in refusal(idle, "--state-dir", tmp_path / "file")
    assert "Not a directory" in refusal(idle, "--state-dir", tmp_path / "file" / "state")
    assert (tmp_path / "file").read_text() == "somebody's"


def test_names_that_are_not_utf_8_are_no_reason_not_to_serve(idle: Daemon, tmp_path: Path) -> None:
    idle.socket = idle.socket.with_name(os.fsdecode(b"\xff.sock"))
    idle.state = tmp_path / os.fsdecode(b"\xfe")
    idle.start()
    assert (idle.state / "pushd.db").is_file()
    idle.close()
    assert not idle.socket.exists()


@pytest.mark.parametrize("log", ["/dev/full", "a pipe nobody reads"])
def test_a_log_that_cannot_be_written_costs_the_daemon_nothing(idle: Daemon, log: str) -> None:
    if log == "/dev/full":
        end = os.open(log, os.O_WRONLY)
    else:
        read, end = os.pipe()
        os.close(read)
    process = subprocess.Popen(command(idle), env=idle.environment, stdin=subprocess.DEVNULL, stderr=end)
    os.close(end)
    try:
        wait_until(idle.socket.exists, "it listens")
        assert idle.request("GET", "/v1/status").body["pid"] == process.pid
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)


# ------------------------------------------------------------------------------------------------------- a full disk


def test_a_full_disk_refuses_jobs_clearly_loses_none_and_ends_with_the_shortage(
    idle: Daemon, served: FakeRegistry, tmp_path: Path, tiny: Path
) -> None:
    stalled = served.misbehave(Stall(), kind=Kind.CHUNK)
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1.4", layers=[6 * MIB])])
    body = {"source": f"oci:{layout.path}:1.4", "destinations": [f"{served.address}/team/other:1.4"]}
    idle.state = tiny / "state"
    idle.start("[timeouts]\nstall = 1\n")
    running = idle.submit(f"oci:{layout.path}:1.4", f"{served.address}/team/app:1.4")
    wait_until(lambda: stalled.acted == 1, "the registry has stalled")
    filler = fill(tiny)
    taken: list[str] = []
    while (answer := idle.request("POST", "/v1/jobs", body)).status == 202:  # what the log still has room for
        taken.append(str(answer.body["id"]))
        assert len(taken) < 500
    assert (answer.status, answer.body["code"]) == (507, "store.full")
    assert "the disk is full" in answer.body["detail"]
    assert "free some space" in answer.body["hint"]
    assert idle.request("GET", "/v1/status").status == 200
    assert idle.job(running)["state"] == "running"
    wait_until(lambda: bool(idle.events("store.failed")), "the stalled upload met the full disk", seconds=10)
    assert idle.request("POST", "/v1/jobs", body).status == 507
    filler.unlink()
    taken.append(idle.submit(str(body["source"]), *body["destinations"]))
    for job in (running, *taken):
        assert idle.wait(job)["state"] == "succeeded"
    assert {job["id"] for job in idle.request("GET", "/v1/jobs").body["jobs"]} == {running, *taken}
    assert not idle.events("daemon.fault"), tail(idle.log)
    idle.close()


def test_a_disk_that_is_full_at_the_start_is_one_clear_error(idle: Daemon, tiny: Path) -> None:
    fill(tiny)
    line = refusal(idle, "--state-dir", tiny / "state")
    assert "the disk is full" in line or "No space left" in line
    assert "free some space" in line
