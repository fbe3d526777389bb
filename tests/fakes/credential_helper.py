"""A credential helper, `docker-credential-NAME`: a script that answers, or misbehaves, and counts its calls."""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MEGABYTES = 64 << 20


class Mood(Enum):
    """What it does instead of answering, as a command of a shell."""

    HANGS = "exec sleep 3600"
    CRASHES = "echo 'the keychain is locked' >&2; kill -KILL $$"
    FAILS = "echo 'the keychain is locked' >&2; exit 3"
    BABBLES = "echo '<html>Sign in to continue</html>'"
    FLOODS = f"exec head -c {MEGABYTES} /dev/zero"
    KNOWS_NOTHING = "echo 'credentials not found in native keychain'; exit 1"
    """As Docker's helpers say that they have none for this registry."""


class CredentialHelper:
    """The script, which needs nothing but a shell.

    Args:
        directory: to be put on PATH; made when it is not there.
        name: the part after `docker-credential-`.
        username: it answers with; `<token>` says that the secret is an identity token.
        secret: likewise.
        mood: what it does instead.
    """

    def __init__(
        self, directory: Path, name: str, *, username: str = "", secret: str = "", mood: Mood | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.path = directory / f"docker-credential-{name}"
        self._calls = directory / f"{name}.calls"
        answer = directory / f"{name}.answer"
        answer.write_text(json.dumps({"Username": username, "Secret": secret}))
        says = f"cat '{answer}'" if mood is None else mood.value
        # It is asked by its argument, for the registry on its standard input.
        self.path.write_text(
            f'#!/bin/sh\nread -r asked\necho "$1 $asked" >>\'{self._calls}\'\n[ "$1" = get ] || exit 2\n{says}\n'
        )
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """What it was asked, `get REGISTRY` each time."""
        return self._calls.read_text().splitlines() if self._calls.exists() else []
