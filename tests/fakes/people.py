"""Programs of this project run by other users. Wants root.

Whoever they become may have no way to this checkout or to Python's own files, so all there is is imported before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_RUN = """
import importlib, json, os, pkgutil, sys
import encodings.idna, encodings.utf_8_sig
import gzip, hashlib, http.client, json, locale, lzma, queue, readline, select, shutil, signal
import socket, stat, subprocess, tarfile, tempfile, termios, threading, tty, unicodedata, zlib
import aiofiles, anyio._backends._asyncio, concurrent.futures.thread
for module in pkgutil.iter_modules(anyio._core.__path__, "anyio._core."):
    importlib.import_module(module.name)
import cryptography.exceptions, cryptography.x509
import cryptography.hazmat.primitives.ciphers.aead, cryptography.hazmat.primitives.hashes
import cryptography.hazmat.primitives.kdf.hkdf
import rich.live, rich.table, rich.text, rich.progress_bar, rich.console, rich._unicode_data
import pushd
for module in pkgutil.walk_packages(pushd.__path__, "pushd."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
# What is read of the package's own files, too.
import pathlib, pushd.api.daemon, pushd.store.schema
steps = pushd.store.schema.migrations()
pushd.store.schema.migrations = lambda: steps
class Kept:
    content = pathlib.Path(pushd.__path__[0], "api", "openapi.yaml").read_bytes()
    joinpath = lambda self, name: self
    read_bytes = lambda self: self.content
pushd.api.daemon.files = lambda package: Kept()
who = json.loads(sys.argv[1])
run = getattr(importlib.import_module(who["module"]), "main")
os.umask(0o022)
if os.geteuid() == 0:
    os.setgroups(who["groups"])
    os.setgid(who["gid"])
    os.setuid(who["uid"])
sys.argv[:] = [who["module"], *who["arguments"]]
sys.exit(run())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user, with the groups they are in."""

    uid: int
    groups: tuple[int, ...] = ()

    def command(self, module: str, *arguments: str | Path, within: tuple[str, ...] = ()) -> list[str]:
        """Give what runs the `main` of a module as them, in another namespace perhaps."""
        who = {
            "uid": self.uid,
            "gid": self.uid,
            "groups": self.groups,
            "module": module,
            "arguments": [str(argument) for argument in arguments],
        }
        return [*within, sys.executable, "-c", _RUN, json.dumps(who)]

    def pushctl(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str],
        within: tuple[str, ...] = (),
        stdin: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run pushctl to its end, whatever its exit code."""
        with (Path(os.devnull) if stdin is None else stdin).open("rb") as given:
            return subprocess.run(
                self.command("pushd.ctl", *arguments, within=within),
                check=False,
                capture_output=True,
                encoding="utf-8",
                stdin=given,
                timeout=60,
                env=dict(environment),
                cwd="/",
            )
