"""What was tried of the moods, told at the end of a run; a plugin, because one process may tell what others ran."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tests.moods.matrix import FAULTS, SMALL, Step

if TYPE_CHECKING:
    import pytest


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
