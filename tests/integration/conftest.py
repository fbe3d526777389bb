"""Fixtures over real parts: registries and the daemon, each a process, each ended by its process id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from tests.fakes.registry import FakeRegistry
from tests.integration.daemon import Daemon
from tests.integration.parts import DISTRIBUTION_2, DISTRIBUTION_3, RealRegistry, tail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


NAMES = {DISTRIBUTION_2: "distribution-2", DISTRIBUTION_3: "distribution-3"}


@pytest.fixture(params=NAMES, ids=NAMES.get)
def real_registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealRegistry]:
    """Give each of the real registries in turn, empty, on a free port."""
    directory = tmp_path / "registry"
    directory.mkdir()
    real = RealRegistry(NAMES[request.param], request.param.find(), directory)
    try:
        real.start()
        yield real
    finally:
        real.stop()
        print(f"--- the end of {real.log}:\n{tail(real.log)}")  # noqa: T201 (pytest shows it with a failure)


@pytest.fixture
def served() -> Iterator[FakeRegistry]:
    """Give the fake registry, served from a thread: these tests block."""
    with FakeRegistry().in_thread() as fake:
        yield fake


class StartDaemon(Protocol):
    """Starts the daemon with a configuration in TOML."""

    def __call__(self, config: str = "") -> Daemon: ...


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """Give what starts the one daemon of a test; at the end SIGTERM must end it with 0."""
    directory = tmp_path / "daemon"
    directory.mkdir()
    daemon = Daemon(directory)

    def start(config: str = "") -> Daemon:
        daemon.start(config)
        return daemon

    try:
        yield start
        daemon.close()
    finally:
        daemon.discard()
        print(f"--- the end of {daemon.log}:\n{tail(daemon.log)}")  # noqa: T201 (pytest shows it with a failure)


@pytest.fixture
def daemon(start_daemon: StartDaemon) -> Daemon:
    """Give a running daemon with nothing configured."""
    return start_daemon()
