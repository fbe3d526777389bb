"""Everything about one job, on a page. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.ctl.advice import next_step
from pushd.ctl.layout import columns, facts, sentence, when
from pushd.ctl.quantities import show_bytes, show_clock, show_duration
from pushd.ctl.reports import count, transfers
from pushd.ctl.standing import READY, delivery_standing, job_standing
from pushd.ctl.texts import clean
from pushd.job import ABSENT, Compress, DeliveryState, Retain, Tags, TransferState, Validate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pushd.job import Delivery, Job, Transfer, Try

_INDENT = "  "
_SHORT = 12  # hexadecimal digits of a digest: enough to tell blobs apart


def job_page(job: Job, now: datetime, *, width: int | None) -> Iterator[str]:
    """Write everything about one job.

    Args:
        job: with its transfers.
        now: what ages are counted from.
        width: columns there are; None when no line is to be broken.
    """
    yield from facts(
        ("job", f"{clean(job.id)}, {job_standing(job)}"),
        ("source", clean(job.source) + (", kept in the daemon's spool" if job.retain is Retain.SPOOL else "")),
        ("image", f"{clean(job.media_type)}, {show_bytes(job.size)}"),
        ("", clean(job.digest or "") or "its digest is not known until its layers are compressed"),
        ("platforms", " ".join(map(clean, job.platforms))),
        ("validated", "each layer is looked into before anything is sent" if job.validate is Validate.FULL else ""),
        ("compress", f"plain layers with {job.compress}" if job.compress is not Compress.NONE else ""),
        ("tags", _moving(job, now)),
        ("referrers", _referrers(job.referrers)),
        ("submitted", f"{when(job.created_at, now)}, by uid {job.uid}"),
        ("finished", when(job.finished_at, now) if job.finished_at else ""),
        ("paused", f"{when(job.paused_at, now)}; `pushctl resume {clean(job.id)}`" if job.paused_at else ""),
        ("not before", when(job.not_before, now) if job.not_before and not job.state.terminal else ""),
        ("deadline", when(job.deadline_at, now) if not job.state.terminal else ""),
        ("only if", _condition(job.if_tag)),
        ("priority", str(job.priority) if job.priority else ""),
        ("labels", " ".join(f"{clean(key)}={clean(value)}" for key, value in sorted(job.labels.items()))),
        width=width,
    )
    for delivery in job.deliveries:
        yield ""
        yield clean(delivery.destination)
        yield from _delivery(job, delivery, now, width)


def _moving(job: Job, now: datetime) -> str:
    if job.tags is not Tags.TOGETHER:
        return ""
    if job.ready_at is None:
        return "move together, once all destinations are ready"
    return f"move together, since {when(job.ready_at, now)}"


def _referrers(number: int | None) -> str:
    if number is None:
        return ""
    return f"{count(number, 'manifest')} along with it" if number else "none: nothing refers to it"


def _condition(if_tag: str | None) -> str:
    if if_tag is None:
        return ""
    return "the tag does not exist yet" if if_tag == ABSENT else f"the tag names {clean(if_tag)}"


def _delivery(job: Job, delivery: Delivery, now: datetime, width: int | None) -> Iterator[str]:
    yield from sentence(", ".join(_standing(job, delivery, now)), width, first=_INDENT)
    if delivery.digest:
        yield f"{_INDENT}{clean(delivery.digest)}"
    if delivery.failure:
        code, message = clean(delivery.failure.code), clean(delivery.failure.message)
        yield from sentence(f"{message} ({code})", width, first=f"{_INDENT}why:  ")
    if step := next_step(job, delivery):
        yield from sentence(step, width, first=f"{_INDENT}next: ")
    for tried in _earlier(delivery):
        told = f"{show_clock(tried.at)} {clean(tried.message)} ({clean(tried.code)})"
        yield from sentence(told, width, first=f"{_INDENT}attempt {tried.attempt}: ", rest=_INDENT * 2)
    if work := transfers((delivery,)):
        yield f"{_INDENT}{work}"
    yield from (f"{_INDENT * 2}{line}" for line in columns([_blob(one) for one in delivery.transfers], right=(2,)))


def _earlier(delivery: Delivery) -> tuple[Try, ...]:
    """Give the attempts before the one that has just been told of as the failure."""
    history, failure = delivery.history, delivery.failure
    told = history and failure and (history[-1].code, history[-1].message) == (failure.code, failure.message)
    return history[:-1] if told else history


def _standing(job: Job, delivery: Delivery, now: datetime) -> Iterator[str]:
    """Tell the state, since when, and how often it was tried."""
    if delivery.state is DeliveryState.SUPERSEDED:
        yield "superseded: a newer job tagged it first, nothing was overwritten"
    elif delivery_standing(delivery) == READY:
        others = sum(not (other.ready or other.state.terminal) for other in job.deliveries)
        yield f"{READY}; waits for {count(others, 'other')}"
    else:
        yield delivery_standing(delivery)
    if delivery_standing(delivery) == DeliveryState.HELD and delivery.not_before:
        yield f"{'tried again' if delivery.failure else 'begins'} at {show_clock(delivery.not_before)}"
    if delivery.started_at and delivery.finished_at:
        yield f"took {show_duration((delivery.finished_at - delivery.started_at).total_seconds())}"
    elif delivery.started_at and delivery.state is DeliveryState.RUNNING:
        yield f"for {show_duration((now - delivery.started_at).total_seconds())}"
    if delivery.state is DeliveryState.RUNNING and delivery.ready:
        yield "its tag moves"
    if delivery.attempt > 1:
        yield f"attempt {delivery.attempt}"


def _blob(transfer: Transfer) -> tuple[str, ...]:
    """Tell of one blob: which, what became of it, its size, and what there is to say of its bytes."""
    digest = clean(transfer.digest)
    more = []
    if transfer.state is TransferState.RUNNING:
        percent = transfer.done * 100 // transfer.size if transfer.size else 0
        more.append(f"{percent}%, {show_bytes(transfer.done)} there")
    if transfer.resumed:
        more.append(f"{show_bytes(transfer.resumed)} resumed")
    if transfer.sent > transfer.size:
        more.append(f"{show_bytes(transfer.sent)} sent")
    short = digest[: digest.find(":") + 1 + _SHORT]
    return short, transfer.state.value, show_bytes(transfer.size), ", ".join(more)
