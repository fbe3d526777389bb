"""How the daemon stands at one moment, in the words of its metrics: values that cross from store and engine to them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What has not ended of the deliveries to one registry.

    Attributes:
        states: how many there are in each state in which one has not ended.
        needing: how many of those are held for want of a credential.
        since: when the time of the oldest of their jobs began to run, as for its deadline: pauses, and waits that were
            asked for, do not count. None when none waits but such as do so now.
        paused: whether the registry is.
    """

    states: Mapping[str, int] = field(default_factory=dict)
    needing: int = 0
    since: datetime | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRegistry:
    """How the work for one registry stands, or for several together.

    Attributes:
        states: deliveries in each state in which one has not ended,
        needing: and how many of those are held for want of a credential.
        age: seconds the oldest of their jobs has waited.
        uploads: that have a place.
        sent: bytes that went over the wire since the daemon started,
        rate: and in a second, now.
        throttled: seconds for which nothing goes there, because it asked for that.
        paused: whether it is paused, or one of them.
    """

    states: Mapping[str, int] = field(default_factory=dict)
    needing: int = 0
    age: float = 0.0
    uploads: int = 0
    sent: int = 0
    rate: int = 0
    throttled: float = 0.0
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How everything stands.

    Attributes:
        registries: by `host[:port]`, those of which there is something to say.
        spool: bytes in the spool.
        database: bytes of the database.
        free: bytes left on the disk.
        refusing: what is refused because the disk is short, of `push.budget`'s words.
        streams: event streams that are open.
    """

    registries: Mapping[str, AtRegistry]
    spool: int
    database: int
    free: int
    refusing: Collection[str]
    streams: int


def together(parts: Iterable[AtRegistry]) -> AtRegistry:
    """Give how several registries stand as if they were one; none at all stand as one nothing goes to."""
    parts = tuple(parts)
    states: Counter[str] = Counter()
    for part in parts:
        states.update(part.states)
    return AtRegistry(
        states=states,
        needing=sum(part.needing for part in parts),
        age=max((part.age for part in parts), default=0.0),
        uploads=sum(part.uploads for part in parts),
        sent=sum(part.sent for part in parts),
        rate=sum(part.rate for part in parts),
        throttled=max((part.throttled for part in parts), default=0.0),
        paused=any(part.paused for part in parts),
    )
