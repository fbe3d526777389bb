"""The log as lnav shows it: its format is taken, and reads what the daemon writes."""

from __future__ import annotations

import csv
import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.fakes.images import build_layout
from tests.integration.daemon import REPOSITORY
from tests.integration.parts import Tool, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.fakes.registry import FakeRegistry
    from tests.integration.daemon import Daemon

LNAV = Tool("lnav", "PUSHD_TEST_LNAV", required=True)
FORMAT = REPOSITORY / "deploy" / "logs" / "lnav" / "pushd.json"


@pytest.fixture
def lnav(tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    """Run lnav with a home of its own."""

    def execute(*arguments: str | Path) -> CompletedProcess[str]:
        home = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "home"), "TERM": "dumb"}
        (tmp_path / "home").mkdir(exist_ok=True)
        return run(LNAV.find(), *arguments, environment=dict(os.environ) | home)

    return execute


def test_lnav_installs_the_format_and_finds_no_fault_in_it(
    lnav: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    installed = lnav("-i", FORMAT)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert list(tmp_path.rglob("pushd_log.json"))
    checked = lnav("-C")
    assert (checked.returncode, checked.stderr) == (0, ""), checked


def test_lnav_would_find_a_fault_in_it(lnav: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    spoilt = tmp_path / "pushd.json"
    spoilt.write_text(FORMAT.read_text().replace('"kind": "float"', '"kind": "number"'))
    said = lnav("-i", spoilt)
    assert "number" in said.stdout + said.stderr + lnav("-C").stderr


def test_what_the_daemon_writes_has_columns_and_levels_there(
    lnav: Callable[..., CompletedProcess[str]], daemon: Daemon, served: FakeRegistry, tmp_path: Path
) -> None:
    layout = build_layout(tmp_path / "app")
    job = daemon.submit(f"oci:{layout.path}", f"{served.address}/team/app:1")
    daemon.wait(job)
    daemon.close()
    lnav("-i", FORMAT)
    query = ";SELECT log_level, event, job, sent FROM pushd_log"
    said = lnav("-n", "-c", query, "-c", ":write-csv-to -", daemon.log)
    assert said.returncode == 0, said.stderr
    shown = list(csv.DictReader(said.stdout.splitlines()))
    written = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    assert [(row["log_level"], row["event"]) for row in shown] == [(line["level"], line["event"]) for line in written]
    (sent,) = [row["sent"] for row in shown if row["event"] == "delivery.succeeded"]
    assert int(sent) > 0
    assert {row["job"] for row in shown if row["event"] == "job.finished"} == {job}
