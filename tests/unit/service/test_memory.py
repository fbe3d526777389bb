from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

import pytest

from pushd.service.memory import give_back

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
    assert asked == ["ctypes"]


def test_where_there_is_no_such_call_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def library(name: object) -> object:
        asked.append(name)
        return object()

    monkeypatch.setattr("ctypes.CDLL", library)
    give_back()
    assert asked == [None]
