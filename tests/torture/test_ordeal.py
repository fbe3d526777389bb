"""What a run does is drawn from its seed."""

from __future__ import annotations

from dataclasses import replace

from tests.torture.ordeal import SMALLEST, Blow, Ordeal

ORDEAL = Ordeal(seed=7, kills=200, images=20, largest=512 << 20, rate=50e6, every=1.5)


def test_the_same_seed_draws_the_same_run_and_another_seed_another() -> None:
    again, other = replace(ORDEAL), replace(ORDEAL, seed=8)
    for it in (lambda run: run.specs, lambda run: list(run.strikes), lambda run: run.destinations(3, "registry")):
        assert it(again) == it(ORDEAL)
    assert list(other.strikes) != list(ORDEAL.strikes)
    assert [spec.layers for spec in other.specs] != [spec.layers for spec in ORDEAL.specs]


def test_the_kills_are_as_many_as_asked_for_and_other_blows_come_between() -> None:
    blows = [strike.blow for strike in ORDEAL.strikes]
    assert blows.count(Blow.KILL) == 200
    assert set(blows) == set(Blow)
    assert blows[-1] is Blow.KILL


def test_layers_reach_from_the_smallest_to_the_largest() -> None:
    sizes = sorted(size for spec in ORDEAL.specs for size in spec.layers)
    assert (sizes[0], sizes[-1]) == (SMALLEST, 512 << 20)
    for lower in (1e3, 1e4, 1e5, 1e6, 1e7):
        assert any(lower <= size < 10 * lower for size in sizes), f"no layer of some {lower:g} bytes"


def test_a_registry_that_is_spared_gets_more_than_twice_the_largest_blobs_time_between_blows() -> None:
    spared = replace(ORDEAL, spare=True, uploads=2)
    assert spared.largest_takes == 2 * (512 << 20) / 50e6
    assert all(strike.after > 2 * spared.largest_takes for strike in spared.strikes)
