"""How a job ended, said in full: what exists now on stdout, what does not and why on stderr."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from pushd.ctl.advice import next_step
from pushd.ctl.quantities import show_bytes, show_duration
from pushd.ctl.texts import clean, job_line
from pushd.job import DeliveryState, TransferState

if TYPE_CHECKING:
    from pushd.job import Delivery, Job

_COUNTED = (TransferState.UPLOADED, TransferState.MOUNTED, TransferState.PRESENT, TransferState.FAILED)


def report(job: Job, *, as_json: bool) -> None:
    """Print how a job ended.

    Stdout gets one line for each destination that holds the image, a reference pinned by digest that other tools
    accept, or with `as_json` the job on one line. Stderr gets each destination that does not, with the reason and
    what to do next, and a summary.
    """
    if as_json:
        print(job_line(job))
    for delivery in job.deliveries:
        if delivery.state is not DeliveryState.SUCCEEDED:
            print(f"{clean(delivery.destination)} {reason(delivery)}", file=sys.stderr)
            if step := next_step(job, delivery):
                print(f"  next: {step}", file=sys.stderr)
        elif not as_json:
            print(pinned(delivery))
    sys.stdout.flush()
    print(summary(job), file=sys.stderr)


def pinned(delivery: Delivery) -> str:
    """Give the destination with the digest it was read back with."""
    destination = clean(delivery.destination)
    return destination if "@" in destination or delivery.digest is None else f"{destination}@{clean(delivery.digest)}"


def reason(delivery: Delivery) -> str:
    """Say the state of a delivery and, where there is one, the reason."""
    if delivery.state is DeliveryState.SUPERSEDED:
        return "superseded: a newer job tagged it first, nothing was overwritten"
    because = f": {clean(delivery.failure.message)}" if delivery.failure else ""
    return f"{delivery.state.value}{because}"


def summary(job: Job) -> str:
    """Say in one line how a job ended and what it took."""
    succeeded = sum(delivery.state is DeliveryState.SUCCEEDED for delivery in job.deliveries)
    took = f" in {show_duration((job.finished_at - job.created_at).total_seconds())}" if job.finished_at else ""
    facts = [f"{succeeded} of {count(len(job.deliveries), 'destination')}"]
    if work := transfers(job.deliveries):
        facts.append(work)
    return f"job {clean(job.id)} {job.state.value}{took}: {', '.join(facts)}"


def transfers(deliveries: tuple[Delivery, ...]) -> str:
    """Count the blobs of deliveries by what became of them, and the bytes sent for them."""
    found = [transfer for delivery in deliveries for transfer in delivery.transfers]
    states = Counter(transfer.state for transfer in found)
    words = [f"{states[state]} {state.value}" for state in _COUNTED if states[state]]
    if not words:
        return ""
    words[0] = words[0].replace(" ", " blobs " if states[_first(states)] != 1 else " blob ")
    sent = sum(transfer.sent for transfer in found)
    return ", ".join([*words, f"{show_bytes(sent)} sent"])


def _first(states: Counter[TransferState]) -> TransferState:
    return next(state for state in _COUNTED if states[state])


def count(number: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
