"""Showing one job."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pushd.client import Client
from pushd.ctl.exits import Exit
from pushd.ctl.job_page import job_page
from pushd.ctl.printing import page_width, print_lines
from pushd.ctl.texts import job_line

if TYPE_CHECKING:
    from argparse import Namespace


def show(typed: Namespace) -> Exit:
    """Show one job."""
    job = Client(typed.socket).get(typed.job)
    print_lines([job_line(job)] if typed.json else job_page(job, datetime.now(UTC), width=page_width()))
    return Exit.DONE
