"""How long an upload session goes on trying without a byte of progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushd.errors import RegistryError
    from pushd.oci.upload.limits import Limits


class Patience:
    """Counts failures in a row, and says how long to wait after each: exponential, capped, with jitter.

    Args:
        limits: how often, and how long.
        rng: gives numbers in [0, 1).
    """

    def __init__(self, limits: Limits, rng: Callable[[], float]) -> None:
        self._limits = limits
        self._rng = rng
        self._failures = 0

    @property
    def exhausted(self) -> bool:
        """Whether the next failure is one too many."""
        return self._failures >= self._limits.retries

    def renew(self) -> None:
        """There was progress."""
        self._failures = 0

    def spend(self, error: RegistryError) -> float:
        """Give the seconds to wait before the next try.

        At least half of the pause is kept: straight after a broken chunk a registry does not know its own offset
        (distribution 3.x). A registry that asks for more than `pause_max` is not waited for in a place that others
        could use.

        Raises:
            RegistryError: `error`; it was one too many, or the registry asks for more patience than there is here.
        """
        asked = error.retry_after or 0.0
        if self.exhausted or asked > self._limits.pause_max:
            raise error
        backoff = min(self._limits.pause * 2.0**self._failures, self._limits.pause_max)
        self._failures += 1
        return max(asked, backoff * (0.5 + self._rng() / 2))
