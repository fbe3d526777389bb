"""Seeing what is wrong."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pushd.ctl.checks import Verdict, checks
from pushd.ctl.exits import Exit
from pushd.ctl.facts import gather
from pushd.ctl.layout import sentence
from pushd.ctl.printing import page_width, print_lines
from pushd.ctl.texts import clean, json_line
from pushd.errors import Code

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Iterator

    from pushd.ctl.checks import Check
    from pushd.ctl.facts import Facts

_NAMES = 15
_NO_DAEMON = (Code.DAEMON_UNREACHABLE, Code.DAEMON_SOCKET)


def doctor(typed: Namespace) -> Exit:
    """Look at everything between the caller and a registry."""
    facts = gather(typed.socket, typed.registry, credential=typed.credential)
    found = list(checks(facts))
    print_lines(map(json_line, map(asdict, found)) if typed.json else page(found, width=page_width()))
    return _exit(facts, found)


def page(found: Iterable[Check], *, width: int | None) -> Iterator[str]:
    """Write the checks, each beside its name and with what to do next unless all is well; registries apart."""
    target = ""
    for check in found:
        if check.target != target:
            target = check.target
            yield from ("", clean(target))
        yield from sentence(clean(check.detail), width, first=f"{check.verdict.value:<6}{clean(check.check):<{_NAMES}}")
        if check.verdict is not Verdict.OK and check.hint:
            yield from sentence(clean(check.hint), width, first=" " * (6 + _NAMES) + "next: ")


def _exit(facts: Facts, found: Iterable[Check]) -> Exit:
    if facts.refusal is not None and facts.refusal.code in _NO_DAEMON:
        return Exit.NO_DAEMON
    return Exit.FAILED if any(check.verdict is Verdict.FAIL for check in found) else Exit.DONE
