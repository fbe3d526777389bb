"""One layer, interrupted once: what of it is sent again is bounded by what the registry lost, not by its size."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.fakes.images import ImageSpec, build_layout
from tests.integration.parts import DISTRIBUTION_2, DISTRIBUTION_3, wait_until
from tests.torture.evidence import Accepted, at_registry, left_behind
from tests.torture.stage import stage

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.parts import Tool
    from tests.torture.stage import Stage

MIB = 1 << 20
CHUNK = 8 * MIB
BESIDES = 64 << 10
"""Bytes of headers, manifest and configuration around one layer, at the most."""


@pytest.mark.parametrize(
    ("size", "trials"),
    [
        (64 * MIB, 3),
        pytest.param(512 * MIB, 20, marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
    ids=["64MiB", "512MiB"],
)
def test_a_killed_daemon_sends_less_than_a_tenth_again_where_every_byte_is_kept(
    size: int, trials: int, tmp_path: Path
) -> None:
    sent = _trials(DISTRIBUTION_3, size, trials, tmp_path, drained=False)
    assert max(sent) < 1.1 * size, [f"{count / size:.3f}" for count in sent]


@pytest.mark.parametrize("tool", [DISTRIBUTION_2, DISTRIBUTION_3], ids=["distribution-2", "distribution-3"])
@pytest.mark.parametrize(
    ("size", "trials"),
    [
        (64 * MIB, 2),
        pytest.param(512 * MIB, 20, marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
    ids=["64MiB", "512MiB"],
)
def test_a_daemon_that_is_told_to_stop_sends_at_most_two_chunks_again(
    tool: Tool, size: int, trials: int, tmp_path: Path
) -> None:
    sent = _trials(tool, size, trials, tmp_path, drained=True)
    assert max(sent) < size + 2 * CHUNK, [f"{count / size:.3f}" for count in sent]


def _trials(tool: Tool, size: int, trials: int, directory: Path, *, drained: bool) -> list[int]:
    """Push a layer of `size` bytes, `trials` times, each time interrupted at a random byte; give the bytes sent."""
    rng = random.Random(f"{tool.name} {size} {drained}")
    config = f'[registries."{{registry}}"]\nupload = "chunked"\nchunk_size = {CHUNK}\n'
    # So slow that the daemon does not get far between the byte that was drawn and the signal.
    with stage(directory / "stage", tool.find(), rate=200e6, config=config) as parts:
        sent = []
        for trial in range(trials):
            # A layer of its own for each: what one repository has is mounted into the next.
            layout = build_layout(directory / f"app{trial}", [ImageSpec(tag="1.4", layers=[size], seed=f"{trial}")])
            destination = f"{parts.proxy.address}/team/app{trial}:1.4"
            before = parts.proxy.up
            job_id = parts.daemon.submit(f"oci:{layout.path}:1.4", destination)
            _interrupt(parts, before + round(rng.random() * size), drained=drained)
            job = parts.daemon.wait(job_id, 60)
            assert job["state"] == "succeeded", job
            sent.append(parts.proxy.up - before - BESIDES)
            accepted = Accepted(job_id, layout.image, (destination,))
            assert list(at_registry(parts.registry.address, [accepted])) == []
            left = left_behind(parts.registry.storage, [layout.blob_path(layout.image.layers[0].digest)])
            assert [it for it in left if it.resumable] == []
            shutil.rmtree(layout.path)
    return sent


def _interrupt(parts: Stage, at: int, *, drained: bool) -> None:
    """End the daemon when so many bytes were sent, and start it again."""
    wait_until(lambda: parts.proxy.up >= at, f"{at} bytes were sent", pause=0.0005)
    if drained:
        assert parts.daemon.terminate() == 0
    else:
        parts.daemon.kill()
    parts.daemon.start(parts.config)
