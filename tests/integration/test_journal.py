"""The log where operators look for it: a real journald takes it, and journalctl answers what they ask."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pushd.telemetry.journald import message_id
from tests.fakes.faults import Answer, SlowBody
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.traffic import Kind
from tests.integration.daemon import REPOSITORY, Daemon
from tests.integration.parts import run, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fakes.registry import FakeRegistry

GUIDE = REPOSITORY / "deploy/OPERATIONS.md"
JOURNALD = Path("/usr/lib/systemd/systemd-journald")
# With a /run of its own, so that nothing of this machine's is touched, nor of its kernel.
BEGIN = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log
printf '[Journal]\\nStorage=volatile\\nAudit=no\\nReadKMsg=no\\n' >/run/systemd/journald.conf.d/test.conf
"$JOURNALD" </dev/null >/dev/null 2>&1 &
echo $! >"$JOURNALD_PID"
until [ -S /run/systemd/journal/stdout ]; do sleep 0.02; done
exec systemd-cat --identifier=elsewhere sh -c 'JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec "$@"' sh "$@"
"""


class Journaled(Daemon):
    """The daemon as a service manager starts it: its standard error is the journal."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._pid_file = directory / "journald.pid"

    def _started(self, arguments: Sequence[str | Path]) -> Sequence[str | Path]:
        command = [sys.executable, "-m", "pushd", *arguments]
        named = [f"JOURNALD={JOURNALD}", f"JOURNALD_PID={self._pid_file}"]
        return ["unshare", "--mount", "env", *named, "sh", "-c", BEGIN, "sh", *command]

    def journalctl(self, *matches: str) -> list[dict[str, Any]]:
        """Ask the journal."""
        asked = ["journalctl", "--directory=/run/log/journal", "--output=json", "--all", *matches]
        done = run("nsenter", f"--mount=/proc/{self.pid}/ns/mnt", *asked)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def messages(self, *matches: str) -> list[str]:
        """Ask the journal for sentences."""
        return [entry["MESSAGE"] for entry in self.journalctl(*matches)]

    def end_journald(self) -> None:
        """End it as the kernel does when memory runs out."""
        pid = int(self._pid_file.read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z", "journald has ended")

    def start_journald(self) -> None:
        """Start it again, where it was."""
        script = '"$1" </dev/null >/dev/null 2>&1 & echo $! >"$2"'
        inside = ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt"]
        assert run(*inside, "sh", "-c", script, "sh", JOURNALD, self._pid_file).returncode == 0

    def discard(self) -> None:
        if self._pid_file.exists():
            os.kill(int(self._pid_file.read_text()), signal.SIGTERM)
        super().discard()


@pytest.fixture
def journaled(served: FakeRegistry, tmp_path: Path) -> Iterator[Journaled]:
    if not JOURNALD.exists():
        if os.environ.get("PUSHD_TEST_REQUIRE") == "1":
            pytest.fail("journald is not installed, and PUSHD_TEST_REQUIRE=1 says that it must be")
        pytest.skip("journald is not installed")
    trial = run("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/run")
    if trial.returncode != 0:
        pytest.skip(f"a /run of its own cannot be had here: {trial.stderr.strip()}")
    directory = tmp_path / "daemon"
    directory.mkdir()
    daemon = Journaled(directory)
    try:
        daemon.start(f'[registries."{served.address}"]\nupload = "chunked"\nchunk_size = "1MiB"\n')
        yield daemon
        daemon.close()
    finally:
        daemon.discard()


def test_journalctl_answers_what_operators_ask(journaled: Journaled, served: FakeRegistry, tmp_path: Path) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1", layers=[3000, 300])])
    source = f"oci:{layout.path}:1"
    good = journaled.submit(source, f"{served.address}/team/app:1")
    assert journaled.wait(good)["state"] == "succeeded"
    again = journaled.submit(source, f"{served.address}/team/app:2")
    assert journaled.wait(again)["state"] == "succeeded"
    served.misbehave(Answer(status=403), kind=Kind.OPEN, times=None)
    bad = journaled.submit(f"oci:{build_layout(tmp_path / 'b', [ImageSpec(tag='1')]).path}:1", f"{served.address}/x:1")
    assert journaled.wait(bad)["state"] == "failed"
    wait_until(lambda: bool(journaled.journalctl("PUSHD_EVENT=job.finished", f"PUSHD_JOB={bad}")), "it is written")

    # Everything about one job, in order, and nothing of the others.
    names = [entry["PUSHD_EVENT"] for entry in journaled.journalctl(f"PUSHD_JOB={good}")]
    assert names[0] == "job.submitted"
    assert names[-2:] == ["delivery.succeeded", "job.finished"]
    assert names.count("transfer.finished") == 3
    # What failed, and why.
    (failed,) = journaled.journalctl("--priority=err")
    assert (failed["PUSHD_EVENT"], failed["PUSHD_JOB"], failed["PRIORITY"]) == ("delivery.failed", bad, "3")
    assert failed["PUSHD_CODE"] == "registry.denied"
    assert failed["MESSAGE"] == f"to {served.address}/x:1 failed: {failed['PUSHD_REASON']}"
    # What went to a registry, and how much was sent there.
    ended = journaled.journalctl("PUSHD_EVENT=delivery.succeeded", f"PUSHD_REGISTRY={served.address}")
    assert [entry["PUSHD_JOB"] for entry in ended] == [good, again]
    assert int(ended[0]["PUSHD_SENT"]) >= 3300
    assert (ended[0]["PUSHD_UPLOADED"], ended[1]["PUSHD_SENT"], ended[1]["PUSHD_PRESENT"]) == ("3", "0", "3")
    # The same event in every release, by its number.
    assert journaled.journalctl(f"MESSAGE_ID={message_id('job.finished')}") == journaled.journalctl(
        "PUSHD_EVENT=job.finished"
    )
    # Everything of the service's own is under its name, and nothing came by way of standard error.
    started, *_ = journaled.journalctl("--identifier=pushd")
    assert started["PUSHD_EVENT"] == "daemon.started"
    assert started["_PID"] == str(journaled.pid)
    assert journaled.journalctl("--identifier=elsewhere") == []


def test_a_journald_that_dies_and_comes_back_costs_no_line_and_no_job(
    journaled: Journaled, served: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app", [ImageSpec(tag="1")])
    journaled.end_journald()
    job = journaled.submit(f"oci:{layout.path}:1", f"{served.address}/team/app:1")
    assert journaled.wait(job)["state"] == "succeeded"
    journaled.start_journald()
    wait_until(lambda: bool(journaled.journalctl("PUSHD_EVENT=job.finished")), "what waited was written")
    names = [entry["PUSHD_EVENT"] for entry in journaled.journalctl(f"PUSHD_JOB={job}")]
    assert names[0] == "job.submitted"
    assert names[-1] == "job.finished"


def questions(guide: Path) -> Iterator[str]:
    """Give what the guide types at a prompt to ask the journal, each with the lines it goes on in."""
    text = guide.read_text().replace("\\\n", "")
    for line in text.splitlines():
        if line.startswith("    $ journalctl "):
            yield line.removeprefix("    $ ")


def ask(daemon: Journaled, command: str) -> str:
    """Type a command where the daemon's journal is, and give what it shows."""
    here = 'journalctl() { command journalctl --directory=/run/log/journal --quiet "$@"; }\n'
    shell = [
        "nsenter",
        f"--mount=/proc/{daemon.pid}/ns/mnt",
        "env",
        "SYSTEMD_PAGER=cat",
        "COLUMNS=200",
        "bash",
        "-o",
        "pipefail",
    ]
    done = run(*shell, "-c", here + command)
    assert (done.returncode, done.stderr) == (0, ""), (command, done.stderr)
    return done.stdout


def test_the_guide_asks_the_journal_what_it_can_answer(
    journaled: Journaled, served: FakeRegistry, tmp_path: Path
) -> None:
    large = build_layout(tmp_path / "app", [ImageSpec(tag="1", layers=[16 << 20])])
    small = build_layout(tmp_path / "tool", [ImageSpec(tag="1", layers=[3000])])
    served.misbehave(SlowBody(rate=16 << 20), method="PATCH", times=None)
    resumed = journaled.submit(f"oci:{large.path}:1", f"{served.address}/team/app:1.4")
    wait_until(lambda: served.received > 4 << 20, "some of it has arrived")
    journaled.request("POST", f"/v1/jobs/{resumed}/pause")
    wait_until(lambda: journaled.job(resumed)["deliveries"][0]["state"] == "paused", "it is paused")
    journaled.request("POST", f"/v1/jobs/{resumed}/resume")
    assert journaled.wait(resumed)["state"] == "succeeded"
    there = journaled.submit(f"oci:{large.path}:1", f"{served.address}/team/app:latest")
    assert journaled.wait(there)["state"] == "succeeded"
    served.misbehave(Answer(status=403), kind=Kind.OPEN)
    failed = journaled.submit(f"oci:{small.path}:1", f"{served.address}/tools/tool:2")
    assert journaled.wait(failed)["state"] == "failed"
    served.misbehave(Answer(status=429, headers={"Retry-After": "600"}), kind=Kind.OPEN)
    journaled.submit(f"oci:{small.path}:1", f"{served.address}/team/tool:2")
    wait_until(lambda: bool(journaled.journalctl("PUSHD_EVENT=delivery.held")), "it waits")
    asked = list(questions(GUIDE))
    assert len(asked) >= 10
    names = {"7q2m6zvkx3dt": resumed, "registry.example.com": served.address, "--since today": "--since -1h"}
    for command in asked:
        typed = command
        for name, here in names.items():
            typed = typed.replace(name, here)
        assert ask(journaled, typed).strip(), command
    # What the answers are about, where it can be said beforehand.
    (story, failures, *_) = (ask(journaled, command.replace("7q2m6zvkx3dt", resumed)) for command in asked)
    assert story.splitlines()[0].startswith(f"job {resumed}: oci:{large.path}:1 to 1 destinations, ")
    assert story.splitlines()[-1].startswith(f"job {resumed} succeeded in ")
    assert failures.count("\n") == 1
    assert f"to {served.address}/tools/tool:2 failed: " in failures
