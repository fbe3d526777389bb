"""Another machine, made of this one: whatever is written to it is thrown away. Wants root and overlayfs."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOUNT = """
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root" &&
mount --rbind /proc "$1/root/proc" && mount --rbind /dev "$1/root/dev" && mount -t tmpfs tmpfs "$1/root/run" &&
mount --bind "$1/given" "$1/root/mnt" && echo ready && exec cat
"""


class Machine:
    """Another machine: this one's files underneath, what is written on top of them, and processes of its own making.

    Attributes:
        given: a directory that it has as /mnt.
        root: where its root is mounted, for itself alone.
    """

    def __init__(self, directory: Path, holder: subprocess.Popen[str]) -> None:
        self.given = directory / "given"
        self.root = directory / "root"
        self._holder = holder

    def command(self, *words: str) -> list[str]:
        """Give what runs a command there as root."""
        entered = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "chroot", str(self.root)]
        path = "PATH=/mnt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return [*entered, "env", "-i", path, "HOME=/root", "LC_ALL=C.UTF-8", *words]

    def run(self, *words: str, code: int | None = 0) -> str:
        """Run a command there as root, and give what it said; it must end with `code` unless that is None."""
        done = subprocess.run(
            self.command(*words),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=300,
        )
        assert code is None or done.returncode == code, done.stdout
        return done.stdout

    def outside(self, *words: str) -> None:
        """Run a command as root that sees its mounts, and is not confined to its root."""
        subprocess.run(["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", *words], check=True, timeout=60)

    def told(self) -> list[str]:
        """What systemd was told since this was asked last, with the release that was current."""
        path = self.given / "told"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@contextmanager
def booted(directory: Path, given: Path, written: Path | None = None) -> Iterator[Machine]:
    """Have another machine with a copy of `given`, and of what was written to another one perhaps."""
    for name in ("upper", "work", "root"):
        (directory / name).mkdir(parents=True)
    if written is not None:
        subprocess.run(
            ["cp", "--archive", f"{written}/.", directory / "upper"], check=True
        )  # marks of what is gone, too
    shutil.copytree(given, directory / "given")
    (directory / "given").chmod(0o755)
    command = ["unshare", "--mount", "--propagation=private", "sh", "-c", _MOUNT, "sh", str(directory)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stderr is not None
        try:
            if holder.stdout.readline() != "ready\n":
                pytest.skip(f"overlayfs cannot be mounted here: {holder.stderr.read().strip()}")
            yield Machine(directory, holder)
        finally:
            holder.stdin.close()  # its end is the end of the mounts
            holder.wait(10)
