"""The units as they are shipped, read as systemd reads them, and systemd's own tools to ask about them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

UNITS = Path(__file__).parents[3] / "systemd"
PYTHON = "/opt/pushd/bin/python"
"""What the units start, where the installation puts it."""
SERVICES = ("pushd.service", "pushd@.service")
SYSTEM = (*SERVICES, "pushd.socket", "pushd@.socket", "pushd-ci.socket")
USER = ("user/pushd.service", "user/pushd.socket")

_COMMENT = ("#", ";")


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit file.

    Attributes:
        text: of it.
        sections: what each section assigns, in order; a name that is assigned twice has two values.
    """

    text: str
    sections: Mapping[str, Mapping[str, tuple[str, ...]]]

    def all(self, section: str, name: str) -> tuple[str, ...]:
        """Give every value of a setting, in order."""
        return self.sections[section].get(name, ())

    def one(self, section: str, name: str) -> str:
        """Give the only value of a setting."""
        (value,) = self.all(section, name)
        return value

    def reason(self, assignment: str) -> str:
        """Give the comment right above an assignment, or nothing."""
        lines = self.text.splitlines()
        reason: list[str] = []
        for line in reversed(lines[: lines.index(assignment)]):
            if not line.startswith(_COMMENT):
                break
            reason.insert(0, line)
        return "\n".join(reason)


def read_unit(name: str, instance: str = "") -> Unit:
    """Read a unit of this project (systemd.syntax(7)); with an instance, `%i` is that."""
    text = (UNITS / name).read_text().replace("%i", instance or "%i")
    sections: dict[str, dict[str, tuple[str, ...]]] = {}
    section: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith(_COMMENT):
            key, _, value = line.partition("=")
            section[key] = (*section.get(key, ()), value)
    return Unit(text, sections)


def tool(name: str) -> str:
    """Give the path of one of systemd's programs, or skip the test."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not there; Debian's package systemd has it"
        if os.environ.get("PUSHD_TEST_REQUIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def ask(program: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
    """Give all that one of systemd's programs says; it need not be pleased."""
    done = subprocess.run(
        [tool(program), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
        env=None if environment is None else {**os.environ, **environment},
    )
    return done.stdout


def install(directory: Path, *names: str) -> None:
    """Copy units to where nothing else is; what they start is a program that is there, as systemd demands it."""
    for name in names:
        (directory / Path(name).name).write_text((UNITS / name).read_text().replace(PYTHON, sys.executable))


def exposure(unit: Path) -> float:
    """Give the exposure of a service, 0 to 10, as `systemd-analyze security` reckons it."""
    said = ask("systemd-analyze", "security", "--offline=yes", "--no-pager", unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found is not None, said
    return float(found[1])
