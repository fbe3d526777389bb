"""The daemon is killed again and again, the network breaks, the registry restarts: nothing is lost, nothing doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.parts import DISTRIBUTION_2, DISTRIBUTION_3
from tests.torture.campaign import run
from tests.torture.ordeal import Blow, Ordeal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.parts import Tool

MIB = 1 << 20

SHORT = [
    (DISTRIBUTION_3, Ordeal(seed=1, kills=10, images=20, largest=16 * MIB, rate=40e6, every=0.8)),
    (DISTRIBUTION_2, Ordeal(seed=2, kills=4, images=20, largest=8 * MIB, rate=40e6, every=0.8, spare=True, uploads=2)),
]
LONG = [
    (DISTRIBUTION_3, Ordeal(seed=7, kills=200, images=20, largest=512 * MIB, rate=60e6, every=1.5)),
    (
        DISTRIBUTION_2,
        Ordeal(seed=7, kills=50, images=20, largest=512 * MIB, rate=120e6, every=1.5, spare=True, uploads=2),
    ),
]
NAMES = ["distribution-3", "distribution-2"]


@pytest.mark.parametrize(("tool", "ordeal"), SHORT, ids=NAMES)
def test_every_accepted_job_arrives_however_often_the_daemon_is_killed(
    tool: Tool, ordeal: Ordeal, tmp_path: Path
) -> None:
    _endure(tool, ordeal, tmp_path, patience=60)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("tool", "ordeal"), LONG, ids=NAMES)
def test_every_accepted_job_arrives_however_often_and_large(tool: Tool, ordeal: Ordeal, tmp_path: Path) -> None:
    _endure(tool, ordeal, tmp_path, patience=900)


def _endure(tool: Tool, ordeal: Ordeal, directory: Path, *, patience: float) -> None:
    result = run(
        ordeal,
        tool.find(),
        directory,
        tell=print,  # pytest shows it with a failure
        keeps_bytes=tool is DISTRIBUTION_3,
        patience=patience,
    )
    assert result.problems == []
    assert result.blows[Blow.KILL] == ordeal.kills
    assert result.accepted >= ordeal.images
