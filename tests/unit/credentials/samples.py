"""Credentials and configurations that the tests of this room share."""

from __future__ import annotations

import base64
import json
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pushd.errors import PushdError

REGISTRY = "registry.example:5000"
SECRET = "hunter2-canary"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ALICE = {"auth": encoded(f"alice:{SECRET}")}
BOB = {"auth": encoded("bob:other")}


def write(path: Path, document: object) -> Path:
    """Write a file as a login does, its owner's alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    path.chmod(0o600)
    return path


def shown(error: PushdError) -> str:
    """Give all of an error that could ever be shown, and what hangs on it."""
    return "".join(traceback.format_exception(error)) + repr((error, error.__cause__, error.__context__, vars(error)))
