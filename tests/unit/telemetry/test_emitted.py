"""Every event in the catalogue is told by the house in some test, and none that is not there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, StoreError
from pushd.telemetry.events import CATALOGUE, DAEMON_STARTED, Event
from pushd.telemetry.faults import store_failed
from tests.emitted import Emitted

if TYPE_CHECKING:
    from pathlib import Path


def test_an_event_that_is_not_in_the_catalogue_is_refused() -> None:
    with pytest.raises(ValueError, match=r"daemon\.started: not in the catalogue: nonsense"):
        Event(DAEMON_STARTED, datetime.now(UTC), fields={"nonsense": 1})


def test_what_the_house_tells_counts_and_what_a_test_makes_up_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Event, "__post_init__", Event.__post_init__)
    noted = Emitted()
    noted.watch()
    Event(DAEMON_STARTED, datetime.now(UTC))
    store_failed(StoreError(Code.STORE_FULL, "", "no space is left"), where="here")
    assert noted.names == {"store.failed"}
    assert noted.missing(tmp_path) == sorted(CATALOGUE.keys() - {"store.failed"})


def test_what_a_daemon_wrote_counts_however_its_log_ends(tmp_path: Path) -> None:
    log = tmp_path / "some" / "daemon.log"
    log.parent.mkdir()
    log.write_bytes(b'{"event":"daemon.started"}\nTraceback\n"text"\n[1]\n\xff\n{"event":"daemon.sto')
    assert "daemon.started" not in Emitted().missing(tmp_path)
    assert "daemon.stopped" in Emitted().missing(tmp_path)
