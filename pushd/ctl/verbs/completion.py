"""Completing this command in a shell."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from pushd.client import Client
from pushd.ctl.exits import Exit
from pushd.ctl.printing import print_lines
from pushd.errors import PushdError
from pushd.job import ANONYMOUS, AUTO, DAEMON

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

_JOBS = 50
"""The newest are those a person means."""
_WORD = re.compile(r"[A-Za-z0-9_.:\[\]-]+", re.ASCII)
"""What no shell takes for more than a word, whoever said it."""


def completion(typed: Namespace) -> Exit:
    """Print the script for a shell; or, for such a script, the words the daemon knows."""
    if typed.words:
        print_lines(word for word in _known(typed) if _WORD.fullmatch(word))
        return Exit.DONE
    from pushd.ctl.completion import script  # noqa: PLC0415 (words are asked for while somebody types)
    from pushd.ctl.parser import parser  # noqa: PLC0415 (the same)

    sys.stdout.write(script(typed.shell, parser()))
    return Exit.DONE


def _known(typed: Namespace) -> Iterator[str]:
    """Give what there is, or nothing when no daemon answers at once: nobody waits for a completion."""
    client = Client(typed.socket, patience=0.0)
    try:
        if typed.words == "jobs":
            yield from (job.id for job in client.list(limit=_JOBS))
        elif typed.words == "credentials":
            yield from (AUTO, DAEMON, ANONYMOUS)
            yield from (login["name"] for login in client.logins())
        elif typed.words == "logins":
            yield from (login["name"] for login in client.logins())
        else:
            yield from client.status()["registries"]
    except PushdError:
        return
