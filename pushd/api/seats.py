"""How many streams each user has open."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pushd.errors import Code, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Seats:
    """So many for each user, and no more: one program gone wrong leaves the others their streams.

    Attributes:
        each: streams one user may have open.
    """

    def __init__(self, each: int) -> None:
        self.each = each
        self._taken: Counter[int] = Counter()

    @contextmanager
    def taken(self, uid: int) -> Iterator[None]:
        """Hold one of a user's seats over the block.

        Raises:
            RequestError: `request.limit`, they are all taken.
        """
        if self._taken[uid] >= self.each:
            raise RequestError(
                Code.REQUEST_LIMIT,
                "events",
                f"uid {uid} has {self.each} streams open, which is the most",
                hint="close some of them, or ask the administrator for a larger limits.streams_per_user",
            )
        self._taken[uid] += 1
        try:
            yield
        finally:
            self._taken[uid] -= 1
            if not self._taken[uid]:
                del self._taken[uid]
