"""What a person types."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import flight, floor, idle, machine, plot, table
from tests.benchmarks.campaign import Campaign
from tests.benchmarks.cases import CASES
from tests.benchmarks.daemons import Daemons
from tests.benchmarks.measuring import CommandFailed, Launcher
from tests.benchmarks.places import Kind
from tests.benchmarks.results import Results
from tests.benchmarks.scale import LONG, SHORT
from tests.integration.parts import DISTRIBUTION_3

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.campaign import Tell

_BESIDE = ("flight", "idle")
_NAMES = (*(case.letter for case in CASES), *_BESIDE)


def main(arguments: Sequence[str], tell: Tell | None = None) -> int:
    """Measure, and write down what was found: 0 when that was done, 1 when a push failed, 2 when it cannot be done."""
    say = tell or _tell
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        DISTRIBUTION_3.find()
    except pytest.skip.Exception as error:
        parser.exit(2, f"{error}\n")
    output = asked.output or Path(tempfile.mkdtemp(prefix="pushd-benchmarks-results-"))
    output.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="pushd-benchmarks-"))
    start = time.monotonic()
    try:
        results = _measure(asked, directory, output, say)
    except (pytest.fail.Exception, AssertionError, CommandFailed) as error:
        say(f"a push failed, and what is measured of a failure is worth nothing: {error}")
        say(f"what was measured before is in {output}")
        return 1
    finally:
        shutil.rmtree(directory)
    say(table.write(results))
    say(f"{time.monotonic() - start:.0f} s; results.json, table.md and plot.svg are in {output}")
    return 0


def _measure(asked: argparse.Namespace, directory: Path, output: Path, tell: Tell) -> Results:
    scale = SHORT if asked.short else LONG
    if asked.repetitions is not None:
        scale = replace(scale, repetitions=dict.fromkeys(scale.repetitions, asked.repetitions))
    cases = [case for case in CASES if case.letter in asked.only]
    with ExitStack() as stack:
        launcher = stack.enter_context(Launcher())
        results = Results(machine=machine.look(directory), short=asked.short)
        daemons = stack.enter_context(Daemons(directory, keep=asked.short))
        campaign = Campaign(directory, launcher, daemons, scale, tell)
        campaign.build(cases)
        for case in cases:
            if case.letter == "a":
                results.image = campaign.size("a")

            def before(kind: Kind, letter: str = case.letter) -> None:
                if letter == "a" and kind is Kind.SINK:
                    results.floors.append(floor.measure(launcher, directory, campaign.layers("a"), scale.floor))

            for reading in campaign.run(case, before):
                results.readings.append(reading)
                _write(results, output)  # what there is of a run that is broken off
        if "flight" in asked.only:
            results.flight = flight.measure(directory / "flight", scale)
        if "idle" in asked.only:
            results.idle = idle.measure(directory / "idle", scale.idle)
    _write(results, output)
    return results


def _write(results: Results, output: Path) -> None:
    (output / "results.json").write_text(results.encode())
    (output / "table.md").write_text(table.write(results))
    (output / "plot.svg").write_text(plot.draw(results.readings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Measure pushd beside crane and skopeo, which may be missing."
    )
    add = parser.add_argument
    add("--short", action="store_true", help="tiny sizes, once: shows that it works, and nothing of speed")
    add("--only", type=_names, default=list(_NAMES), metavar="NAMES", help=f"some of {','.join(_NAMES)}")
    add("--repetitions", type=_positive, metavar="N", help="timed runs of each case (default: its own)")
    add("--output", type=Path, metavar="DIRECTORY", help="for what was found (default: a new one)")
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in _NAMES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {','.join(_NAMES)}")
    return names


def _positive(text: str) -> int:
    if not text.isdecimal() or text == "0":
        raise argparse.ArgumentTypeError(f"{text} is no number of times")
    return int(text)


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a command for people)
