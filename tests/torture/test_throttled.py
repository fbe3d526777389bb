"""A registry answers 429 for a while: it is left alone at once, and the other one does not notice."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.faults import SlowBody, throttle
from tests.fakes.images import ImageSpec, build_layout
from tests.fakes.registry import FakeRegistry
from tests.integration.daemon import Daemon
from tests.integration.parts import tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGES = 40
LAYER = 200_000
GRACE = 1.0
"""Seconds after the first 429 in which requests may still be seen."""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    directory = tmp_path / "daemon"
    directory.mkdir()
    daemon = Daemon(directory)
    try:
        daemon.start("[limits]\ndeliveries = 100\nsmall_uploads_per_registry = 8\n")
        yield daemon
        daemon.close()
    finally:
        daemon.discard()
        print(tail(daemon.log))  # noqa: T201 (pytest shows it with a failure)


@pytest.mark.parametrize(
    "seconds", [6, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(300)])], ids=["6s", "60s"]
)
def test_a_registry_that_says_429_is_left_alone_and_the_other_does_not_notice(
    daemon: Daemon, seconds: int, tmp_path: Path
) -> None:
    specs = [ImageSpec(tag=f"v{number}", layers=[LAYER + number]) for number in range(IMAGES)]
    layout = build_layout(tmp_path / "images", specs)
    with FakeRegistry().in_thread() as strict, FakeRegistry().in_thread() as other:
        # Forty images, eight at a time: some two seconds for each registry.
        for registry in (strict, other):
            registry.misbehave(SlowBody(rate=LAYER / 0.4), method="PUT", times=None)
        jobs: dict[FakeRegistry, list[str]] = {strict: [], other: []}
        for spec in specs:
            for registry, ids in jobs.items():
                ids.append(daemon.submit(f"oci:{layout.path}:{spec.tag}", f"{registry.address}/app/{spec.tag}:1"))
        wait_until(lambda: len(strict.seen(method="PUT")) > 6, "the strict one is being pushed to")
        rule = strict.misbehave(throttle(seconds), times=None)
        wait_until(lambda: rule.acted > 0, "the strict one has said 429", pause=0.005)
        shut_at = time.monotonic()

        for registry, ids in jobs.items():  # whoever comes now must not ask either
            time.sleep(GRACE)
            ids += [daemon.submit(f"oci:{layout.path}:v{n}", f"{registry.address}/late/v{n}:1") for n in range(10)]
        for job_id in jobs[other]:
            assert daemon.wait(job_id, 20)["state"] == "succeeded"
        assert time.monotonic() - shut_at < seconds, "the other one was done before the strict one opened"
        wait_until(lambda: time.monotonic() > shut_at + seconds - 0.5, "its time is nearly over", seconds=seconds + 1)
        late = [str(seen) for seen in strict.requests if seen.started > shut_at + GRACE]
        assert late == [], "requests to a registry that asked for none"
        rule.times = 0  # it has had its minute

        for job_id in jobs[strict]:
            job = daemon.wait(job_id, 60 + seconds)
            assert job["state"] == "succeeded", job
    assert daemon.events("delivery.failed") == []
