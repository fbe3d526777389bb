"""Locks by key: one at a time per key, and nothing kept for a key nobody holds."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

K = TypeVar("K", bound="Hashable")


class KeyedLocks(Generic[K]):
    """A lock per key. Whoever finds nobody there goes in without a turn of the loop."""

    def __init__(self) -> None:
        self._locks: dict[K, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def holding(self, key: K) -> AsyncIterator[bool]:
        """Wait until nobody else holds `key`, in the order of asking, and hold it; give whether anybody did."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield users > 0
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)
