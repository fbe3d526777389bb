"""Who runs where."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Cores:
    """A core for the client and another for the registry; None leaves it to the kernel."""

    client: frozenset[int] | None = None
    registry: frozenset[int] | None = None

    @classmethod
    def apart(cls) -> Cores:
        """Give one to each, where there are two."""
        available = sorted(os.sched_getaffinity(0))
        if len(available) < 2:
            return cls()
        return cls(client=frozenset(available[:1]), registry=frozenset(available[1:2]))

    @property
    def pinned(self) -> bool:
        """Whether they are kept apart."""
        return self.client is not None


@contextmanager
def confined(cores: frozenset[int] | None) -> Iterator[None]:
    """Have what is started in the block run on these cores, and see no others: Go counts them once."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
