from __future__ import annotations

import pytest

from pushd.api.seats import Seats
from pushd.errors import Code, RequestError


def test_one_user_has_so_many_and_another_their_own() -> None:
    seats = Seats(2)

    with seats.taken(1), seats.taken(1), seats.taken(2):
        with pytest.raises(RequestError, match="uid 1 has 2 streams open") as caught, seats.taken(1):
            pass
        with seats.taken(2):
            pass

    assert caught.value.code is Code.REQUEST_LIMIT


def test_a_seat_is_given_back_whatever_happens() -> None:
    seats = Seats(1)

    for _ in range(3):
        with pytest.raises(LookupError), seats.taken(1):
            raise LookupError
