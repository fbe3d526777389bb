"""Jobs and the daemon on a page: plain text in columns, fit for 80 of them and for a pipe. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushd.ctl.quantities import show_age, show_bytes, show_clock, show_duration, show_time
from pushd.ctl.reports import reason, transfers
from pushd.ctl.texts import clean, cut_left
from pushd.job import DeliveryState, TransferState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from pushd.job import Delivery, Job, Transfer

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
    return clean(job.id), job.state.value, age, show_bytes(job.size), clean(job.source), destination


def job_page(job: Job, now: datetime) -> Iterator[str]:
    """Write everything about one job."""
    yield from _facts(
        ("job", f"{clean(job.id)}, {job.state.value}"),
        ("source", clean(job.source)),
        ("image", clean(job.digest)),
        ("", f"{clean(job.media_type)}, {show_bytes(job.size)}"),
        ("submitted", f"{_when(job.created_at, now)}, by uid {job.uid}"),
        ("finished", _when(job.finished_at, now) if job.finished_at else ""),
        ("deadline", _when(job.deadline_at, now) if not job.state.terminal else ""),
        ("priority", str(job.priority) if job.priority else ""),
        ("labels", " ".join(f"{clean(key)}={clean(value)}" for key, value in sorted(job.labels.items()))),
    )
    for delivery in job.deliveries:
        yield ""
        yield clean(delivery.destination)
        yield from (f"  {line}" for line in _delivery_lines(delivery, now))


def _delivery_lines(delivery: Delivery, now: datetime) -> Iterator[str]:
    facts = [reason(delivery)]
    if delivery.state is DeliveryState.HELD and delivery.not_before:
        facts.append(f"tried again at {show_clock(delivery.not_before)}")
    if delivery.started_at and delivery.finished_at:
        facts.append(f"took {show_duration((delivery.finished_at - delivery.started_at).total_seconds())}")
    elif delivery.started_at and delivery.state is DeliveryState.RUNNING:
        facts.append(f"for {show_duration((now - delivery.started_at).total_seconds())}")
    if delivery.attempt > 1:
        facts.append(f"attempt {delivery.attempt}")
    yield ", ".join(facts)
    if delivery.digest:
        yield clean(delivery.digest)
    if work := transfers((delivery,)):
        yield work
    for transfer in delivery.transfers:
        if not transfer.state.landed:
            yield _transfer_line(transfer)
    for tried in delivery.history:
        yield f"tried at {show_clock(tried.at)}: {clean(tried.message)}"


def _transfer_line(transfer: Transfer) -> str:
    digest = clean(transfer.digest)
    short = digest[: digest.find(":") + 13]
    if transfer.state is not TransferState.RUNNING:
        return f"{short}  {transfer.state.value}, {show_bytes(transfer.size)}"
    percent = transfer.done * 100 // transfer.size if transfer.size else 0
    return f"{short}  {percent}%, {show_bytes(transfer.done)} of {show_bytes(transfer.size)}"


def status_page(status: Mapping[str, Any]) -> Iterator[str]:
    """Write what the daemon says of itself."""
    yield from _facts(
        ("pushd", f"{clean(status['version'])}, process {status['pid']}, up {show_duration(status['uptime'])}"),
        ("socket", clean(status["socket"])),
        ("state", f"{clean(status['state_dir'])}, life number {status['epoch']}"),
        ("deliveries", _counts(status["queue"])),
        ("uploads", _counts(status["uploads"])),
        ("limits", ", ".join(f"{clean(key)} {clean(value)}" for key, value in status["limits"].items())),
    )
    registries: Mapping[str, Mapping[str, Any]] = status["registries"]
    if registries:
        yield ""
        width = max(len(clean(name)) for name in registries)
        for name, registry in sorted(registries.items()):
            yield f"{clean(name).ljust(width)}  {registry['running']} running, {show_bytes(registry['sent'])} sent"


def _counts(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{clean(count)} {clean(name)}" for name, count in counts.items())


def _facts(*facts: tuple[str, str]) -> Sequence[str]:
    return [f"{name:<12}{value}" for name, value in facts if value]


def _when(moment: datetime, now: datetime) -> str:
    seconds = (now - moment).total_seconds()
    distance = f"{show_age(seconds)} ago" if seconds >= 0 else f"in {show_age(-seconds)}"
    return f"{show_time(moment)} ({distance})"
