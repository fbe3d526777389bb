"""What is measured is what was spent."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.cores import Cores, confined
from tests.benchmarks.measuring import CommandFailed, Launcher, cpu_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20
SPEND = "import time\nwhile time.process_time() < 0.2: pass"
FILL = f"import os; held = bytearray(os.urandom({32 * MIB}))"


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    with Launcher() as it:
        yield it


def test_what_a_program_spends_is_its_own_and_its_peers_alone(launcher: Launcher, tmp_path: Path) -> None:
    output, environment = tmp_path / "output", dict(os.environ)

    spent = launcher.run([[sys.executable, "-c", SPEND]] * 2, output=output, environment=environment)
    filled = launcher.run([["true"], [sys.executable, "-c", FILL]], output=output, environment=environment)
    empty = launcher.run([["true"]], output=output, environment=environment)

    assert spent.cpu >= 0.4
    assert spent.wall >= 0.4, "one after the other"
    assert filled.memory >= 32 * MIB
    assert empty.memory < 24 * MIB, "neither this process nor the programs before count"


def test_programs_run_where_they_are_told_to_and_so_many_at_a_time(launcher: Launcher, tmp_path: Path) -> None:
    output = tmp_path / "output"
    told = "import os; print(*os.sched_getaffinity(0), flush=True)"
    core = max(os.sched_getaffinity(0))

    # Each waits until the other has begun: one after the other would never end.
    meet = f"touch {tmp_path}/$0; until [ -e {tmp_path}/$1 ]; do sleep 0.01; done"
    pair = [["sh", "-c", meet, "left", "right"], ["sh", "-c", meet, "right", "left"]]
    launcher.run(pair, output=output, environment=dict(os.environ), together=2)
    launcher.run([[sys.executable, "-c", told]], output=output, environment={}, cores=[core])
    launcher.run([[sys.executable, "-c", told]], output=output, environment={})

    first, second = output.read_text().splitlines()
    assert first == str(core)
    assert set(map(int, second.split())) == os.sched_getaffinity(0)


def test_a_program_that_fails_is_no_measurement(launcher: Launcher, tmp_path: Path) -> None:
    failing = ["sh", "-c", "echo it is too late >&2; exit 3"]

    with pytest.raises(CommandFailed, match=r"exit 3 ended with 3:\n.*it is too late"):
        launcher.run([["true"], failing], output=tmp_path / "output", environment=dict(os.environ))


def test_the_cpu_clock_of_a_process_is_what_the_process_sees_itself() -> None:
    before, seen, after = time.process_time(), cpu_of(os.getpid()), time.process_time()

    assert before <= seen <= after


def test_client_and_registry_get_a_core_each_where_there_are_two() -> None:
    everywhere = os.sched_getaffinity(0)
    apart = Cores.apart()

    if len(everywhere) > 1:
        assert apart.client is not None
        assert apart.registry is not None
        assert (len(apart.client), len(apart.registry)) == (1, 1)
        assert apart.client | apart.registry <= everywhere
        assert apart.client != apart.registry
    with confined(frozenset([min(everywhere)])):
        assert Cores.apart() == Cores()
        assert not Cores.apart().pinned
    assert os.sched_getaffinity(0) == everywhere
