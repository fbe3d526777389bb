"""All that a run of the suite found."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.benchmarks.places import Kind
from tests.benchmarks.readings import Readings, Spread
from tests.benchmarks.targets import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.flight import Flight
    from tests.benchmarks.floor import Floor
    from tests.benchmarks.idle import Idle
    from tests.benchmarks.machine import Machine

_GIB = 1 << 30
CONDITIONS = {
    "authentication": "none",
    "read-back": "pushd asks for the digest of every tag it has put; crane and skopeo do not",
    "validation": "pushd and skopeo hash every byte they send; crane does not",
    "store": "durable: what pushd answers for is on disk first (SQLite, synchronous=FULL)",
    "cold": "a registry, a daemon and a home of their own for every run, with nothing in them",
}
"""What was switched on."""


@dataclass(slots=True, kw_only=True)
class Results:
    """It.

    Attributes:
        machine: what it was measured on.
        readings: of the cases.
        floors: measured one by one ahead of each repetition of (a) to the sink.
        short: whether it was the short form, whose figures mean nothing.
        image: bytes of the blobs of the image of (a).
        flight: many uploads at once; None when left out.
        idle: a daemon with nothing to do; None when left out.
    """

    machine: Machine
    short: bool = False
    readings: Readings = field(default_factory=Readings)
    floors: list[Floor] = field(default_factory=list)
    image: int = _GIB
    flight: Flight | None = None
    idle: Idle | None = None

    def floor_ratio(self, figure: Callable[[Floor], float]) -> Spread | None:
        """What (a) to the sink cost, to a figure of the floor beside it; pair by pair. None when it was left out."""
        ours = [
            it.cpu * _GIB / self.image
            for it in self.readings
            if (it.case, it.place, it.way, it.timed) == ("a", Kind.SINK, "pushd", True)
        ]
        pairs = list(zip(ours, self.floors, strict=False))
        return Spread.of([cpu / figure(floor) for cpu, floor in pairs]) if pairs else None

    def document(self) -> dict[str, Any]:
        """Give everything in JSON's types: what was read, raw, and what it is held against."""
        return {
            "machine": asdict(self.machine),
            "short": self.short,
            "conditions": CONDITIONS,
            "readings": [asdict(reading) for reading in self.readings],
            "image": self.image,
            "floors": [asdict(floor) for floor in self.floors],
            "flight": asdict(self.flight) if self.flight else None,
            "idle": asdict(self.idle) if self.idle else None,
            "targets": [asdict(judged) for judged in judge(self)],
        }

    def encode(self) -> str:
        """Give it as JSON."""
        return json.dumps(self.document(), indent=1) + "\n"
