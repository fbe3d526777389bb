"""Plain files as an artifact: pushed by pushctl to real registries, and pulled by oras into an empty directory."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pushd.client import Client
from tests.integration.parts import ORAS, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.registry import FakeRegistry
    from tests.integration.daemon import Daemon
    from tests.integration.parts import RealRegistry

TYPE = "application/vnd.example.report.v1"


def pushctl(daemon: Daemon, here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `pushctl push --artifact-type ...` in a directory."""
    return subprocess.run(
        [sys.executable, "-m", "pushd.ctl", "push", "--artifact-type", TYPE, *arguments],
        capture_output=True, text=True, timeout=60, check=False, env=daemon.environment, cwd=here,
    )  # fmt: skip


def push(daemon: Daemon, here: Path, *arguments: str) -> Any:
    """Push to the end, and give the job as it ended."""
    done = pushctl(daemon, here, *arguments, "--wait", "--json")
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert job["state"] == "succeeded"
    return job


def oras(*arguments: str | Path) -> str:
    done = run(ORAS.find(), *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pull(reference: str, directory: Path) -> Path:
    oras("pull", "--plain-http", "--output", directory, reference)
    return directory


def manifest_of(reference: str) -> Any:
    return json.loads(oras("manifest", "fetch", "--plain-http", reference))


def tree(top: Path) -> dict[str, tuple[object, ...]]:
    """Give everything below a directory: what it is, who may do what with it, and what is in it."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            found[str(path.relative_to(top))] = ("link", os.readlink(path))  # noqa: PTH115 (the text itself)
        elif path.is_dir():
            found[str(path.relative_to(top))] = ("directory", stat.S_IMODE(status.st_mode))
        else:
            found[str(path.relative_to(top))] = (stat.S_IMODE(status.st_mode), path.read_bytes())
    return found


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Give a directory with what is to be pushed."""
    here = tmp_path / "here"
    (here / "charts" / "deep" / "er").mkdir(parents=True)
    (here / "sub").mkdir()
    (here / "report.json").write_text('{"ok": true}\n')
    (here / "sub" / "data.bin").write_bytes(os.urandom(300_000))
    (here / "empty").touch()
    (here / "a:b").write_text("a colon is a part of it\n")
    (here / "charts" / "one.svg").write_text("<svg/>")
    (here / "charts" / "run.sh").write_text("#!/bin/sh\n")
    (here / "charts" / "run.sh").chmod((here / "charts" / "run.sh").stat().st_mode | stat.S_IXUSR)
    (here / "charts" / "deep" / "er" / "löng name").write_bytes(os.urandom(2_000_000))
    (here / "charts" / "deep" / "er" / ("x" * 200)).touch()
    (here / "charts" / "link").symlink_to("deep/er/löng name")
    (here / "charts" / "deep" / "up").symlink_to("../one.svg")
    return here


def test_files_and_a_directory_are_pulled_as_they_were_pushed(
    daemon: Daemon, real_registry: RealRegistry, here: Path, tmp_path: Path
) -> None:
    first, second = (f"{real_registry.address}/team/report:{tag}" for tag in ("1", "2"))
    names = ["report.json:application/json", "sub/data.bin", "empty", "a:b", "charts"]

    job = push(daemon, here, "--annotation", "org.example.build=4711", "--to", second, first, *names)

    assert tree(pull(first, tmp_path / "first")) == tree(here)
    assert tree(pull(second, tmp_path / "second")) == tree(here)
    manifest = manifest_of(first)
    assert (manifest["artifactType"], manifest["annotations"]) == (TYPE, {"org.example.build": "4711"})
    assert [layer["annotations"]["org.opencontainers.image.title"] for layer in manifest["layers"]] == [
        "report.json", "sub/data.bin", "empty", "a:b", "charts",
    ]  # fmt: skip
    again = push(daemon, here, "--annotation", "org.example.build=4711", second, *names)
    assert again["digest"] == job["digest"]


def test_a_directory_is_pushed_from_within(
    daemon: Daemon, real_registry: RealRegistry, here: Path, tmp_path: Path
) -> None:
    reference = f"{real_registry.address}/team/report:1"
    push(daemon, here / "charts", reference, ".")
    assert tree(pull(reference, tmp_path / "back")) == tree(here / "charts")


def test_an_artifact_of_annotations_alone_is_taken(daemon: Daemon, real_registry: RealRegistry, here: Path) -> None:
    reference = f"{real_registry.address}/team/note:1"
    push(daemon, here, "--annotation", "org.example.note=done", reference)
    manifest = manifest_of(reference)
    assert (manifest["artifactType"], manifest["layers"]) == (TYPE, [manifest["config"]])


def test_what_oras_packs_and_what_is_packed_here_name_the_same_things(
    daemon: Daemon, real_registry: RealRegistry, here: Path
) -> None:
    ours, theirs = (f"{real_registry.address}/team/report:{who}" for who in ("ours", "theirs"))
    names = ["report.json:application/json", "sub/data.bin", "charts"]
    push(daemon, here, ours, *names)
    done = subprocess.run(
        [ORAS.find(), "push", "--plain-http", "--artifact-type", TYPE, theirs, *names],
        capture_output=True, text=True, timeout=60, check=False, cwd=here,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    a, b = manifest_of(ours), manifest_of(theirs)
    assert a["config"].items() <= b["config"].items()  # oras embeds the two bytes as well
    assert a["layers"][:2] == b["layers"][:2]
    assert a["layers"][2]["mediaType"] == b["layers"][2]["mediaType"]
    assert a["layers"][2]["annotations"].keys() == b["layers"][2]["annotations"].keys()


def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(
    daemon: Daemon, real_registry: RealRegistry, here: Path
) -> None:
    reference = f"{real_registry.address}/team/report:1"
    done = pushctl(daemon, here, "--dry-run", reference, "report.json", "charts")
    assert done.returncode == 0, done.stderr
    assert "would be pushed" in done.stdout
    assert real_registry.tags("team/report") == set()
    assert not any(entry.is_dir() for entry in os.scandir(daemon.state / "spool"))


def test_what_cannot_be_pushed_is_refused_and_the_daemon_goes_on(
    daemon: Daemon, served: FakeRegistry, here: Path
) -> None:
    reference = f"{served.address}/team/report:1"
    (here / "pipes").mkdir()
    os.mkfifo(here / "pipes" / "fifo")
    (here / "links").mkdir()
    (here / "links" / "out").symlink_to("../report.json")

    for names, code, words in (
        (["nope"], 6, "nope: is not there"),
        (["/etc/hostname"], 6, "is absolute or leads upwards"),
        (["report.json", "./report.json"], 6, "is there twice"),
        (["pipes"], 6, "pipes/fifo: is a FIFO"),
        (["report.json", "links"], 6, "links/out: is a symbolic link to '../report.json', which leads out"),
        (["-"], 2, "standard input is no FILE"),
    ):
        done = pushctl(daemon, here, reference, *names)
        assert (done.returncode, done.stdout) == (code, ""), names
        assert words in done.stderr

    assert list(Client(str(daemon.socket)).list()) == []
    assert not any(entry.is_dir() for entry in os.scandir(daemon.state / "spool"))
    push(daemon, here, reference, "report.json")
