"""What the figures were measured on, and with."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from pushd import __version__
from tests.integration.parts import CRANE, DISTRIBUTION_3, SKOPEO, run
from tests.load.queue import fsyncs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.parts import Tool

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Facts.

    Attributes:
        date: in UTC.
        cpu: the model.
        cores: that may be used.
        memory: bytes.
        governor: of the CPU's frequency; None where nobody says.
        system: the distribution.
        kernel: its release.
        filesystem: of the directory everything lies in.
        fsyncs: of a page appended to a file there, a second.
        load: processes that wanted to run, over the minute before.
        versions: of what takes part, by name.
    """

    date: str
    cpu: str
    cores: int
    memory: int
    governor: str | None
    system: str
    kernel: str
    filesystem: str
    fsyncs: float
    load: float
    versions: Mapping[str, str]


def look(directory: Path) -> Machine:
    """Look around; `directory` is where everything is measured."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return Machine(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu=model[1] if model else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        governor=_GOVERNOR.read_text().strip() if _GOVERNOR.exists() else None,
        system=platform.freedesktop_os_release()["PRETTY_NAME"],
        kernel=platform.release(),
        filesystem=run("stat", "--file-system", "--format=%T", directory).stdout.strip(),
        fsyncs=fsyncs(directory),
        load=os.getloadavg()[0],
        versions={
            "pushd": __version__,
            "Python": platform.python_version(),
            "aiohttp": aiohttp.__version__,
            **{
                name: version
                for name, tool, word in (
                    ("distribution", DISTRIBUTION_3, "--version"),
                    ("crane", CRANE, "version"),
                    ("skopeo", SKOPEO, "--version"),
                )
                if (version := _version(tool, word)) is not None
            },
        },
    )


def _version(tool: Tool, word: str) -> str | None:
    """Give the version a program says it has; None when it is not there."""
    try:
        said = run(tool.find(), word).stdout
    except pytest.skip.Exception:
        return None
    found = re.search(r"\d+\.\d+\.\d+\S*", said)
    return found[0] if found else said.strip()
