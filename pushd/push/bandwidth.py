"""How many bytes of blobs leave in a second: at most so many in all, and so many to one registry.

What decides is pure: a `Pace` says when the next bytes may go by one limit, `Paces` whose turn it is by all of them.
`Bandwidth` waits on the event loop, and `Paced` is a body that waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from pushd.push.ports.registry import Body

LEAST: Final = 1 << 10
"""Bytes that go at once at the least: at the lowest rate there is, those of a second."""
LATE: Final = 0.1
"""Seconds of its rate a line may catch up with, because timers are late; whatever else was not used is gone."""
_PARTS: Final = 10
"""Turns in a second: as many as make a second smooth, and few enough to cost nothing."""
_ALL: Final = ""
"""The limit that is for all registries; none has this name."""


@dataclass(frozen=True, slots=True)
class Pace:
    """One limit being kept: virtual scheduling, as in ITU-T I.371, annex A.

    Attributes:
        rate: bytes a second.
        free_at: when the next bytes may go, in seconds on any clock that does not go back.
    """

    rate: int
    free_at: float = float("-inf")

    @property
    def at_once(self) -> int:
        """Bytes that may go in one turn."""
        return max(self.rate // _PARTS, LEAST)

    def spend(self, count: int, now: float) -> Pace:
        """Give what is left when `count` bytes go now."""
        return replace(self, free_at=max(self.free_at, now - LATE) + count / self.rate)


@dataclass(slots=True, eq=False)
class Turn:
    """Somebody's turn to send.

    Attributes:
        registry: where to.
        size: bytes there are to send.
        count: bytes that may go; none before it is their turn.
    """

    registry: str
    size: int
    count: int = 0
    admitted: anyio.Event = field(default_factory=anyio.Event)


class Paces:
    """All limits, and who waits for them: first come, first served, within what each limit allows.

    A turn is given when everything that limits it allows it, and counted then: who waits has taken nothing, whichever
    limits come, change or go meanwhile.
    """

    def __init__(self) -> None:
        self._paces: dict[str, Pace] = {}
        self._waiting: deque[Turn] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def configure(self, *, total: int | None, per_registry: Mapping[str, int]) -> None:
        """Keep these limits from now on, in bytes a second; what has gone is not forgotten."""
        rates = {**per_registry} if total is None else {_ALL: total, **per_registry}
        self._paces = {name: replace(self._paces.get(name, Pace(rate)), rate=rate) for name, rate in rates.items()}

    def limits(self, registry: str) -> bool:
        """Whether anything limits what goes there."""
        return bool(self._bounds(registry))

    def ask(self, registry: str, size: int) -> Turn:
        """Wait for a turn to send `size` bytes, or as many of them as may go at once."""
        turn = Turn(registry, size)
        self._waiting.append(turn)
        return turn

    def leave(self, turn: Turn) -> None:
        """Wait no longer."""
        self._waiting.remove(turn)

    def admit(self, now: float) -> tuple[list[Turn], float | None]:
        """Give the turns that have come, and when to look again; None when nobody waits."""
        granted: list[Turn] = []
        shut: dict[str, float] = {}
        for turn in tuple(self._waiting):
            if _ALL in shut:
                break  # nobody's turn comes before that
            bounds = self._bounds(turn.registry)
            # Whoever waits for two limits keeps their place with both, but holds up nobody at the one that is free.
            early = {name: self._paces[name].free_at for name in bounds if self._paces[name].free_at > now}
            if early:
                shut |= early
                continue
            turn.count = min([turn.size, *(self._paces[name].at_once for name in bounds)])
            self._paces |= {name: self._paces[name].spend(turn.count, now) for name in bounds}
            self._waiting.remove(turn)
            granted.append(turn)
        return granted, min(shut.values(), default=None)

    def _bounds(self, registry: str) -> list[str]:
        return [name for name in (_ALL, registry) if name in self._paces]


class Bandwidth:
    """The limits of a daemon, waited for on its event loop.

    Args:
        total: bytes a second to all registries together; None for as many as there are.
        per_registry: those to one, by name.
    """

    def __init__(self, *, total: int | None = None, per_registry: Mapping[str, int] = MappingProxyType({})) -> None:
        self._paces = Paces()
        self._timer: asyncio.TimerHandle | None = None
        self.configure(total=total, per_registry=per_registry)

    def configure(self, *, total: int | None, per_registry: Mapping[str, int]) -> None:
        """Keep these limits from now on. Who waits goes by them after the turn before theirs: within a second."""
        self._paces.configure(total=total, per_registry=per_registry)

    def limits(self, registry: str) -> bool:
        """Whether anything limits what goes there."""
        return self._paces.limits(registry)

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return self._paces.waiting

    async def turn(self, registry: str, size: int) -> int:
        """Wait until bytes may go to a registry; give how many of `size`, which is at least one."""
        if not self.limits(registry):
            return size
        turn = self._paces.ask(registry, size)
        self._admit()
        try:
            await turn.admitted.wait()
        finally:
            if not turn.count:
                self._paces.leave(turn)
                self._admit()
        return turn.count

    def _admit(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        granted, again = self._paces.admit(loop.time())
        for turn in granted:
            turn.admitted.set()
        self._timer = None if again is None else loop.call_at(again, self._admit)


class Paced:
    """A body that leaves no faster than it may.

    A part at a time is cut from a piece, which is neither copied nor held any longer than without; where nothing
    limits it, the piece itself is given.

    Args:
        body: whose bytes they are.
        bandwidth: gives the turns.
        registry: where they go.
        sent: told the bytes of each part that goes.
    """

    def __init__(self, body: Body, bandwidth: Bandwidth, registry: str, *, sent: Callable[[int], None]) -> None:
        self._body = body
        self._bandwidth = bandwidth
        self._registry = registry
        self._sent = sent

    @property
    def length(self) -> int:
        """Bytes it will give."""
        return self._body.length

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        pieces: AsyncIterator[bytes] = aiter(self._body)
        try:
            async for piece in pieces:
                left = memoryview(piece)
                while left:
                    count = await self._bandwidth.turn(self._registry, len(left))
                    # A view is what the wire makes of whatever it is given.
                    part = piece if count == len(piece) else cast("bytes", left[:count])
                    left = left[count:]
                    self._sent(len(part))
                    yield part
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
