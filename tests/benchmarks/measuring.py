"""What a push cost: of programs that end, and of the daemon, which does not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.integration.parts import tail

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from types import TracebackType

    from tests.integration.daemon import Daemon

_LAUNCHER = Path(__file__).with_name("launcher.py")
_FORGET_PEAK = "5"
"""What `/proc/PID/clear_refs` takes for setting the peak of resident memory to what it is now (proc(5))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was spent.

    Attributes:
        wall: seconds.
        cpu: seconds, of all processes of the client.
        memory: bytes resident at the most: of the daemon, or of the largest process of a tool that has none.
    """

    wall: float
    cpu: float
    memory: int


class CommandFailed(Exception):  # noqa: N818 (what happened, not what kind of class it is)
    """A program that was measured did not do its work."""


class Launcher:
    """What runs programs: `launcher.py`, from outside."""

    def __init__(self) -> None:
        # Isolated and without site: it is to be smaller than anything it starts.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", _LAUNCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        if kind is not None:
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def run(
        self,
        commands: Sequence[Sequence[str | Path]],
        *,
        output: Path,
        environment: Mapping[str, str],
        cores: Collection[int] | None = None,
        together: int = 1,
    ) -> Cost:
        """Run programs to their ends.

        Args:
            commands: each a program with its arguments.
            output: a file that gets what they print.
            environment: theirs.
            cores: where they run; None for everywhere.
            together: how many at a time.

        Raises:
            CommandFailed: one of them ended with another code than 0.
        """
        words = [[str(word) for word in command] for command in commands]
        batch = {
            "commands": words,
            "together": together,
            "environment": dict(environment),
            "output": str(output),
            "cores": None if cores is None else sorted(cores),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(batch) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        for command, code in zip(words, answer["codes"], strict=True):
            if code != 0:
                raise CommandFailed(f"{' '.join(command)} ended with {code}:\n{tail(output)}")
        return Cost(wall=answer["wall"], cpu=answer["cpu"], memory=answer["memory"])


def cpu_of(pid: int) -> float:
    """Give the CPU seconds a process has used, all its threads together.

    From its CPU clock (clock_getcpuclockid(3) on Linux), which counts nanoseconds where /proc counts hundredths.
    """
    return time.clock_gettime((~pid << 3) | 2)


class Meter:
    """What the daemon spends from here on."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        Path(f"/proc/{daemon.pid}/clear_refs").write_text(_FORGET_PEAK)
        self._cpu = cpu_of(daemon.pid)

    def read(self, submitter: Cost) -> Cost:
        """Give it, together with what who submitted has spent."""
        cpu = cpu_of(self._daemon.pid) - self._cpu
        return Cost(wall=submitter.wall, cpu=cpu + submitter.cpu, memory=self._daemon.memory().peak)
