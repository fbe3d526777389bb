"""Record the session anew: `python -m tests.terminal > tests/terminal/session.txt`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.fakes.registry import FakeRegistry
from tests.integration.daemon import Daemon
from tests.terminal.session import play


def main() -> int:
    """Print what a person at a terminal of 80 columns sees."""
    with tempfile.TemporaryDirectory(prefix="pushd-session-") as directory:
        place = Path(directory)
        daemon = Daemon(place)
        try:
            with FakeRegistry().in_thread() as registry:
                daemon.start(CONFIG)
                for act in play(registry, daemon.environment, place):
                    shown = act.screen.replace(directory, "/srv/builds")
                    print(f"== {act.title}\n\n{shown}\n")  # noqa: T201 (that is what it is for)
                daemon.close()
        finally:
            daemon.discard()
    return 0


CONFIG = "[limits]\nuploads_per_registry = 2\n"

if __name__ == "__main__":
    sys.exit(main())
