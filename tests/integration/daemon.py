"""The daemon as a process of its own, with everything a test wants to ask it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.parts import run, tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).parents[2]

STOP = 30.0
"""Seconds the daemon may take to stop: `TimeoutStopSec` of the unit."""

TERMINAL = frozenset({"succeeded", "partial", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in bytes: now, and at its highest."""

    now: int
    peak: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered; `body` is the JSON of it, or the text when it is none."""

    status: int
    headers: dict[str, str]
    body: Any


class Daemon:
    """`python -m pushd` over a socket and a state directory that outlive it.

    Attributes:
        socket: the path of its socket; short, because a socket's address holds 107 bytes.
        state: its state directory.
        log: its standard error, of all its lives.
    """

    def __init__(self, directory: Path) -> None:
        self._short = Path(tempfile.mkdtemp(prefix="pushd-"))
        self.socket = self._short / "pushd.sock"
        self.state = directory / "state"
        self.log = directory / "daemon.log"
        self._config = directory / "pushd.toml"
        self._home = directory / "home"
        self._home.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self._passed: Sequence[int] = ()

    # ------------------------------------------------------------------------------------------ life cycle

    def start(self, config: str = "") -> None:
        """Start it with this configuration (TOML), and wait until it answers."""
        self.launch(config)
        wait_until(self._answers, "the daemon answers")

    def launch(self, config: str = "") -> None:
        """Start it with this configuration (TOML), and wait for nothing.

        Of the machine's own configuration and credentials it sees nothing.
        """
        self._config.write_text(config)
        arguments: list[str | Path] = ["--config", self._config, "--socket", self.socket, "--state-dir", self.state]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._started(arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self._short,
                pass_fds=self._passed,
            )

    def _started(self, arguments: Sequence[str | Path]) -> Sequence[str | Path]:
        """Give the command that runs it."""
        return [sys.executable, "-m", "pushd", *arguments]

    def kill(self) -> int:
        """End it with SIGKILL, as the kernel does when memory runs out; give its exit code, -9 unless it was faster."""
        process = self._running()
        process.kill()
        code = process.wait(10)
        self._process = None
        return code

    def terminate(self) -> int:
        """End it with SIGTERM; give its exit code."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the daemon did not stop within {STOP:g} s of SIGTERM:\n{tail(self.log)}")
        self._process = None
        return code

    def close(self) -> None:
        """Stop it when it runs, and demand exit code 0."""
        if self._process is not None:
            assert self.terminate() == 0, tail(self.log)

    def discard(self) -> None:
        """End it whatever it does, and clear up."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._short, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    @property
    def environment(self) -> dict[str, str]:
        """What processes under test see: this checkout, an empty home, and no configuration of this machine."""
        kept = {
            name: value for name, value in os.environ.items() if not re.match(r"PUSHD_|XDG_|DOCKER_|REGISTRY_", name)
        }
        return kept | {
            "HOME": str(self._home),
            "DOCKER_CONFIG": str(self._home / ".docker"),
            "XDG_RUNTIME_DIR": str(self._home),
            "PYTHONPATH": str(REPOSITORY),
            "PUSHD_SOCKET": str(self.socket),
        }

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise AssertionError("the daemon does not run")
        return self._process

    def _answers(self) -> bool:
        if self._running().poll() is not None:
            code, self._process = self._running().returncode, None
            pytest.fail(f"the daemon ended with {code} before it was ready:\n{tail(self.log)}")
        try:
            return self.request("GET", "/v1/status").status == http.HTTPStatus.OK
        except OSError:
            return False

    # ------------------------------------------------------------------------------------------- questions

    def request(self, method: str, path: str, body: object = None, *, timeout: float = 60, **headers: str) -> Answer:
        """Ask the API; in the names of `headers`, `_` stands for `-`."""
        connection = _UnixConnection(self.socket, timeout)
        content = None if body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if content is not None:
            named.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, content, named)
            reply = connection.getresponse()
            text = reply.read().decode()
        finally:
            connection.close()
        try:
            document = json.loads(text)
        except ValueError:
            document = text
        return Answer(reply.status, dict(reply.getheaders()), document)

    def submit(self, source: str, *destinations: str, **more: object) -> str:
        """Submit a job; give its id."""
        answer = self.request("POST", "/v1/jobs", {"source": source, "destinations": destinations, **more})
        assert answer.status == http.HTTPStatus.ACCEPTED, answer
        return str(answer.body["id"])

    def job(self, job_id: str) -> Any:
        """Give the job as it is."""
        answer = self.request("GET", f"/v1/jobs/{job_id}")
        assert answer.status == http.HTTPStatus.OK, answer
        return answer.body

    def wait(self, job_id: str, seconds: float = 60) -> Any:
        """Wait for the end of a job and give it; fail when it has not ended after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            left = max(end - time.monotonic(), 0)
            answer = self.request("GET", f"/v1/jobs/{job_id}/wait?timeout={left:.1f}", timeout=left + 30)
            assert answer.status == http.HTTPStatus.OK, answer
            if answer.body["state"] in TERMINAL:
                return answer.body
            if left == 0:
                pytest.fail(f"job {job_id} has not ended after {seconds:g} s: {answer.body}\n{tail(self.log)}")

    def ctl(self, *arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `pushctl` to its end, whatever its exit code."""
        return run(sys.executable, "-m", "pushd.ctl", *arguments, timeout=timeout, environment=self.environment)

    def spooled(self) -> list[Path]:
        """Give the entries of the spool, and what is left over of some; what is kept for the next image is neither."""
        return [path for path in (self.state / "spool").iterdir() if path.name != "packed"]

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Give the events in the log, of all its lives; each line must be one JSON object."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if name is None or line["event"] == name]

    def memory(self) -> Memory:
        """Give its resident memory (proc(5), status)."""
        fields = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text()))
        return Memory(now=int(fields["VmRSS"]) << 10, peak=int(fields["VmHWM"]) << 10)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.close()
            raise
