"""What is written down of an entry beside its bytes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The content of `entry.json`.

    Attributes:
        uid: whose it is.
        size: bytes reserved.
        ttl: seconds it waits for more bytes, or for its job.
        own: whether the daemon made it itself, for one job: no caller waits to come back to it.
    """

    uid: int
    size: int
    created_at: datetime
    expires_at: datetime
    ttl: float
    own: bool = False

    @classmethod
    def fresh(cls, *, uid: int, size: int, ttl: float, now: datetime, own: bool = False) -> Self:
        """Give the record of an entry made `now`."""
        return cls(uid=uid, size=size, created_at=now, expires_at=now + timedelta(seconds=ttl), ttl=ttl, own=own)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read one.

        Raises:
            ValueError: it is damaged.
        """
        record = msgspec.json.decode(content, type=cls)
        if record.size < 0 or record.ttl < 0 or record.created_at.tzinfo is None or record.expires_at.tzinfo is None:
            raise ValueError("not what was written")
        return record

    def encode(self) -> bytes:
        """Write it."""
        return msgspec.json.encode(self)

    def touched(self, now: datetime) -> Self:
        """Give it as it is when something happened `now`: the time to live begins anew."""
        return replace(self, expires_at=max(self.expires_at, now + timedelta(seconds=self.ttl)))

    def outdated(self, saved: Self) -> bool:
        """Whether `saved` is so far behind that it should be written anew: by a quarter of the time to live."""
        return self.expires_at - saved.expires_at > timedelta(seconds=self.ttl / 4)


def utcnow() -> datetime:
    """Give the time."""
    return datetime.now(UTC)
