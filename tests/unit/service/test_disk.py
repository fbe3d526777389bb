from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from pushd.service.disk import Gauge

if TYPE_CHECKING:
    from pathlib import Path


def test_the_disk_is_measured_with_what_the_daemon_uses_of_it(tmp_path: Path) -> None:
    disk = Gauge([tmp_path], database=lambda: 100, spool=lambda: 20)()

    assert disk.used == 120
    assert disk.total == shutil.disk_usage(tmp_path).total
    assert 0 < disk.free <= disk.total


def test_it_is_looked_at_again_when_that_was_some_time_ago(tmp_path: Path) -> None:
    now, database, spool = 0.0, 1, 0
    gauge = Gauge([tmp_path], database=lambda: database, spool=lambda: spool, clock=lambda: now)
    gauge()
    database, spool, now = 1000, 10, 0.4
    assert gauge().used == 11, "what is promised to the spool counts at once"
    now = 0.6
    assert gauge().used == 1010
    database = 2000
    assert gauge(fresh=True).used == 2010
