"""What came of one operation handed to a thread of the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushd.telemetry.events import Event


@dataclass(frozen=True, slots=True)
class Answer:
    """What one operation came to.

    Attributes:
        value: what it gave.
        error: what it raised, then `value` means nothing.
        told: the durable events it wrote, in order; none when it failed.
    """

    value: object = None
    error: BaseException | None = None
    told: tuple[Event, ...] = ()
