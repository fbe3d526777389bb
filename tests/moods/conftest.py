"""The cases run in lanes of their own; a test waits for its case."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest_asyncio

from tests.moods.lanes import run_lane
from tests.moods.matrix import Case

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import pytest

LANES = 4
"""Lanes for each profile."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mapping[Case, asyncio.Future[None]]]:
    """Begin all cases that were selected; give what becomes of each."""
    lanes: defaultdict[tuple[str, int], list[Case]] = defaultdict(list)
    found: dict[Case, asyncio.Future[None]] = {}
    for item in request.session.items:
        case = item.callspec.params.get("case") if hasattr(item, "callspec") else None
        if isinstance(case, Case):
            lanes[case.profile.name, len(found) % LANES].append(case)
            found[case] = asyncio.get_running_loop().create_future()
    tasks = [
        asyncio.create_task(run_lane(tmp_path_factory.mktemp(name), found, cases)) for (name, _), cases in lanes.items()
    ]
    yield found
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
