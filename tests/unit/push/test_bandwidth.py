from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushd.push.bandwidth import LATE, LEAST, Bandwidth, Pace, Paced, Paces

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence

    from pushd.push.bandwidth import Turn

KIB = 1 << 10
MIB = 1 << 20


@dataclass
class Line:
    """Transfers that always have something to send, on a clock of their own.

    Attributes:
        late: seconds after which a timer goes off that should have gone off before.
        piece: bytes each of them asks for at once.
        sent: what left: when, whose it was, and how much.
    """

    paces: Paces
    late: Callable[[], float] = lambda: 0.0
    piece: int = MIB
    now: float = 1000.0
    sent: list[tuple[float, str, int]] = field(default_factory=list)

    def run(self, transfers: Mapping[str, str], seconds: float) -> None:
        """Send for a while; `transfers` tells the registry each goes to."""
        owners = {self.paces.ask(registry, self.piece): name for name, registry in transfers.items()}
        end = self.now + seconds
        while self.now < end:
            granted, again = self.paces.admit(self.now)
            for turn in granted:
                name = owners.pop(turn)
                self.sent.append((self.now, name, turn.count))
                owners[self.paces.ask(transfers[name], self.piece)] = name
            if not granted:
                assert again is not None, "somebody waits for something"
                assert again > self.now
                self.now = again + self.late()
        for turn in owners:
            self.paces.leave(turn)

    def of(self, names: Collection[str]) -> list[tuple[float, int]]:
        return [(at, count) for at, name, count in self.sent if name in names]

    @property
    def all(self) -> list[tuple[float, int]]:
        return [(at, count) for at, _, count in self.sent]

    def shares(self) -> Counter[str]:
        shares: Counter[str] = Counter()
        for _, name, count in self.sent:
            shares[name] += count
        return shares


def busiest(sent: Sequence[tuple[float, int]], seconds: float = 1.0) -> int:
    """Give the bytes of the busiest window of so many seconds."""
    most = total = 0
    ends = iter(sent)
    window: list[tuple[float, int]] = []
    for at, count in ends:
        heapq.heappush(window, (at, count))
        total += count
        while window[0][0] <= at - seconds:
            total -= heapq.heappop(window)[1]
        most = max(most, total)
    return most


def limited(total: int | None = None, **per_registry: int) -> Paces:
    paces = Paces()
    paces.configure(total=total, per_registry=per_registry)
    return paces


RATES = st.integers(LEAST, 1 << 30)
LATENESS = st.lists(st.floats(0, LATE), min_size=1, max_size=20).map(itertools.cycle)


# --------------------------------------------------------------------------------------------------- one pace


@settings(deadline=None)
@given(rate=RATES, late=LATENESS, transfers=st.integers(1, 30), piece=st.sampled_from([1, 4000, 256 * KIB, MIB]))
def test_no_second_has_much_more_than_the_rate(
    rate: int, late: itertools.cycle[float], transfers: int, piece: int
) -> None:
    line = Line(limited(rate), late.__next__, max(piece, rate // 100))
    line.run({str(number): "a" for number in range(transfers)}, 5)

    at_once = Pace(rate).at_once
    assert at_once <= max(rate // 10, LEAST)
    assert busiest(line.all) <= rate * (1 + LATE) + at_once + 1
    assert rate * LATE + at_once <= max(rate / 4, 2 * LEAST), "that is what much more means"


@settings(deadline=None)
@given(rate=RATES, late=LATENESS)
def test_and_over_a_while_the_rate_is_reached_although_timers_are_late(rate: int, late: itertools.cycle[float]) -> None:
    line = Line(limited(rate), late.__next__, max(MIB, rate // 100))
    line.run({"one": "a"}, 5)

    assert sum(count for _, count in line.all) >= 0.9 * 5 * rate - LEAST


def test_what_was_not_used_is_not_saved_up() -> None:
    line = Line(limited(MIB))
    line.run({"one": "a"}, 1)
    line.now += 3600
    before = len(line.sent)
    line.run({"one": "a"}, 1)

    assert sum(count for _, count in line.all[before:]) <= 1.25 * MIB


def test_a_rate_of_one_kibibyte_sends_one_each_second() -> None:
    line = Line(limited(KIB))
    line.run({"one": "a"}, 10)

    assert [round(at - 1000, 1) for at, _ in line.all[:4]] == [0.0, 0.9, 1.9, 2.9], "a tenth may be caught up with"
    assert {count for _, count in line.all} == {KIB}


# ---------------------------------------------------------------------------------------------------- several


@settings(deadline=None)
@given(transfers=st.integers(2, 24), rate=st.integers(10 * KIB, 100 * MIB))
def test_those_that_go_to_one_registry_share_its_rate_evenly(transfers: int, rate: int) -> None:
    names = {str(number): "a" for number in range(transfers)}
    line = Line(limited(a=rate), piece=256 * KIB)
    line.run(names, 5)

    shares = line.shares()
    assert shares.keys() == names.keys()
    assert max(shares.values()) - min(shares.values()) <= Pace(rate).at_once


def test_the_stricter_of_two_limits_wins() -> None:
    line = Line(limited(MIB, slow=100 * KIB, quick=10 * MIB))
    line.run({"slow": "slow", "quick": "quick"}, 20)

    shares = line.shares()
    assert shares["slow"] == pytest.approx(20 * 100 * KIB, rel=0.1)
    assert shares["slow"] + shares["quick"] == pytest.approx(20 * MIB, rel=0.05)


@settings(deadline=None)
@given(
    total=RATES,
    rates=st.lists(RATES, min_size=1, max_size=4),
    late=LATENESS,
    transfers=st.lists(st.integers(0, 4), min_size=1, max_size=12),
)
def test_every_limit_is_kept_whatever_else_there_is(
    total: int, rates: list[int], late: itertools.cycle[float], transfers: list[int]
) -> None:
    per_registry = {f"r{number}": rate for number, rate in enumerate(rates)}
    names = {f"{number} to r{to}": f"r{to}" for number, to in enumerate(transfers)}
    line = Line(limited(total, **per_registry), late.__next__, max(4000, total // 100))
    line.run(names, 3)

    assert busiest(line.all) <= total * (1 + LATE) + Pace(total).at_once + 1
    for registry, rate in per_registry.items():
        there = line.of({name for name, to in names.items() if to == registry})
        assert busiest(there) <= rate * (1 + LATE) + Pace(rate).at_once + 1


def test_a_slow_registry_holds_up_no_other() -> None:
    line = Line(limited(slow=KIB), piece=4 * KIB)
    paces = line.paces
    for _ in range(5):
        paces.ask("slow", MIB)
    elsewhere = paces.ask("other", MIB)
    granted, _ = paces.admit(0.0)

    assert elsewhere in granted
    assert elsewhere.count == MIB, "nothing limits it"


def test_nobody_who_waits_for_two_limits_starves_behind_those_who_wait_for_one() -> None:
    line = Line(limited(10 * MIB, slow=MIB), piece=MIB)
    line.run({"slow": "slow", **{str(number): "other" for number in range(20)}}, 20)

    fair = 20 * 10 * MIB / 21
    assert line.shares()["slow"] > fair / 20
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(line.of({"slow"}))]
    assert max(gaps) < 21 * 0.1 + 0.2, "one turn of each, at most"


# ---------------------------------------------------------------------------------------------- another rate


@settings(deadline=None)
@given(before=RATES, after=RATES)
def test_another_rate_is_kept_within_a_second(before: int, after: int) -> None:
    line = Line(limited(before), piece=100 * MIB)
    line.run({"one": "a", "two": "a"}, 2)
    line.paces.configure(total=after, per_registry={})
    changed_at, count = line.now, len(line.sent)
    line.run({"one": "a", "two": "a"}, 10)

    since = line.all[count:]
    assert since[0][0] <= changed_at + 1
    assert busiest(since) <= after * (1 + LATE) + Pace(after).at_once + 1
    assert sum(size for _, size in since) >= 0.8 * 10 * after - LEAST


def test_who_waits_when_the_rate_changes_is_given_what_the_new_one_allows() -> None:
    paces = limited(100 * MIB)
    paces.admit(0.0)
    *_, last = [paces.ask("a", 100 * MIB) for _ in range(3)]
    assert len(paces.admit(0.0)[0]) == 2
    paces.configure(total=KIB, per_registry={})
    assert paces.admit(0.5)[0] == [last]
    assert last.count == KIB


def test_without_a_limit_any_more_everybody_goes() -> None:
    paces = limited(KIB, a=KIB)
    turns = [paces.ask("a", MIB) for _ in range(3)]
    paces.admit(0.0)
    paces.configure(total=None, per_registry={})
    granted, again = paces.admit(0.0)

    assert (granted, again) == (turns[1:], None)
    assert [turn.count for turn in granted] == [MIB, MIB]


def test_to_name_the_same_rate_again_changes_nothing() -> None:
    paces = limited(KIB)
    paces.ask("a", MIB)
    paces.admit(0.0)
    paces.ask("a", MIB)
    _, before = paces.admit(0.0)
    paces.configure(total=KIB, per_registry={"other": MIB})

    assert paces.admit(0.0) == ([], before)


# ----------------------------------------------------------------------------------------------- on the loop


def bandwidth(total: int | None = None, **per_registry: int) -> Bandwidth:
    return Bandwidth(total=total, per_registry=per_registry)


async def test_without_a_limit_nobody_waits() -> None:
    house = bandwidth(other=KIB)
    async with asyncio.timeout(5):
        assert [await house.turn("a", MIB) for _ in range(1000)] == [MIB] * 1000


async def test_it_takes_as_long_as_the_rate_says() -> None:
    house = bandwidth(100 * KIB)
    started = time.monotonic()
    sent = 0
    while sent < 60 * KIB:
        sent += await house.turn("a", 60 * KIB - sent)

    assert time.monotonic() - started >= 0.3
    assert sent == 60 * KIB


async def test_who_waits_goes_within_a_second_of_a_lifted_limit() -> None:
    house = bandwidth(KIB)
    waiting = [asyncio.create_task(house.turn("a", MIB)) for _ in range(20)]
    await asyncio.sleep(0.01)
    house.configure(total=None, per_registry={})

    async with asyncio.timeout(5):
        counts = await asyncio.gather(*waiting)
    assert sorted(counts) == [KIB, *[MIB] * 19]


async def test_who_leaves_is_not_waited_for_and_takes_nothing_along() -> None:
    house = bandwidth(20 * KIB)
    await house.turn("a", MIB)
    waiting = [asyncio.create_task(house.turn("a", MIB)) for _ in range(200)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    async with asyncio.timeout(5):  # after two hundred others it would be twenty seconds
        assert await house.turn("a", MIB) == 2 * KIB
    assert house.waiting == 0


async def test_however_many_wait_the_line_is_looked_at_once_for_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    house = bandwidth(20 * KIB)
    waiting = [asyncio.create_task(house.turn("a", MIB)) for _ in range(8)]
    await asyncio.sleep(0)
    looks: list[float] = []
    admit = house._paces.admit

    def look(now: float) -> tuple[list[Turn], float | None]:
        looks.append(now)
        return admit(now)

    monkeypatch.setattr(house._paces, "admit", look)
    await asyncio.gather(*waiting)

    assert len(looks) <= 8 * 2, "a timer that is early by the grain of the clock looks again"


async def test_nothing_is_left_on_the_loop_when_nobody_waits() -> None:
    house = bandwidth(KIB)
    await house.turn("a", MIB)
    waiting = asyncio.create_task(house.turn("a", MIB))
    await asyncio.sleep(0)
    assert house.waiting == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert (house.waiting, house._timer) == (0, None)


# --------------------------------------------------------------------------------------------------- a body


class Body:
    """A body in pieces, that knows whether it was closed."""

    def __init__(self, *pieces: bytes, fails: bool = False) -> None:
        self.pieces = pieces
        self.fails = fails
        self.closed = False

    @property
    def length(self) -> int:
        return sum(map(len, self.pieces))

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        try:
            for piece in self.pieces:
                yield piece
            if self.fails:
                raise OSError("the disk is gone")
        finally:
            self.closed = True


def paced(body: Body, house: Bandwidth, sent: Callable[[int], None] = lambda _: None) -> Paced:
    return Paced(body, house, "a", sent=sent)


async def test_a_body_that_nothing_limits_goes_through_as_it_is() -> None:
    body = Body(b"a" * 5000, b"b" * 7)
    through = paced(body, bandwidth())
    pieces = [piece async for piece in through]

    assert through.length == 5007
    assert [piece is own for piece, own in zip(pieces, body.pieces, strict=True)] == [True, True], "not even a copy"


async def test_one_that_is_limited_goes_in_parts_and_is_the_same() -> None:
    sent: list[int] = []
    body = Body(bytes(range(250)) * 100, b"end")
    pieces = [piece async for piece in paced(body, bandwidth(a=100 * KIB), sent.append)]

    assert b"".join(pieces) == b"".join(body.pieces)
    assert max(map(len, pieces)) == 10 * KIB
    assert sent == [len(piece) for piece in pieces], "each part is counted as it goes"


async def test_one_under_way_is_limited_from_the_moment_there_is_a_limit() -> None:
    house = bandwidth()
    async with aclosing(paced(Body(bytes(MIB), bytes(MIB)), house).__aiter__()) as parts:
        assert len(await anext(parts)) == MIB
        house.configure(total=None, per_registry={"a": 20 * KIB})
        assert len(await anext(parts)) == 2 * KIB


async def test_one_that_ends_before_its_time_ends_what_it_is_made_of() -> None:
    body = Body(bytes(MIB))
    async with aclosing(paced(body, bandwidth(20 * KIB)).__aiter__()) as parts:
        await anext(parts)
    assert body.closed


async def test_one_that_has_nothing_to_end_is_just_as_good() -> None:
    class Single(Body):
        """One piece, and no generator."""

        def __aiter__(self) -> Single:  # type: ignore[override]  # an iterator is all that is asked of a body
            return self

        async def __anext__(self) -> bytes:
            if self.closed:
                raise StopAsyncIteration
            self.closed = True
            return self.pieces[0]

    assert [piece async for piece in paced(Single(b"whole"), bandwidth(MIB))] == [b"whole"]


async def test_one_that_fails_fails_with_its_own_error() -> None:
    with pytest.raises(OSError, match="the disk is gone"):
        [_ async for _ in paced(Body(b"a", fails=True), bandwidth(MIB))]


async def test_one_that_is_cancelled_while_it_waits_leaves_the_line() -> None:
    house, body = bandwidth(KIB), Body(bytes(MIB))

    async def send() -> None:
        async with aclosing(paced(body, house).__aiter__()) as parts:
            async for _ in parts:
                pass

    sending = asyncio.create_task(send())
    await asyncio.sleep(0.05)
    assert house.waiting == 1
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)

    assert (house.waiting, body.closed) == (0, True)
