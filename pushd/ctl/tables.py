"""Jobs in columns, fit for 80 of them and for a pipe. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.ctl.quantities import show_age, show_bytes
from pushd.ctl.standing import job_standing
from pushd.ctl.texts import clean, cut_left

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from pushd.job import Job

_HEADINGS = ("JOB", "STATE", "AGE", "SIZE", "SOURCE", "DESTINATIONS")
_GAP = "  "
_NARROWEST = 12


def jobs_table(jobs: Iterable[Job], now: datetime, *, width: int | None) -> Iterator[str]:
    """Write jobs in columns.

    Args:
        jobs: in the order they are to be read.
        now: what their age is counted from.
        width: columns there are; None when nothing reads columns, and nothing is to be cut.
    """
    rows = [_HEADINGS, *(_job_row(job, now) for job in jobs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    if width is not None:
        # The last two share what the others leave; the shorter of them gives the rest to the longer.
        room = width - sum(widths[:4]) - len(_GAP) * 5
        source = max(_NARROWEST, min(widths[4], max(room // 2, room - widths[5])))
        widths[4:] = [source, max(_NARROWEST, min(widths[5], room - source))]
    for row in rows:
        cells = [cut_left(cell, size).ljust(size) for cell, size in zip(row, widths, strict=True)]
        yield _GAP.join(cells).rstrip()


def _job_row(job: Job, now: datetime) -> tuple[str, ...]:
    destination = clean(job.deliveries[0].destination) if job.deliveries else ""
    if len(job.deliveries) > 1:
        destination += f" +{len(job.deliveries) - 1}"
    age = show_age((now - job.created_at).total_seconds())
    return clean(job.id), job_standing(job), age, show_bytes(job.size), clean(job.source), destination
