"""Reading of the daemon itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.client import Client
from pushd.ctl.exits import Exit
from pushd.ctl.lines import event_line
from pushd.ctl.printing import page_width, print_lines
from pushd.ctl.status_page import status_page
from pushd.ctl.texts import json_line

if TYPE_CHECKING:
    from argparse import Namespace


def events(typed: Namespace) -> Exit:
    """Print events."""
    told = Client(typed.socket).events(typed.after, job=typed.job, follow=typed.follow)
    if typed.json:
        print_lines(json_line(event) for event in told)
    else:
        print_lines(f"{event['seq']} {event_line(event)}" for event in told if "seq" in event)
    return Exit.DONE


def status(typed: Namespace) -> Exit:
    """Show what the daemon is doing."""
    answer = Client(typed.socket).status()
    print_lines([json_line(answer)] if typed.json else status_page(answer, width=page_width()))
    return Exit.DONE
