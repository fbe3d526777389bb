from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from pushd.errors import Code, StoreError
from pushd.push.budget import Budget, Disk, refusals
from pushd.telemetry.events import DISK_RELIEVED, DISK_SHORT

if TYPE_CHECKING:
    from pushd.telemetry.events import Event

GIB = 1 << 30


@pytest.mark.parametrize(
    ("free", "used", "refused"),
    [
        (100 * GIB, 0, ()),
        (2 * GIB, 0, ()),
        (2 * GIB - 1, 0, ("spool",)),
        (GIB, 0, ("spool",)),
        (GIB - 1, 0, ("spool", "jobs")),
        (100 * GIB, 9 * GIB, ()),
        (100 * GIB, 9 * GIB + 1, ("spool",)),
        (100 * GIB, 10 * GIB, ("spool",)),
        (100 * GIB, 10 * GIB + 1, ("spool", "jobs")),
    ],
)
def test_the_spool_is_refused_first_and_submissions_next(free: int, used: int, refused: tuple[str, ...]) -> None:
    assert refusals(Disk(free=free, total=1000 * GIB, used=used), budget=10 * GIB, reserve=GIB) == refused


def test_without_a_budget_the_disk_is_the_limit() -> None:
    assert refusals(Disk(free=3 * GIB, total=1000 * GIB, used=900 * GIB), budget=None, reserve=GIB) == ()


def test_on_a_small_disk_the_reserve_is_a_twentieth_of_it() -> None:
    assert refusals(Disk(free=3 << 20, total=20 << 20, used=0), budget=None, reserve=GIB) == ()
    assert refusals(Disk(free=1 << 19, total=20 << 20, used=0), budget=None, reserve=GIB) == ("spool", "jobs")


@dataclass
class Gauge:
    """A disk that is as full as a test says."""

    disk: Disk = field(default_factory=lambda: Disk(free=100 * GIB, total=1000 * GIB, used=0))
    told: list[Event] = field(default_factory=list)

    old: Disk | None = None

    def measure(self, *, fresh: bool = False) -> Disk:
        return self.disk if fresh or self.old is None else self.old

    def budget(self) -> Budget:
        return Budget(measure=self.measure, budget=10 * GIB, reserve=GIB, emit=self.told.append)


def test_what_does_not_fit_any_more_is_refused_by_name_and_nothing_else_is() -> None:
    gauge = Gauge()
    budget = gauge.budget()
    budget.admit_spool(8 * GIB)

    with pytest.raises(StoreError) as caught:
        budget.admit_spool(9 * GIB + 1)

    assert caught.value.code is Code.STORE_BUDGET
    assert caught.value.retryable
    budget.admit_job()


def test_a_full_disk_refuses_submissions_with_what_is_left_in_the_text() -> None:
    gauge = Gauge(Disk(free=GIB // 2, total=1000 * GIB, used=0))

    with pytest.raises(StoreError) as caught:
        gauge.budget().admit_job()

    assert caught.value.code is Code.STORE_FULL
    assert "536870912 bytes are free" in str(caught.value)


def test_a_budget_that_is_used_up_is_not_taken_for_a_full_disk() -> None:
    gauge = Gauge(Disk(free=100 * GIB, total=1000 * GIB, used=11 * GIB))

    with pytest.raises(StoreError) as caught:
        gauge.budget().admit_job()

    assert caught.value.code is Code.STORE_BUDGET


def test_room_that_somebody_has_just_made_is_seen_at_once() -> None:
    gauge = Gauge()
    gauge.old = Disk(free=0, total=1000 * GIB, used=0)
    gauge.budget().admit_job()


def test_that_it_refuses_and_that_it_no_longer_does_is_told_once_each() -> None:
    gauge = Gauge(Disk(free=GIB // 2, total=1000 * GIB, used=0))
    budget = gauge.budget()
    for _ in range(3):
        budget.watch()
    gauge.disk = Disk(free=100 * GIB, total=1000 * GIB, used=0)
    for _ in range(3):
        budget.watch()

    assert [event.kind for event in gauge.told] == [DISK_SHORT, DISK_RELIEVED]
    assert gauge.told[0].fields["refused"] == "spool, jobs"
