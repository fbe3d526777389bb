"""Real programs for tests: registries, skopeo, crane, oras; found, started, watched and ended."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.doors import OPEN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.fakes.images import BuiltImage, Layout
    from tests.integration.doors import Door

START = 15.0
"""Seconds a part may take until it is ready."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that may not be there.

    Attributes:
        variable: the environment variable that names it, before PATH and the cache are searched.
        required: whether its absence fails the tests where everything must be there (`PUSHD_TEST_REQUIRE=1`).
    """

    name: str
    variable: str
    required: bool = False

    def find(self) -> str:
        """Give its path, or skip the test."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pushd-tests" / "bin"
        found = os.environ.get(self.variable) or shutil.which(self.name) or shutil.which(str(cache / self.name))
        if found is not None:
            return found
        if self.required and os.environ.get("PUSHD_TEST_REQUIRE") == "1":
            pytest.fail(f"{self.name} is not installed, and PUSHD_TEST_REQUIRE=1 says that it must be")
        pytest.skip(f"{self.name} is not installed; {self.variable} may name it")


SKOPEO = Tool("skopeo", "PUSHD_TEST_SKOPEO", required=True)
BUILDAH = Tool("buildah", "PUSHD_TEST_BUILDAH", required=True)
UMOCI = Tool("umoci", "PUSHD_TEST_UMOCI", required=True)
CRANE = Tool("crane", "PUSHD_TEST_CRANE")
ORAS = Tool("oras", "PUSHD_TEST_ORAS")
DISTRIBUTION_2 = Tool("docker-registry", "PUSHD_TEST_REGISTRY2", required=True)
DISTRIBUTION_3 = Tool("registry", "PUSHD_TEST_REGISTRY3")
NGINX = Tool("nginx", "PUSHD_TEST_NGINX", required=True)


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = START, pause: float = 0.02) -> None:
    """Wait for a condition that only polling can see; fail with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"after {seconds:g} s still not: {what}")
        time.sleep(pause)


def run(
    *command: str | Path, timeout: float = 60, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its exit code."""
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        env=environment,
    )


class RealRegistry:
    """One of the distribution project's registries, as a process over a directory.

    Args:
        name: which one, for people.
        program: the path of it.
        directory: for its configuration, its log and its storage.
        door: whom it lets in, and whether by TLS.

    Attributes:
        name: as given.
        storage: where it keeps everything.
        log: what it writes.
    """

    def __init__(self, name: str, program: str, directory: Path, door: Door = OPEN) -> None:
        self.name = name
        self.storage = directory / "storage"
        self.log = directory / "registry.log"
        self._program = program
        self._door = door
        self._config = directory / "config.yml"
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port`, as in references."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, the first time on a free port, later on the same, and wait until it answers."""
        # An explicit secret: upload sessions outlive the process, as they do in production.
        self._config.write_text(
            json.dumps(
                {
                    "version": 0.1,
                    "log": {"level": "info", "accesslog": {"disabled": True}},
                    "storage": {
                        "filesystem": {"rootdirectory": str(self.storage)},
                        "delete": {"enabled": True},
                    },
                    "http": {"addr": self.address, "secret": "for tests", "tls": self._door.tls},
                    "auth": self._door.auth,
                }
            )
        )
        offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "serve", self._config], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        wait_until(lambda: self._listens(offset), f"{self.name} listens; {self.log} says why")
        wait_until(self._answers, f"{self.name} answers; {self.log} says why")

    def stop(self) -> None:
        """End it. Idempotent."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()  # it has nothing to finish, and SIGTERM lets distribution 3 wait for connections
        self._process.wait(10)
        self._process = None

    def pause(self) -> None:
        """Stop the process where it is: connections stay, nothing moves."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def uploading(self) -> int:
        """Bytes that lie in unfinished upload sessions."""
        size = 0
        for directory, _, names in os.walk(self.storage):  # which forgives what vanishes while we look
            if "data" in names and Path(directory).parent.name == "_uploads":
                with contextlib.suppress(FileNotFoundError):
                    size += Path(directory, "data").stat().st_size
        return size

    def tags(self, repository: str) -> set[str]:
        """Give the tags of a repository, as the storage has them: whoever may not come in may look."""
        tags = self.storage / "docker/registry/v2/repositories" / repository / "_manifests/tags"
        return {path.name for path in tags.iterdir()} if tags.exists() else set()

    def _listens(self, offset: int) -> bool:
        assert self._process is not None
        said = self.log.read_bytes()[offset:].decode(errors="replace")
        if self._process.poll() is not None:
            pytest.fail(f"{self.name} ended with {self._process.returncode}:\n{said}")
        match = re.search(r"listening on 127\.0\.0\.1:(\d+)", said)
        if match is not None:
            self._port = int(match[1])
        return match is not None

    def _answers(self) -> bool:
        if self._door.tls:
            # Whoever is not to be trusted, or has no certificate, gets no answer; that it takes connections must do.
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 5):
                return True
            return False
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status in (http.HTTPStatus.OK, http.HTTPStatus.UNAUTHORIZED)
        except OSError:
            return False
        finally:
            connection.close()


def read_back(reference: str, directory: Path, *options: str) -> Path:
    """Copy an image with skopeo, all platforms, into a new layout at `directory`, digests kept; give the layout.

    Args:
        reference: of the image.
        directory: of the new layout.
        options: of `skopeo copy` for where it comes from, such as `--src-creds`.
    """
    copied = run(
        SKOPEO.find(),
        *("--insecure-policy", "copy", "--all", "--preserve-digests", "--src-tls-verify=false", *options),
        f"docker://{reference}",
        f"oci:{directory}:back",
    )
    assert copied.returncode == 0, copied.stderr
    return directory


def assert_identical(source: Layout, image: BuiltImage, copy: Path) -> None:
    """Compare a layout read back with the image it was built from: the same files, byte for byte, and the root."""
    wanted = {descriptor.digest for descriptor in (*image.manifests, *image.blobs)}
    found = {f"{path.parent.name}:{path.name}" for path in copy.glob("blobs/*/*")}
    assert found == {str(digest) for digest in wanted}
    for digest in wanted:
        original = source.blob_path(digest).read_bytes()
        assert (copy / "blobs" / digest.algorithm / digest.encoded).read_bytes() == original, digest
    (root,) = json.loads((copy / "index.json").read_text())["manifests"]
    assert root["digest"] == str(image.digest)


def tail(log: Path, lines: int = 40) -> str:
    """Give the last lines of a log."""
    content = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(content.splitlines()[-lines:])
