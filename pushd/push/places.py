"""How much runs at once: places for uploads per registry, and one budget of memory for their buffers.

A place and the memory that goes with it are given together or not at all, in the order of asking among those that
could be served: who waits holds nothing. Small blobs have a lane of their own, so that a hundred of them do not wait
behind one layer of ten gigabytes, nor the other way round; how wide it is follows the registry.
"""

from __future__ import annotations

from collections import Counter, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import anyio

from pushd.push.window import START, Window

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

SMALL_MAX = 256 << 10
"""Bytes up to which a blob travels in the small lane: what costs more round trips than bytes."""
PIECE = 512 << 10
"""Bytes read, hashed and sent at once: what is still in the processor's cache when it is sent. Of 1 MiB, of which two
must fit, a push cost 12 % more CPU, of 256 KiB 20 %."""
PIECE_SCARCE = 192 << 10
"""Where many uploads share the memory."""
_BUFFERS = 3
"""Pieces in memory per upload: one in the transport, one given to it, one read ahead."""
_KNOWN = 512
"""Registries from which on those nothing travels to are forgotten: callers may name any host, one after the other."""


@dataclass(eq=False, slots=True)
class _Waiter:
    lane: tuple[str, bool]
    size: int
    piece: int = 0
    admitted: anyio.Event = field(default_factory=anyio.Event)


class Places:
    """Places for uploads.

    Args:
        large: uploads per registry.
        small: uploads of small blobs per registry, beside those; None for as many as `Window` has it.
        memory: bytes for the buffers of all uploads.
        per_registry: what is configured otherwise for one, by name: its number of large places. Of small ones it has
            no more than a window has to begin with.
    """

    def __init__(
        self, *, large: int, small: int | None, memory: int, per_registry: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self._memory = self._free = 0
        self._taken: Counter[tuple[str, bool]] = Counter()
        self._waiting: deque[_Waiter] = deque()
        self.configure(large=large, small=small, memory=memory, per_registry=per_registry)

    def configure(self, *, large: int, small: int | None, memory: int, per_registry: Mapping[str, int]) -> None:
        """Have as many from now on. What has a place keeps it, however few there are."""
        self._large = large
        self._small = small
        self._windows: dict[str, Window] = {}
        self._per_registry = per_registry
        self._free += memory - self._memory
        self._memory = memory
        self._admit()

    @property
    def running(self) -> int:
        """Uploads that have a place."""
        return self._taken.total()

    @property
    def at_registries(self) -> Counter[str]:
        """How many of those there are at each registry."""
        found: Counter[str] = Counter()
        for (registry, _), taken in self._taken.items():
            found[registry] += taken
        return +found

    @property
    def waiting(self) -> int:
        """Uploads that wait for one."""
        return len(self._waiting)

    @asynccontextmanager
    async def place(self, registry: str, size: int) -> AsyncIterator[int]:
        """Wait for a place for a blob of `size` bytes; give the piece size, in bytes, it is to travel in."""
        waiter = _Waiter((registry, size <= SMALL_MAX), size)
        self._waiting.append(waiter)
        self._admit()
        try:
            if not waiter.piece:
                await waiter.admitted.wait()
            yield waiter.piece
        finally:
            if waiter.piece:
                self._taken[waiter.lane] -= 1
                self._free += self._need(waiter.size, waiter.piece)
            else:
                self._waiting.remove(waiter)
            self._admit()

    def landed(self, registry: str, size: int, seconds: float) -> None:
        """A blob of `size` bytes, which still has its place, was sent and stored within so many seconds."""
        if size <= SMALL_MAX and self._small is None and registry not in self._per_registry:
            window = self._window(registry)
            window.landed(seconds, full=self._taken[registry, True] >= window.size)

    def _window(self, registry: str) -> Window:
        if registry not in self._windows:
            if len(self._windows) >= _KNOWN:
                self._windows = {it: kept for it, kept in self._windows.items() if self._taken[it, True]}
            self._windows[registry] = Window()
        return self._windows[registry]

    def _admit(self) -> None:
        """Give places to those that wait, first come first served within what each could use."""
        full: set[tuple[str, bool]] = set()
        for waiter in tuple(self._waiting):
            if waiter.lane in full:
                continue
            piece = PIECE if self._free > max(self._memory // 3, _BUFFERS * PIECE) else PIECE_SCARCE
            need = self._need(waiter.size, piece)
            if self._taken[waiter.lane] >= self._limit(*waiter.lane):
                full.add(waiter.lane)
            elif need > self._free and self._free < self._memory:
                return  # memory goes to whoever waits longest, or a large blob would starve behind small ones
            else:
                self._waiting.remove(waiter)
                self._taken[waiter.lane] += 1
                self._free -= need
                waiter.piece = piece
                waiter.admitted.set()

    def _limit(self, registry: str, small: bool) -> int:  # noqa: FBT001 (the two parts of a lane)
        if not small:
            return self._per_registry.get(registry, self._large)
        if self._small is not None:
            return self._small
        return self._windows[registry].size if registry in self._windows else START

    @staticmethod
    def _need(size: int, piece: int) -> int:
        return min(size, _BUFFERS * piece)
