"""What is done to the daemon, and when: everything random of a run, drawn from its seed before it begins."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from enum import Enum, unique
from typing import TYPE_CHECKING

from tests.fakes.images import ImageSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALLEST = 1000
"""Bytes of the smallest layer."""


@unique
class Blow(Enum):
    """What befalls the daemon or what it depends on."""

    KILL = "kill"
    """SIGKILL, and the next life begins at once."""
    CUT = "cut"
    """Some connections to the registry break."""
    RESTART = "restart"
    """The registry is killed, and comes back after a while."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One blow.

    Attributes:
        after: seconds since the blow before it.
        size: between 0 and 1: how many of the connections are cut, or of a second the registry stays away.
    """

    after: float
    blow: Blow
    size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordeal:
    """A run.

    Attributes:
        seed: the same seed gives the same images, destinations, blows and pauses. What meets what, the clock decides.
        kills: how many times the daemon is killed.
        images: how many there are. When all were submitted and kills are to come they are submitted again, to the
            registry by another name: what it holds under the one it is not believed to hold under the other.
        largest: bytes of the largest layer.
        rate: bytes a second to the registry, of all connections together.
        every: seconds between two blows, on average. Where `spare`, they are more where that is too short.
        spare: leave more than twice the largest blob's time between two blows, for registries that keep nothing of a
            chunk that broke: others make progress under any.
        delay: seconds of latency in each direction.
        uploads: of large blobs at one time.
    """

    seed: int
    kills: int
    images: int
    largest: int
    rate: float
    every: float
    spare: bool = False
    delay: float = 0.005
    uploads: int = 4

    @property
    def specs(self) -> list[ImageSpec]:
        """The images: sizes spread evenly over the orders of magnitude, the largest and the smallest among them."""
        rng = self._rng("images")
        specs = []
        for number in range(self.images):
            layers = [self._size(rng) for _ in range(rng.randint(1, 4))]
            layers += [self.largest] if number == 0 else [SMALLEST] if number == 1 else []
            specs.append(ImageSpec(tag=f"v{number}", layers=layers, seed=f"{self.seed}/{number}"))
        return specs

    def destinations(self, number: int, registry: str) -> list[str]:
        """Give where submission `number` goes: one to three places, in repositories of its own."""
        rng = self._rng(f"destinations/{number}")
        places = [f"{registry}/s{number}/app:v1", f"{registry}/s{number}/app:stable", f"{registry}/s{number}/mirror:v1"]
        return rng.sample(places, rng.randint(1, 3))

    def repeats(self, number: int) -> bool:
        """Whether submission `number` is made again though it was answered: one in four."""
        return self._rng(f"repeats/{number}").random() < 1 / 4

    @property
    def strikes(self) -> Iterator[Strike]:
        """The blows, the kills among them; the last one is a kill."""
        rng = self._rng("strikes")
        kills = 0
        while kills < self.kills:
            blow = Blow.KILL if kills == self.kills - 1 else rng.choices(list(Blow), [80, 15, 5])[0]
            yield Strike(self._pause(rng), blow, rng.random())
            kills += blow is Blow.KILL

    @property
    def largest_takes(self) -> float:
        """Seconds the largest blob takes while all others that may travel do."""
        return self.largest * self.uploads / self.rate

    def _pause(self, rng: random.Random) -> float:
        if not self.spare:
            return rng.expovariate(1 / self.every)  # as likely at any moment as at any other
        return max(self.every, self.largest_takes) * rng.uniform(2.1, 3.0)

    def _size(self, rng: random.Random) -> int:
        return round(math.exp(rng.uniform(math.log(SMALLEST), math.log(self.largest))))

    def _rng(self, of: str) -> random.Random:
        return random.Random(f"{self.seed}/{of}")
