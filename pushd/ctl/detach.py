"""Leaving while a job goes on."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pushd.ctl.texts import clean
from pushd.errors import Code, PushdError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Detached(Exception):  # noqa: N818 (not an error: the job goes on)
    """The person left while the job goes on."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Take what `timeout 60 pushctl ...` sends like Ctrl-C, so that what was drawn is taken off the terminal."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def detachable(*job_ids: str) -> Iterator[None]:
    """Let an interrupt, or the daemon's absence, end the looking on and not the jobs, and say how to come back."""
    named = " ".join(clean(job_id) for job_id in job_ids)
    back = f"`pushctl watch {clean(job_ids[0])}`" if len(job_ids) == 1 else f"`pushctl wait {named}`"
    try:
        with interruptible():
            yield
    except KeyboardInterrupt as interrupt:
        print(f"\ndetached, {named} not cancelled:", file=sys.stderr)
        print(f"{back} comes back, `pushctl cancel {named}` ends it", file=sys.stderr)
        raise Detached from interrupt
    except PushdError as error:
        if error.code is Code.DAEMON_UNREACHABLE:
            print(f"the daemon is gone; {named} goes on when it is back: {back} comes back then", file=sys.stderr)
        raise
