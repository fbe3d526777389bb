"""The daemons that are measured: one for each run, which knows nothing of any other."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.benchmarks import images
from tests.benchmarks.cores import confined
from tests.benchmarks.images import Push
from tests.benchmarks.serving import serving
from tests.integration.daemon import Daemon
from tests.integration.parts import tail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from tests.benchmarks.places import Place

_TINY = [300]


def stream(daemon: Daemon) -> Path:
    """Give the socket by which nobody names paths: whoever comes by it is one whose files the daemon cannot read."""
    return daemon.socket.with_name("stream.sock")


class Daemons:
    """Gives them out.

    Args:
        directory: for what they push before they are measured.
        keep: whether one daemon does for all runs it can be used for, which is quick and measures nothing.
    """

    def __init__(self, directory: Path, *, keep: bool) -> None:
        self._directory = directory
        self._keep = keep
        self._kept: Daemon | None = None
        self._numbers = count(1)
        self._stack = ExitStack()
        (self._tiny,) = images.one(directory / "tiny", _TINY)
        (self._elsewhere,) = self._stack.enter_context(serving("sink")).addresses

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @contextmanager
    def ready(self, place: Place, cores: frozenset[int] | None) -> Iterator[Daemon]:
        """Have one for the length of a block, with a state of its own, that has pushed one tiny image elsewhere.

        It is a service that runs for months: the loading of its code at its first push is not what is measured. Of
        the images and registries of the run it knows nothing.

        Args:
            place: where it is to push to.
            cores: where it runs; None for everywhere.
        """
        if not self._keep or place.ca is not None:
            with self._started(place, cores) as daemon:
                yield daemon
            return
        if self._kept is None:
            self._kept = self._stack.enter_context(self._started(place, None))
        yield self._kept

    @contextmanager
    def _started(self, place: Place, cores: frozenset[int] | None) -> Iterator[Daemon]:
        with tempfile.TemporaryDirectory(prefix="daemon-", dir=self._directory) as directory:
            daemon = Daemon(Path(directory))
            try:
                with confined(cores):
                    daemon.start(_config(daemon, place))
                self._warm_up(daemon)
                yield daemon
                daemon.close()
            finally:
                daemon.discard()

    def _warm_up(self, daemon: Daemon) -> None:
        image = replace(self._tiny, repository=f"tiny/{next(self._numbers)}")
        push = Push(image, [self._elsewhere])
        ended = daemon.wait(daemon.submit(push.source, *push.destinations))
        assert ended["state"] == "succeeded", f"{ended}\n{tail(daemon.log)}"


def _config(daemon: Daemon, place: Place) -> str:
    tables = [f'[sockets.stream]\npath = "{stream(daemon)}"\nrole = "administrator"\n']
    if place.ca is not None:
        tables += [f'[registries."{it}"]\nplain_http = false\nca = "{place.ca}"\n' for it in place.addresses]
    return "\n".join(tables)
