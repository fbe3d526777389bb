from __future__ import annotations

import builtins
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pushd.service.memory import give_back, reuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class _Library:
    """What stands for the C library."""

    def __init__(self) -> None:
        self.kept: list[int] = []

    def malloc_trim(self, kept: int) -> int:
        self.kept.append(kept)
        return 1


def test_the_c_library_is_told_to_give_back_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    library = _Library()
    monkeypatch.setattr("ctypes.CDLL", lambda _: library)
    give_back()
    assert library.kept == [0]


@pytest.mark.parametrize("error", [ImportError("no _ctypes"), MemoryError("no memory that may be executed")])
def test_where_that_is_forbidden_nothing_happens(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    real, asked = builtins.__import__, []

    def refused(
        name: str,
        globals_: Mapping[str, object] | None = None,
        locals_: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if name == "ctypes":
            asked.append(name)
            raise error
        return real(name, globals_, locals_, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", refused)
    give_back()
    reuse()
    assert asked == ["ctypes", "ctypes"]


def test_where_there_is_no_such_call_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def library(name: object) -> object:
        asked.append(name)
        return object()

    monkeypatch.setattr("ctypes.CDLL", library)
    give_back()
    reuse()
    assert asked == [None, None]


_SETTLED = """
import gc
from pushd.service.memory import settle

def collected():
    return sum(generation["collections"] for generation in gc.get_stats())

def burst():
    before = collected()
    kept = [[number] for number in range(50_000)]
    return collected() - before

unsettled = burst()
settle()
assert gc.get_freeze_count() > 1000, "what there is by now is left alone"
print(unsettled, burst())
"""


def test_the_collector_looks_seldom_once_the_daemon_is_built() -> None:
    told = subprocess.run([sys.executable, "-c", _SETTLED], check=True, capture_output=True).stdout
    before, after = map(int, told.split())
    assert 10 * after <= before


_PIECES = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pushd.service.memory import reuse

def written(size):
    return b"x" * size

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "reused":
    reuse()
with ThreadPoolExecutor(4) as threads:
    before = faults()
    for _ in range(40):
        kept = [threads.submit(written, 1 << 20).result() for _ in range(24)]
        kept.clear()
    print(faults() - before)
"""


def _faults(how: str) -> int:
    """Give how many pages the kernel had to give for 960 MiB in pieces, of which 24 were there at once."""
    command = [sys.executable, "-c", _PIECES, how]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    return int(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is the GNU library's")
def test_the_pieces_of_uploads_use_the_same_memory_one_after_the_other() -> None:
    reused, as_it_comes = _faults("reused"), _faults("as it comes")
    assert 10 * reused < as_it_comes
