"""SIGTERM with a hundred uploads under way: the daemon is gone in time, and the next life goes on where it stood."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.images import ImageSpec, build_layout
from tests.integration.daemon import STOP
from tests.integration.parts import DISTRIBUTION_2, DISTRIBUTION_3, wait_until
from tests.torture.evidence import Accepted, at_registry, left_behind, needs
from tests.torture.stage import stage

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.parts import Tool

MIB = 1 << 20
UPLOADS = 100
RATE = 50_000_000
BESIDES = 64 << 10
"""Bytes of headers, manifest and configuration around one layer, at the most."""


@pytest.mark.parametrize("tool", [DISTRIBUTION_3, DISTRIBUTION_2], ids=["distribution-3", "distribution-2"])
@pytest.mark.parametrize(
    ("size", "chunk"),
    [
        (3 * MIB, MIB // 2),
        # A chunk takes 16 seconds at a hundredth of the rate.
        pytest.param(32 * MIB, 8 * MIB, marks=[pytest.mark.long, pytest.mark.timeout(600)]),
    ],
    ids=["3MiB", "32MiB"],
)
def test_a_hundred_uploads_are_drained_in_time_and_go_on_with_less_than_a_chunk_each_sent_again(
    tool: Tool, size: int, chunk: int, tmp_path: Path
) -> None:
    # Ten images of ten layers: a hundred blobs, each on its own way.
    specs = [ImageSpec(tag=f"v{number}", layers=[size + position for position in range(10)]) for number in range(10)]
    layout = build_layout(tmp_path / "images", specs)
    config = (
        f"[limits]\nuploads_per_registry = {UPLOADS}\ndeliveries = {UPLOADS}\n"
        f'[registries."{{registry}}"]\nupload = "chunked"\nchunk_size = {chunk}\n'
    )
    with stage(tmp_path / "stage", tool.find(), rate=RATE, config=config) as parts:
        jobs = []
        for tag, image in layout.images.items():
            destination = f"{parts.proxy.address}/team/{tag}:1.4"
            job_id = parts.daemon.submit(f"oci:{layout.path}:{tag}", destination)
            jobs.append(Accepted(job_id, image, (destination,)))
        total = needs(jobs)
        wait_until(lambda: parts.proxy.up > 0.4 * total, "four tenths of the bytes were sent", seconds=120)

        stopping = time.monotonic()
        assert parts.daemon.terminate() == 0
        assert time.monotonic() - stopping < STOP
        parts.daemon.start(parts.config)
        for job in jobs:
            ended = parts.daemon.wait(job.id, 180)
            assert ended["state"] == "succeeded", ended
        for it in parts.daemon.events("transfer.finished"):
            assert it["resumed"] + it["sent"] < it["size"] + chunk, "more than a chunk was sent again"

        again = parts.proxy.up - total
        assert again < UPLOADS * (chunk + BESIDES), f"{again / MIB:.1f} MiB were sent again"
        layers = [layout.blob_path(layer.digest) for image in layout.images.values() for layer in image.layers]
        assert [it for it in left_behind(parts.registry.storage, layers) if it.resumable] == []
        assert list(at_registry(parts.registry.address, jobs)) == []
