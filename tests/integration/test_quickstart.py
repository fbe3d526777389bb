"""The quickstart is the first thing anyone tries: it works from nothing, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

# A fresh cache means a virtual environment from the network.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the quickstart works; its socket's path must stay below 108 bytes."""
    return tmp_path_factory.mktemp("q")


def start(work: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PUSHD_SOCKET")}
    environment |= {"TMPDIR": str(work), "PYTHON": sys.executable, "XDG_CONFIG_HOME": str(work / "no-configuration")}
    return subprocess.Popen(
        ["bash", str(ROOT / "deploy" / "quickstart.sh"), *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def lines_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Give what it says up to a line that matches."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if re.search(pattern, line):
            return said
    pytest.fail(f"it ended without {pattern!r}:\n{said}")


def processes(work: Path) -> list[str]:
    """Give the command lines of all processes that speak of the directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:  # it ended meanwhile
            continue
        if os.fsencode(work) in command:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


def wait_for_silence(work: Path) -> None:
    end = time.monotonic() + 40
    while processes(work) and time.monotonic() < end:
        time.sleep(0.1)
    assert processes(work) == []


def test_it_pushes_an_image_reads_it_back_and_leaves_nothing(work: Path) -> None:
    process = start(work)
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said
    counted = re.search(r"^(\d+) of (\d+) digests agree with the layout$", said, re.MULTILINE)
    assert counted is not None, said
    assert counted[1] == counted[2]
    assert '"event":"job.finished"' in said
    wait_for_silence(work)
    assert list(work.iterdir()) == []


def test_interrupted_it_leaves_nothing_either(work: Path) -> None:
    process = start(work)
    lines_until(process, r"pushctl push")
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    wait_for_silence(work)
    assert list(work.iterdir()) == []


def test_a_push_that_fails_is_told_with_the_daemons_last_words_and_leaves_nothing(work: Path) -> None:
    process = start(work, "--registry", "127.0.0.1:1")  # tcpmux: nobody listens there
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 1, said
    assert "This did not work." in said
    assert '"event":"delivery.failed"' in said
    wait_for_silence(work)
    assert list(work.iterdir()) == []


@pytest.fixture
def kept(work: Path) -> Iterator[str]:
    """What a quickstart with --keep said; what it left running is stopped as it says."""
    process = start(work, "--keep")
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said
    yield said
    stop = re.search(r"^ +(kill .*)$", said, re.MULTILINE)
    assert stop is not None, said
    subprocess.run(["bash", "-c", stop[1]], check=True)
    wait_for_silence(work)
    assert list(work.iterdir()) == []


def test_kept_it_goes_on_as_it_says_and_stops_as_it_says(kept: str) -> None:
    export = re.search(r"^ +(export .*)$", kept, re.MULTILINE)
    push = re.search(r"^ +(pushctl push .*)$", kept, re.MULTILINE)
    assert export is not None
    assert push is not None
    done = subprocess.run(["bash", "-c", f"{export[1]}; {push[1]}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
