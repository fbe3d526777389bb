"""A session at a terminal, played with the real pushctl, daemon and a registry that is slow and then refuses.

Each act gives what was on the screen when it had something to show.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fakes.faults import Answer, SlowBody
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.traffic import Kind
from tests.terminal.screen import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.fakes.registry import FakeRegistry
    from tests.terminal.screen import Screen

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did, and the screen they saw."""

    title: str
    screen: str


def play(registry: FakeRegistry, environment: Mapping[str, str], directory: Path) -> Iterator[Act]:
    """Push, look on, leave, come back, fail, and try again."""
    specs = [
        ImageSpec(tag="1.4", layers=[24 * MIB, 9 * MIB, 300_000, 1000], seed="app"),
        ImageSpec(tag="1.5", layers=[300_000, 2000], seed="next"),
    ]
    build_layout(directory / "app", specs)
    (directory / "pushctl").write_text(f'#!/bin/sh\nexec {sys.executable} -m pushd.ctl "$@"\n')
    (directory / "pushctl").chmod(0o755)
    environment = {**environment, "PATH": f"{directory}:{environment['PATH']}", "TERM": "screen-256color"}
    slow = registry.misbehave(SlowBody(rate=4 * MIB), kind=None, times=None)
    with terminal(environment) as screen:
        screen.type(f"cd {directory}")
        screen.clear()
        yield from _look_on(screen, registry)
        slow.times = 0
        yield from _fail(screen, registry)


def _look_on(screen: Screen, registry: FakeRegistry) -> Iterator[Act]:
    screen.type(f"pushctl push oci:app:1.4 {registry.address}/team/app:1.4 --wait")
    moving = screen.until(lambda text: bool(re.search(r"[1-9]\d%.*left", text)), "bars that move")
    yield Act("A push, looked on at", moving)
    screen.press("C-c")
    yield Act("Ctrl-C leaves, and the job goes on", screen.until_prompt())
    screen.clear()
    screen.type("pushctl jobs")
    yield Act("What there is", screen.until_prompt())
    screen.clear()
    screen.type("pushctl watch")
    again = screen.until(lambda text: bool(re.search(r"[4-9]\d%.*left", text)), "bars again")
    yield Act("Back again", again)
    yield Act("... until it is there", screen.until_prompt())


def _fail(screen: Screen, registry: FakeRegistry) -> Iterator[Act]:
    screen.clear()
    denied = b'{"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]}'
    refusal = registry.misbehave(Answer(status=403, body=denied), kind=Kind.OPEN, repository="prod/app", times=None)
    screen.type(f"pushctl push oci:app:1.5 {registry.address}/team/app:1.5 {registry.address}/prod/app:1.5 --wait")
    yield Act("One destination refuses", screen.until_prompt())
    job = re.findall(r"job ([a-z2-9]{12}) partial", screen.shown)[-1]
    screen.clear()
    screen.type(f"pushctl show {job}")
    yield Act("What to do about it", screen.until_prompt())
    refusal.times = 0  # the right is granted
    screen.clear()
    screen.type(f"pushctl retry {job} && pushctl wait {job}")
    yield Act("Tried again, and only what failed", screen.until_prompt())
