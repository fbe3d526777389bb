"""The servers of the suite from outside: each is a process of its own, as `standby` has it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.benchmarks.counts import Counts
from tests.integration.daemon import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Server:
    """One of them, from outside.

    Args:
        module: of the suite.
        arguments: for it.

    Attributes:
        addresses: `host:port` of each place it listens at.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._name = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            cwd=REPOSITORY,
        )
        self.addresses: Sequence[str] = json.loads(self._line())

    def counts(self) -> Counts:
        """Ask what it has counted so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Counts.decode(self._line())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a server of the suite, {self._name}, ended with {self._process.wait()}")
        return line


@contextmanager
def serving(module: str, *arguments: str) -> Iterator[Server]:
    """Run one for the length of a block."""
    server = Server(module, *arguments)
    try:
        yield server
    finally:
        server.close()
