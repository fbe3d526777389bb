"""The peers, as a script would use them."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.parts import CRANE, SKOPEO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.benchmarks.images import Push
    from tests.benchmarks.measuring import Cost
    from tests.benchmarks.way import Run, Stage
    from tests.integration.parts import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """By a command for each image and registry.

    Attributes:
        together: how many at a time.
        program: the command.
        words: gives its arguments: for a source, a destination, and the authority to trust.
    """

    name: str
    tool: str
    program: Tool
    words: Callable[[Push, str, Path | None], Sequence[str | Path]]
    together: int = 1

    @contextmanager
    def ready(self, stage: Stage) -> Iterator[Run]:
        """Give it a home of its own, with nothing in it: what skopeo remembers of registries lies there."""
        home = Path(tempfile.mkdtemp(prefix="home-", dir=stage.directory))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "DOCKER_"))},
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_RUNTIME_DIR": str(home),
            "DOCKER_CONFIG": str(home / "docker"),
            # As root skopeo would use /var/lib/containers/cache, which is the machine's and not ours to clear.
            "_CONTAINERS_ROOTLESS_UID": str(os.getuid() or 65534),
        }
        if stage.place.ca is not None:
            environment["SSL_CERT_FILE"] = str(stage.place.ca)
        program = self.program.find()

        def run(pushes: Sequence[Push]) -> Cost:
            commands = [
                [program, *self.words(push, destination, stage.place.ca)]
                for push in pushes
                for destination in push.destinations
            ]
            return stage.run(commands, environment, together=self.together)

        yield run

    def there(self) -> bool:
        """Whether the program is installed."""
        try:
            self.program.find()
        except pytest.skip.Exception:
            return False
        return True


def _crane(push: Push, destination: str, ca: Path | None) -> Sequence[str | Path]:
    return ["push", push.image.layout, destination]


def _skopeo(push: Push, destination: str, ca: Path | None) -> Sequence[str | Path]:
    trust = ["--dest-tls-verify=false"] if ca is None else [f"--dest-cert-dir={ca.parent}"]
    return ["--insecure-policy", "copy", "--quiet", *trust, push.source, f"docker://{destination}"]


def crane(together: int = 1) -> Peer:
    """Give crane, so many at a time."""
    return Peer(name="crane", tool="crane", program=CRANE, words=_crane, together=together)


def skopeo(together: int = 1) -> Peer:
    """Give skopeo, so many at a time."""
    return Peer(name="skopeo", tool="skopeo", program=SKOPEO, words=_skopeo, together=together)
