"""A way to push, and where a run takes place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.benchmarks.daemons import Daemons
    from tests.benchmarks.images import Push
    from tests.benchmarks.measuring import Cost, Launcher
    from tests.benchmarks.places import Place

    Run = Callable[[Sequence[Push]], Cost]
    """Pushes all of it, and gives what that took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where a run takes place.

    Attributes:
        directory: of its own, empty.
        launcher: what runs programs.
        daemons: what runs daemons.
        place: where it pushes to.
        cores: the client's; None for all.
    """

    directory: Path
    launcher: Launcher
    daemons: Daemons
    place: Place
    cores: frozenset[int] | None

    def run(
        self, commands: Sequence[Sequence[str | Path]], environment: Mapping[str, str], *, together: int = 1
    ) -> Cost:
        """Run programs to their ends."""
        output = self.directory / "output.log"
        return self.launcher.run(commands, output=output, environment=environment, cores=self.cores, together=together)


class Way(Protocol):
    """A way to push."""

    @property
    def name(self) -> str:
        """As the table has it."""
        ...

    @property
    def tool(self) -> str:
        """Whose way it is: pushd, crane, skopeo."""
        ...

    def ready(self, stage: Stage) -> AbstractContextManager[Run]:
        """Get ready, knowing nothing of what was pushed before; stay so for the length of a block."""
        ...
