"""The process is measured with what its own directory in /proc tells, which is all the service is shown."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pushd.telemetry.process import ProcessCollector

if TYPE_CHECKING:
    import pytest


def measured(directory: Path = Path("/proc/self")) -> dict[str, float]:
    return {
        sample.name.removeprefix("pushd_process_"): sample.value
        for metric in ProcessCollector("pushd", directory).collect()
        for sample in metric.samples
    }


def test_memory_and_time_are_those_of_this_process() -> None:
    found = measured()

    assert 1 << 20 < found["resident_memory_bytes"] < found["virtual_memory_bytes"]
    assert 0 < found["cpu_seconds_total"] <= sum(os.times()[:2]) + 1
    assert found["open_fds"] < found["max_fds"]


def test_a_descriptor_that_is_opened_is_counted_and_that_of_the_look_is_not() -> None:
    before = measured()["open_fds"]
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(Path("/dev/null").open("rb"))
        assert measured()["open_fds"] == before + 3
    assert measured()["open_fds"] == before


def test_only_the_directory_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    opened = Path.open

    def watched(path: Path, *args: object, **kwargs: object) -> object:
        read.append(str(path))
        return opened(path, *args, **kwargs)  # type: ignore[call-overload]  # whatever is asked for

    monkeypatch.setattr(Path, "open", watched)
    measured()
    assert read
    assert {path for path in read if not path.startswith("/proc/self/")} == set()


def test_what_is_hidden_is_left_out(tmp_path: Path) -> None:
    assert measured(tmp_path).keys() == {"cpu_seconds_total", "max_fds"}
