"""The disk: how much the daemon may use of it, and what is refused first when that is short.

First bytes for the spool, then new jobs; never the work in hand, which frees what it uses when it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from pushd.errors import Code, StoreError
from pushd.telemetry.events import DISK_RELIEVED, DISK_SHORT, Event

if TYPE_CHECKING:
    from pushd.push.ports.emit import Emit

SPOOL = "spool"
JOBS = "jobs"

_SPOOL_SHARE = 0.9
"""Of the budget: the rest is for the database, without which nothing goes on."""
_LARGEST_RESERVE = 1 / 20
"""Of the disk: a reserve meant for a large one would leave nothing of a small one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """How things stand, in bytes.

    Attributes:
        free: on the filesystem of the state directory, for us.
        total: of that filesystem.
        used: by the spool, what is reserved there included, and the database.
    """

    free: int
    total: int
    used: int


def refusals(disk: Disk, *, budget: int | None, reserve: int, more: int = 0) -> tuple[str, ...]:
    """Give what is to be refused: nothing, `SPOOL`, or `SPOOL` and `JOBS`.

    Args:
        disk: how things stand.
        budget: bytes the daemon may use, or None for what the disk has.
        reserve: bytes to be left free.
        more: bytes that would be added.
    """
    reserve = min(reserve, int(disk.total * _LARGEST_RESERVE))
    free, used = disk.free - more, disk.used + more
    if free < reserve or (budget is not None and used > budget):
        return (SPOOL, JOBS)
    # The spool stops a reserve's width before the jobs do: their own records must still find room.
    if free < 2 * reserve or (budget is not None and used > budget * _SPOOL_SHARE):
        return (SPOOL,)
    return ()


class Measure(Protocol):
    """Looks at the disk."""

    def __call__(self, *, fresh: bool = False) -> Disk:
        """Give how things stand; with `fresh`, now, and not a moment ago."""


class Budget:
    """Says what still fits.

    Args:
        measure: looks at the disk.
        budget: bytes for spool and database, or None.
        reserve: bytes to be left free.
    """

    def __init__(self, *, measure: Measure, budget: int | None, reserve: int, emit: Emit) -> None:
        self._measure = measure
        self._emit = emit
        self._refusing: tuple[str, ...] = ()
        self.configure(budget=budget, reserve=reserve)

    def configure(self, *, budget: int | None, reserve: int) -> None:
        """Have these bytes from now on."""
        self._budget = budget
        self._reserve = reserve

    def admit_spool(self, size: int) -> None:
        """Refuse `size` more bytes in the spool when they do not fit.

        Raises:
            StoreError: `store.full`, the disk has no room for them; `store.budget`, the configuration has not.
        """
        self._admit(SPOOL, f"{size} bytes more do not fit into the spool", more=size)

    def admit_job(self) -> None:
        """Refuse a new job when there is no room for its records.

        Raises:
            StoreError: likewise.
        """
        self._admit(JOBS, "no new jobs are taken")

    def _admit(self, what: str, refusal: str, *, more: int = 0) -> None:
        if what not in self._refusals(self._measure(), more):
            return
        disk = self._measure(fresh=True)  # somebody may just have made room
        if what in self._refusals(disk, more):
            raise self._refused(refusal, disk, more)

    def _refusals(self, disk: Disk, more: int = 0) -> tuple[str, ...]:
        return refusals(disk, budget=self._budget, reserve=self._reserve, more=more)

    def watch(self) -> None:
        """Tell when it begins to refuse, and when it ends."""
        disk = self._measure()
        refusing = self._refusals(disk)
        if refusing != self._refusing:
            self._refusing = refusing
            if refusing:
                facts = {"refused": ", ".join(refusing), "detail": self._stands(disk)}
                kind = DISK_SHORT
            else:
                facts, kind = {}, DISK_RELIEVED
            self._emit(Event(kind, datetime.now(UTC), fields={**facts, "free": disk.free, "used": disk.used}))

    def look(self) -> tuple[Disk, tuple[str, ...]]:
        """Give how things stand, and what is refused."""
        disk = self._measure()
        return disk, self._refusals(disk)

    def document(self) -> dict[str, object]:
        """Give it, in JSON's types."""
        disk, refusing = self.look()
        return {
            "free": disk.free,
            "used": disk.used,
            "budget": self._budget,
            "reserve": self._reserve,
            "refusing": list(refusing),
        }

    def _refused(self, refusal: str, disk: Disk, more: int) -> StoreError:
        # Whichever of the two is to be mended: with a budget of any size, would it fit on the disk?
        if refusals(disk, budget=None, reserve=self._reserve, more=more):
            detail = f"the disk is full, but for what is kept in reserve; {refusal}: {self._stands(disk)}"
            return StoreError(Code.STORE_FULL, "disk", detail, hint="free some space and try again")
        hint = "jobs that end make room; [disk] in the configuration sets the budget"
        return StoreError(
            Code.STORE_BUDGET, "disk", f"the budget is used up; {refusal}: {self._stands(disk)}", hint=hint
        )

    def _stands(self, disk: Disk) -> str:
        budget = "" if self._budget is None else f" of {self._budget}"
        return f"{disk.free} bytes are free, and {disk.used}{budget} are used by the daemon"
