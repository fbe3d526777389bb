"""A live screen of what the daemon is doing."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from pushd.client import Client
from pushd.ctl.detach import interruptible
from pushd.ctl.exits import Exit
from pushd.ctl.printing import columns, print_lines
from pushd.ctl.screen import screen
from pushd.ctl.texts import clean, json_line
from pushd.errors import Code, DaemonError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping
    from typing import Any

INTERVAL = 1.0
"""Seconds between two looks."""


def top(typed: Namespace) -> Exit:
    """Look on while the daemon works, until somebody has seen enough."""
    # What does not answer is said at once, and asked again a second later.
    client = Client(typed.socket, patience=0.0)
    status = client.status()
    if typed.once or not (typed.json or sys.stdout.isatty()):
        rows = screen(status, None, width=columns(), height=None)
        print_lines([json_line(status)] if typed.json else (row.text.rstrip() for row in rows))
        return Exit.DONE
    try:
        with interruptible():
            if typed.json:
                _print_forever(client, status)
            else:
                from pushd.ctl.live import watch  # noqa: PLC0415 (imports rich, which only a drawing needs)

                watch(client, status, INTERVAL)
    except KeyboardInterrupt:
        pass
    return Exit.DONE


def _print_forever(client: Client, status: Mapping[str, Any]) -> None:
    while True:
        print(json_line(status), flush=True)
        time.sleep(INTERVAL)
        while (answer := _look(client)) is None:
            time.sleep(INTERVAL)
        status = answer


def _look(client: Client) -> Mapping[str, Any] | None:
    """Give how things stand, or nothing, which is told, while no daemon answers."""
    try:
        return client.status()
    except DaemonError as error:
        if error.code is not Code.DAEMON_UNREACHABLE:
            raise
        print(f"pushctl: {clean(error)}", file=sys.stderr)
        return None
