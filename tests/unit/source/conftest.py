from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def passable() -> Iterator[Path]:
    """Give a directory that everybody may search; pytest's own are private."""
    path = Path(tempfile.mkdtemp(prefix="pushd-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
