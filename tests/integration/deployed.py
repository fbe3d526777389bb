"""Source trees of several releases, what deploy/install.sh makes of them, and the daemon that was installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.daemon import REPOSITORY, Daemon

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS = ("pushd", "systemd", "deploy", "requirements.lock", "pyproject.toml", "README.md", "LICENSE")
"""What a release is unpacked with, as far as it is installed."""

MIGRATION = "9999.sql"
"""The file of the step a later release brings the database's schema forward with."""


@dataclass(frozen=True, slots=True)
class Said:
    """How a run of the script ended, and what it said."""

    code: int
    text: str


def tree(directory: Path, version: str, *, migration: bool = False) -> Path:
    """Unpack this checkout as the release of a version, with a step of the schema more if wanted."""
    directory.mkdir(parents=True)
    for name in PARTS:
        source, target = REPOSITORY / name, directory / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for name, wanted in (("pushd/__init__.py", '__version__ = "{}"'), ("pyproject.toml", '\nversion = "{}"')):
        text = (directory / name).read_text()
        changed = text.replace(wanted.format("0.1.0"), wanted.format(version))
        assert version == "0.1.0" or changed != text
        (directory / name).write_text(changed)
    if migration:
        (directory / "pushd" / "store" / "migrations" / MIGRATION).write_text(
            "CREATE TABLE later (a INTEGER) STRICT;\n"
        )
    return directory


def environment() -> dict[str, str]:
    """Give an environment that knows nothing of this checkout and the Python it is tested with."""
    named = ("PYTHONPATH", "PYTHON", "PUSHD_SOCKET", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in named}


def install(tree: Path, *arguments: str | Path, python: str | None = None) -> Said:
    """Run a tree's deploy/install.sh to its end."""
    command: Sequence[str | Path] = ["bash", tree / "deploy" / "install.sh", *arguments]
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
        cwd="/",
        env=environment() | ({"PYTHON": python} if python else {}),
    )
    return Said(done.returncode, done.stdout)


def contents(root: Path) -> dict[str, tuple[int, int, str]]:
    """Tell what is below a directory: of every file and link its inode, its time of change, and where it leads to."""
    found = {}
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(directory, name)
            if path.is_symlink() or not path.is_dir():
                status = path.lstat()
                target = str(path.readlink()) if path.is_symlink() else ""
                found[str(path.relative_to(root))] = (status.st_ino, status.st_mtime_ns, target)
    return found


class Installed(Daemon):
    """The daemon as it was installed below a directory, with its state where the service keeps it."""

    def __init__(self, directory: Path, root: Path) -> None:
        super().__init__(directory)
        self._root = root
        self.state = root / "var" / "lib" / "pushd"

    def _started(self, arguments: Sequence[str | Path]) -> Sequence[str | Path]:
        return [str(self._root / "opt/pushd/bin/python"), "-P", "-m", "pushd", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for name, value in super().environment.items() if name != "PYTHONPATH"}

    @property
    def version(self) -> str:
        """What it says of itself."""
        return str(self.request("GET", "/v1/status").body["version"])
