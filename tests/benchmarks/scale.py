"""How much is pushed, and how often: the long form, and the short one that only shows that everything works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KIB = 1 << 10
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Sizes are bytes, times are seconds.

    Attributes:
        layers: of the image of a case, by the letter of the case.
        images: that share all layers but one.
        jobs: small ones, by who pushes them: a slow one need not do them all.
        repetitions: timed ones, by the letter of the case; 0 has the counted one timed.
        settled: how old files must be before the first run: the daemon remembers the digests of settled files only.
        flight: uploads at once.
        flight_layer: of each of them.
        flight_rate: bytes a second that each is taken at.
        flight_time: for which they are looked at.
        round_trip: of the slow link.
        idle: for which an idle daemon is looked at.
        floor: bytes by which the floor is measured.
    """

    layers: Mapping[str, Sequence[int]]
    images: int
    jobs: Mapping[str, int]
    repetitions: Mapping[str, int]
    settled: float = 3.5
    flight: int
    flight_layer: int
    flight_rate: float
    flight_time: float
    round_trip: float = 0.08
    idle: float
    floor: int


LONG = Scale(
    layers={
        "a": [128 * _MIB] * 8,
        "b": [64 * _KIB] * 100,
        "c": [20_000] * 5,
        "e": [2_000] * 2,
        "f": [32 * _MIB] * 8,
        "g": [2 * _MIB] * 9 + [256 * _KIB],
        "h": [256 * _KIB] * 100,
    },
    images=20,
    jobs={"pushd": 1000, "crane": 100, "skopeo": 40},
    repetitions={"a": 4, "b": 5, "c": 7, "d": 7, "e": 2, "f": 2, "g": 2, "h": 2, "i": 3},
    flight=200,
    flight_layer=1 << 30,
    flight_rate=0.75 * _MIB,
    flight_time=15.0,
    idle=60.0,
    floor=1 << 30,
)

SHORT = Scale(
    layers={
        "a": [100 * _KIB] * 8,
        "b": [2 * _KIB] * 10,
        "c": [2_000] * 5,
        "e": [1_000],
        "f": [100 * _KIB] * 2,
        "g": [2 * _KIB] * 4,
        "h": [2 * _KIB] * 4,
    },
    images=3,
    jobs={"pushd": 10, "crane": 3, "skopeo": 2},
    repetitions=dict.fromkeys("abcdefghi", 0),
    settled=0.0,
    round_trip=0.01,
    flight=16,
    flight_layer=8 * _MIB,
    flight_rate=256 * _KIB,
    flight_time=0.3,
    idle=0.5,
    floor=16 * _MIB,
)
