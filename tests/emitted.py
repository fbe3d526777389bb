"""Which kinds of events the house told while the tests ran: in this process, and in daemons that wrote a log."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from pushd.telemetry.events import CATALOGUE, Event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TOLD = "events told"
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


class Watching:
    """Fails a run of all tests that lacks a kind of event; one of several processes hands on what was told there."""

    def __init__(self, emitted: Emitted) -> None:
        self._emitted = emitted
        self._missing: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a process told that has ended."""
        self._emitted.names.update(getattr(node, "workeroutput", {}).get(_TOLD, ()))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Look at what was told."""
        config = session.config
        if hasattr(config, "workeroutput"):
            config.workeroutput[_TOLD] = sorted(self._emitted.names)
        elif _all_run(config):
            self._missing = self._emitted.missing(config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
            if self._missing and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what is missing."""
        if self._missing:
            terminalreporter.section("events of the catalogue that the house told in no test", red=True)
            terminalreporter.write_line(", ".join(self._missing))


def _all_run(config: pytest.Config) -> bool:
    chosen = config.option.keyword or config.getoption("lf", default=False) or config.option.markexpr != "not long"
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not chosen and not config.option.collectonly


def _names(log: Path) -> Iterator[str]:
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):  # what is no event: a traceback, a line cut short
                yield json.loads(line)["event"]
