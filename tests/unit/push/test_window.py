from __future__ import annotations

from pushd.push.window import Window


def land(window: Window, *seconds: float, full: bool = True) -> int:
    for one in seconds:
        window.landed(one, full=full)
    return window.size


def test_it_doubles_with_every_round_in_which_nobody_takes_longer() -> None:
    window = Window()
    assert land(window, *[0.2] * 16) == 32
    assert land(window, *[0.2] * 32) == 64


def test_it_grows_to_four_times_its_beginning_and_no_farther() -> None:
    assert land(Window(), *[0.2] * 100) == 64


def test_one_that_is_not_full_does_not_grow() -> None:
    assert land(Window(), *[0.2] * 10, full=False) == 16


def test_blobs_that_take_longer_shrink_it_again() -> None:
    window = Window()
    assert land(window, *[0.2] * 8) == 24
    assert land(window, *[0.5] * 3) == 21


def test_it_never_shrinks_below_its_beginning() -> None:
    assert land(Window(), 0.1, *[0.5] * 10) == 16


def test_a_little_longer_is_no_sign_of_crowding() -> None:
    assert land(Window(), 0.1, *[0.19] * 3) == 20


def test_a_registry_that_has_become_slower_for_good_is_not_held_against_what_it_was() -> None:
    window = Window()
    land(window, 0.01)
    assert land(window, *[0.05] * 50) == 16
    assert land(window, *[0.05] * 200) == 64
