"""Which kinds of events the house told while the tests ran: in this process, and in daemons that wrote a log."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from pushd.telemetry.events import CATALOGUE, Event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHECK = "test_every_kind_of_event_is_told_by_some_test"
"""The name of the test that looks at what was told: of a run of all tests the last, of any other no part."""

_DEPTH = 2
"""Frames from `Event.__post_init__` to who made the event: it is called by `__init__`."""


class Emitted:
    """Notes the kinds of events as they are made by the house itself; what a test makes up does not count."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def watch(self) -> None:
        """Note every event that is made from now on in this process."""
        check = Event.__post_init__

        def noted(event: Event) -> None:
            check(event)
            name = event.kind.name
            if name not in self.names and sys._getframe(_DEPTH).f_globals["__name__"].startswith("pushd."):
                self.names.add(name)

        Event.__post_init__ = noted  # type: ignore[method-assign,assignment]  # frozen are its instances alone

    def missing(self, logs: Path) -> list[str]:
        """Give the kinds nobody told, neither here nor in a log of a daemon below the directory `logs`."""
        for log in logs.rglob("daemon.log"):
            self.names.update(_names(log))
        return sorted(CATALOGUE.keys() - self.names)


def arrange(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the test that looks last where all tests run, and leave it out where they do not."""
    check = [item for item in items if item.name == CHECK]
    items[:] = [item for item in items if item.name != CHECK]
    if _all_run(config):
        items += check
    elif check:
        config.hook.pytest_deselected(items=check)


def _all_run(config: pytest.Config) -> bool:
    chosen = config.option.keyword or config.option.lf or config.option.markexpr != "not long"
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not chosen


def _names(log: Path) -> Iterator[str]:
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):  # what is no event: a traceback, a line cut short
                yield json.loads(line)["event"]
