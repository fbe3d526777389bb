"""How far the bytes of an image are that are brought to the daemon, and how that is said in lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pushd.ctl.quantities import show_bytes, show_duration

if TYPE_CHECKING:
    from typing import TextIO

_WINDOW = 10.0  # seconds
_UNKNOWN_STEP = 100_000_000  # bytes between two lines when nobody knows how many there are in all


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """How far it is.

    Attributes:
        done: bytes the daemon has.
        total: bytes in all; None for a stream, which does not say.
        samples: when how many were there, in the last seconds, on a clock that does not go back.
    """

    done: int = 0
    total: int | None = None
    samples: tuple[tuple[float, int], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing is left to bring; of a stream nobody knows."""
        return self.total is not None and self.done >= self.total

    def after(self, done: int, total: int | None, now: float) -> Brought:
        """Give how far it is once `done` bytes are there at `now`."""
        recent = [sample for sample in self.samples if sample[0] > now - _WINDOW]
        return Brought(done=done, total=total, samples=(*recent, (now, done)))

    @property
    def rate(self) -> float:
        """Bytes a second, over the last ten seconds."""
        if len(self.samples) < 2:  # noqa: PLR2004 (a pace needs two points)
            return 0.0
        (first, before), (last, after) = self.samples[0], self.samples[-1]
        return (after - before) / (last - first) if last > first else 0.0

    @property
    def pace(self) -> str:
        """Rate and time left in words, as far as they are known."""
        if self.rate <= 0:
            return ""
        pace = f"{show_bytes(self.rate)}/s"
        if self.total is None:
            return pace
        return f"{pace} {show_duration((self.total - self.done) / self.rate)} left"

    @property
    def step(self) -> int:
        """Which tenth it is in, or of a stream which hundred megabytes."""
        if self.total is None:
            return self.done // _UNKNOWN_STEP
        return self.done * 10 // self.total if self.total else 10


class View(Protocol):
    """Something that shows it, from the first byte on."""

    def show(self, brought: Brought) -> None:
        """Show how far it is."""

    def close(self) -> None:
        """End, and leave the terminal as it was."""


class Silent:
    """Shows nothing."""

    def show(self, brought: Brought) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing was drawn."""


class Lines:
    """A plain line for each tenth."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told = 0

    def show(self, brought: Brought) -> None:
        """Tell, once a tenth more is there."""
        if brought.step <= self._told:
            return
        self._told = brought.step
        share = "" if brought.total is None else f" {brought.step * 10}%,"
        size = show_bytes(brought.done) + ("" if brought.total is None else f" of {show_bytes(brought.total)}")
        pace = f", {brought.pace}" if brought.pace else ""
        print(f"to the daemon:{share} {size}{pace}", file=self._stream, flush=True)

    def close(self) -> None:
        """Lines stay."""
