from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pushd.credentials.helper import program

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Bin:
    """A directory of programs, and an environment that finds them."""

    directory: Path
    environ: dict[str, str]

    def helper(self, name: str, script: str, *, mode: int = 0o755) -> Path:
        """Put a helper there: a script for the shell."""
        path = self.directory / program(name)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(mode)
        return path


@pytest.fixture
def programs(tmp_path: Path) -> Bin:
    """Give a place for helpers; HOME is empty."""
    directory = tmp_path / "bin"
    directory.mkdir()
    (tmp_path / "home").mkdir()
    path = f"{directory}{os.pathsep}{os.environ['PATH']}"
    return Bin(directory, {"PATH": path, "HOME": str(tmp_path / "home")})
