"""The cases run in lanes of their own; a test waits for its case. What was tried is told at the end of the run."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest_asyncio

from tests.moods.lanes import run_lane
from tests.moods.matrix import FAULTS, SMALL, Case, Step

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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was tried: of how many profiles each fault at each step was survived."""
    tried: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            found = dict(report.user_properties)
            if "fault" in found:
                tried[found["fault"], found["step"]].append(outcome == "passed")
    if not tried:
        return
    width = max(len(fault.name) for fault in FAULTS)
    steps = [step.value for step in Step]
    terminalreporter.section("moods: in how many of the profiles that have such a step it went as it should")
    terminalreporter.write_line(" " * width + "".join(f"  {step:>7}" for step in steps))
    for fault in FAULTS:
        cells = [tried.get((fault.name, step), []) for step in steps]
        shown = [f"{sum(cell)}/{len(cell)}" if cell else "" for cell in cells]
        row = "".join(f"  {text:>{max(7, len(step))}}" for text, step in zip(shown, steps, strict=True))
        terminalreporter.write_line(f"{fault.name:<{width}}{row}".rstrip())
    terminalreporter.write_line(
        f"{sum(map(len, tried.values()))} cases; profiles: {', '.join(one.name for one in SMALL)}"
    )
