from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.config.quantity import duration, size


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (0, 0),
        (1048576, 1 << 20),
        ("1048576", 1 << 20),
        ("512B", 512),
        ("4MiB", 4 << 20),
        ("4MB", 4 << 20),
        ("4M", 4 << 20),
        ("4m", 4 << 20),
        ("4 mib", 4 << 20),
        ("64KiB", 64 << 10),
        ("1.5G", 3 << 29),
        ("2TiB", 2 << 40),
    ],
)
def test_a_size_is_a_number_of_bytes_or_of_powers_of_1024(written: object, read: int) -> None:
    assert size(written) == read


@pytest.mark.parametrize("written", [-1, 1.5, True, None, "", "M", "4X", "-4M", "4MiBs", "1e6", "4 M B", "٤M", [4]])
def test_anything_else_is_no_size(written: object) -> None:
    with pytest.raises(ValueError, match='must be a size like 1048576 or "4MiB"'):
        size(written)


@pytest.mark.parametrize(
    ("written", "read"),
    [(90, 90.0), (0.5, 0.5), ("90", 90.0), ("90s", 90.0), ("15m", 900.0), ("2h", 7200.0), ("1.5 d", 129_600.0)],
)
def test_a_duration_is_a_number_of_seconds_or_of_a_unit(written: object, read: float) -> None:
    assert duration(written) == read


@pytest.mark.parametrize(
    "written", [-1, float("nan"), float("inf"), True, None, "", "s", "1w", "1M", "1h30m", "-1s", {}]
)
def test_anything_else_is_no_duration(written: object) -> None:
    with pytest.raises(ValueError, match='must be a duration like 90 \\(seconds\\), "90s"'):
        duration(written)


@given(st.integers(0, 10**12))
def test_every_number_of_bytes_is_its_own_size_written_or_not(number: int) -> None:
    assert size(number) == size(str(number)) == number
