"""How many small blobs may travel to one registry at once: more, as long as none of them takes longer for it.

A small blob costs round trips, and to a registry far away nothing else: 100 of 256 KiB over a link of 80 ms took 2.2 s
sixteen at a time, and 1.6 s with a window that grew. One that is near is at its limit with a few, shows it by its
times, and is left at that.
"""

from __future__ import annotations

import math
from typing import Final

START: Final = 16
"""How many to begin with: what a registry next door is at its limit with, and one far away does not notice."""
_MOST: Final = 64
"""How many there are at most: each has a connection of its own."""
_CALM: Final = 2.0
"""Times the shortest time that one may take without being a sign of crowding."""
_FORGETTING: Final = 1.01
"""How the shortest time grows with each blob: what was measured in the night says little about the day."""


class Window:
    """Of one registry.

    Attributes:
        size: how many there may be now; never fewer than to begin with: that a registry wants to be left alone is told
            by its door.
    """

    __slots__ = ("_shortest", "size")

    def __init__(self) -> None:
        self._shortest = math.inf
        self.size = START

    def landed(self, seconds: float, *, full: bool) -> None:
        """A blob was sent and stored.

        Args:
            seconds: from its first request to the last answer.
            full: whether there were as many as there may be: only then would more of them make a difference.
        """
        self._shortest = min(seconds, self._shortest * _FORGETTING)
        if seconds > _CALM * self._shortest:
            self.size = max(START, self.size - 1)
        elif full:
            self.size = min(self.size + 1, _MOST)
