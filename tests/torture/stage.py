"""The parts of a run: a daemon, a registry, and the network between them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.integration.daemon import Daemon
from tests.integration.parts import RealRegistry
from tests.torture.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stage:
    """What is on it.

    Attributes:
        config: what the daemon was started with, and is to be started with again.
    """

    daemon: Daemon
    registry: RealRegistry
    proxy: Proxy
    config: str


@contextmanager
def stage(
    directory: Path, program: str, *, rate: float | None = None, delay: float = 0.0, config: str = ""
) -> Iterator[Stage]:
    """Give a running daemon and a registry run from `program`, with everything of theirs below `directory`.

    In `config`, `{registry}` stands for the registry's name as the daemon knows it. `rate` and `delay` are the
    network's (see `Proxy`).
    """
    (directory / "registry").mkdir(parents=True)
    (directory / "daemon").mkdir()
    with ExitStack() as stack:
        registry = RealRegistry("registry", program, directory / "registry")
        stack.callback(registry.stop)
        registry.start()
        proxy = stack.enter_context(Proxy(registry.address, rate=rate, delay=delay))
        daemon = Daemon(directory / "daemon")
        stack.callback(daemon.discard)
        config = config.replace("{registry}", proxy.address)
        daemon.start(config)
        yield Stage(daemon, registry, proxy, config)
