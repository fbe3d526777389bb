"""Listing jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pushd.client import Client
from pushd.ctl.exits import Exit
from pushd.ctl.printing import page_width, print_lines
from pushd.ctl.tables import jobs_table
from pushd.ctl.texts import job_line

if TYPE_CHECKING:
    from argparse import Namespace


def jobs(typed: Namespace) -> Exit:
    """List jobs, newest first."""
    found = Client(typed.socket).list(
        states=typed.states, labels=dict(typed.labels), registry=typed.registry, limit=typed.limit
    )
    if typed.json:
        print_lines(job_line(job) for job in found)
    else:
        print_lines(jobs_table(found, datetime.now(UTC), width=page_width()))
    return Exit.DONE
