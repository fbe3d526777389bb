"""An image as other tools build it: by buildah, over a store of its own, with a layer of umoci's on top. Wants root.

buildah = Buildah(directory)
layout = build(buildah, directory / "layout")
tree(unpack(layout, directory / "bundle"))
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.parts import BUILDAH, UMOCI, run

TAG = "1.4"
"""What the image is called in a layout made here."""

STORED = "localhost/app:1.4"
"""What it is called in the store."""


class Buildah:
    """The command, with storage and configuration in `directory` alone."""

    def __init__(self, directory: Path) -> None:
        if os.geteuid():
            pytest.skip("buildah mounts for root alone")
        directory.mkdir()
        registries, fragments = directory / "registries.conf", directory / "registries.conf.d"
        registries.touch()
        fragments.mkdir()
        logins = directory / "auth.json"
        logins.write_text("{}")
        self._environment = {**os.environ, "REGISTRY_AUTH_FILE": str(logins), "TMPDIR": str(directory)}
        self._policy = directory / "policy.json"
        self._policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self._command: list[str | Path] = [
            BUILDAH.find(), "--storage-driver", "vfs", "--root", directory / "storage", "--runroot", directory / "run",
            "--registries-conf", registries, "--registries-conf-dir", fragments,
        ]  # fmt: skip
        tried = run(*self._command, "from", "scratch", environment=self._environment)
        if tried.returncode:
            pytest.skip(f"buildah cannot work here: {tried.stderr.strip()}")

    def __call__(self, *arguments: str | Path) -> str:
        """Run it; give what it said."""
        done = run(*self._command, *arguments, environment=self._environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def copy(self, verb: str, *arguments: str | Path) -> str:
        """Run what asks for a policy, such as `push`, or `manifest push`."""
        return self(*verb.split(), "--quiet", "--signature-policy", self._policy, *arguments)

    def mounted(self, image: str, *options: str) -> tuple[str, Path]:
        """Give a new container of an image, and where its files are."""
        container = self.copy("from", *options, image)
        return container, Path(self("mount", container))


def build(buildah: Buildah, layout: Path) -> Path:
    """Build an image of four layers with whatever a layer can hold; it is in the store then, and the new `layout`."""
    container, root = buildah.mounted("scratch")
    _lowest(root)
    buildah(
        "config", "--env", "GREETING=grüß dich", "--label", "example.build=4711", "--entrypoint", '["/bin/app"]',
        "--user", "1000", "--port", "8080/tcp", "--annotation", "org.example.team=app", container,
    )  # fmt: skip
    buildah.copy("commit", "--rm", container, "localhost/lowest")
    container, root = buildah.mounted("localhost/lowest")
    _changed(root)
    buildah.copy("commit", "--rm", container, "localhost/changed")
    container, _ = buildah.mounted("localhost/changed")
    large = layout.with_name("large")
    large.write_bytes(random.Random(3).randbytes(5_000_000))
    buildah("copy", "--chown", "1000:1000", "--chmod", "640", container, large, "/srv/large")
    buildah.copy("commit", "--rm", "--disable-compression=false", container, f"oci:{layout}:{TAG}")
    # Its own layers say what is gone one by one; umoci's says of a directory that nothing beneath it counts.
    opaque = layout.with_name("opaque")
    opaque.mkdir()
    (opaque / "new").write_text("new\n")
    umoci("insert", "--opaque", "--image", f"{layout}:{TAG}", opaque, "/var/cache")
    buildah("tag", buildah.copy("pull", f"oci:{layout}:{TAG}"), STORED)
    return layout


def _lowest(root: Path) -> None:
    app = root / "bin" / "app"
    app.parent.mkdir()
    app.write_bytes(random.Random(1).randbytes(300_000))
    app.chmod(0o4755)
    with suppress(OSError):  # not on every filesystem
        os.setxattr(app, "user.example", b"kept")
    os.link(app, root / "bin" / "copy")
    os.link(app, root / "bin" / "gone")
    (root / "sbin").symlink_to("bin")
    (root / "bin" / "dangling").symlink_to("/nowhere/at all")
    for name in ("etc/motd", "var/cache/old/deep", "usr/share/doc/README", "usr/share/grüße/日本語.txt", "x" * 180):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    os.mkfifo(root / "tmp" / "fifo")
    owned = root / "home" / "alice"
    owned.mkdir(parents=True)
    os.chown(owned, 1000, 1000)
    os.utime(app, ns=(0, 1_234_567_890_123_456_789))


def _changed(root: Path) -> None:
    (root / "etc" / "motd").unlink()
    shutil.rmtree(root / "usr" / "share" / "doc")
    (root / "usr" / "share" / "doc").write_text("a file where a directory was\n")
    (root / "bin" / "gone").unlink()
    (root / "home" / "alice" / ".profile").write_text("")


def umoci(*arguments: str | Path) -> None:
    """Run it."""
    done = run(UMOCI.find(), *arguments)
    assert done.returncode == 0, done.stderr


def unpack(layout: Path, bundle: Path, name: str = TAG) -> Path:
    """Let umoci unpack an image of a layout; give where its files are."""
    umoci("unpack", "--image", f"{layout}:{name}", bundle)
    return bundle / "rootfs"


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Say of each file what a layer says of it: kind, rights, owner, links, time in seconds, attributes, content."""
    return {str(path.relative_to(root)): _told(path, root) for path in sorted(root.rglob("*"))}


def _told(path: Path, root: Path) -> tuple[object, ...]:
    status = path.lstat()
    content = ""
    if stat.S_ISLNK(status.st_mode):
        content = str(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    names = os.listxattr(path, follow_symlinks=False)
    attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    # Of a directory both change with what is in it.
    links, time = (0, 0) if stat.S_ISDIR(status.st_mode) else (status.st_nlink, int(status.st_mtime))
    return stat.filemode(status.st_mode), status.st_uid, status.st_gid, links, time, attributes, content
