"""How much of a body is handed over at once, and until when it must have been taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pushd.registry.bodies import SLICE, Pulled
from tests.unit.registry.bodies import Pieces

if TYPE_CHECKING:
    from pushd.registry.watch import Watch

STALL, COMMIT = 60.0, 900.0
PIECE = bytes(4 * SLICE)


class Clock:
    """A watch whose time the test makes pass."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.left: float | None = None

    def now(self) -> float:
        return self.time

    def move(self, seconds: float) -> None:
        self.left = seconds

    def pause(self) -> None:
        self.left = None


def pulled(clock: Clock, *pieces: bytes) -> Pulled:
    return Pulled(Pieces(*pieces), cast("Watch", clock), stall=STALL, commit=COMMIT)


async def test_the_first_slice_is_small_and_whoever_takes_it_at_once_is_given_whole_pieces() -> None:
    clock = Clock()
    assert [len(part) async for part in pulled(clock, PIECE, PIECE)] == [SLICE, 3 * SLICE, 4 * SLICE]
    assert clock.left == COMMIT


async def test_whoever_takes_their_time_is_given_small_slices() -> None:
    clock, lengths = Clock(), []
    async for part in pulled(clock, PIECE):
        lengths.append(len(part))
        clock.time += 0.6
    assert lengths == [SLICE] * 4


async def test_more_at_once_may_take_as_much_longer() -> None:
    clock = Clock()
    seconds = [(len(part), clock.left) async for part in pulled(clock, PIECE, b"x")]
    assert seconds == [(SLICE, STALL), (3 * SLICE, 3 * STALL), (1, STALL)]
